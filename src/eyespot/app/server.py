"""The demo's addresses: the page, and a small JSON API.

    GET  /api/about                 what runs here, and its limits
    GET  /api/scenes/SEED           a scene's caption
    GET  /api/scenes/SEED.png       its picture; ?side=160 for a smaller one
    POST /api/pictures              a file; its size, or what is wrong with it
    POST /api/ground?text=TEXT      a file; every phrase's boxes

Files are sent as they are, as the whole body. Nothing is written to disk.
"""

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import resources

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

import eyespot
from eyespot.app.guard import MAX_BYTES, Guard, error_response, read_body
from eyespot.app.rolled import EXAMPLES, SIDE_PX, rolled_png, rolled_text
from eyespot.app.worker import LEAST_SCORE, Worker
from eyespot.predict.grounder import PRETRAINED, Grounder
from eyespot.report.drawings import PALETTE

MAX_TEXT = 2000
"""Most characters of a text."""

_PAGE = {
    "/": ("index.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
    "/demo.js": ("demo.js", "text/javascript"),
    "/drawing.js": ("drawing.js", "text/javascript"),
    "/results.js": ("results.js", "text/javascript"),
    "/server.js": ("server.js", "text/javascript"),
}
_MAX_SEED = 2**53 - 1  # whole numbers that the page's language can hold


def demo_app(
    grounder: Grounder, *, weights: str = "scenes-small", hosts: Sequence[str] = ("*",)
) -> ASGIApp:
    """Return the demo as an ASGI application.

    Args:
        grounder: The network that it shows.
        weights: Their name, for people.
        hosts: By which names a browser may call this server; "*" for any.
    """
    worker = Worker(grounder)
    api = _Api(worker, weights)

    @asynccontextmanager
    async def living(app: Starlette) -> AsyncIterator[None]:
        yield
        worker.close()

    routes = [
        *(Route(path, _page(*entry)) for path, entry in _PAGE.items()),
        Route("/api/about", api.about),
        Route("/api/scenes/{seed:int}.png", api.scene_png),
        Route("/api/scenes/{seed:int}", api.scene),
        Route("/api/pictures", api.picture, methods=["POST"]),
        Route("/api/ground", api.ground, methods=["POST"]),
    ]
    app = Starlette(
        routes=routes,
        lifespan=living,
        exception_handlers={
            HTTPException: _refused,
            ValueError: _mistaken,
            ClientDisconnect: _gone,
            Exception: _broken,
        },
    )
    return Guard(TrustedHostMiddleware(app, list(hosts), www_redirect=False))


class _Api:
    """The addresses that need the worker."""

    def __init__(self, worker: Worker, weights: str) -> None:
        self._worker = worker
        self._weights = weights

    async def about(self, request: Request) -> Response:
        return JSONResponse(
            {
                "version": eyespot.__version__,
                "weights": self._weights,
                "knows_scenes_alone": self._weights in PRETRAINED,
                "has_masks": self._worker.has_masks,
                "palette": PALETTE,
                "least_score": LEAST_SCORE,
                "max_text": MAX_TEXT,
                "max_bytes": MAX_BYTES,
                "max_pixels": self._worker.max_pixels,
                "examples": [example._asdict() for example in EXAMPLES],
            }
        )

    async def scene(self, request: Request) -> Response:
        seed = _seed(request)
        text = await self._worker.run(rolled_text, seed)
        return JSONResponse({"seed": seed, "text": text})

    async def scene_png(self, request: Request) -> Response:
        seed = _seed(request)
        side = request.query_params.get("side", str(SIDE_PX))
        if not (side.isascii() and side.isdecimal()) or not 32 <= int(side[:9]) <= SIDE_PX:
            raise ValueError(f"need a side of 32 to {SIDE_PX} pixels, got {side[:20]!r}")
        data = await self._worker.run(rolled_png, seed, int(side))
        return Response(data, media_type="image/png")

    async def picture(self, request: Request) -> Response:
        with self._worker.place():
            picture = await self._worker.run(self._worker.read, await read_body(request))
        height, width = picture.pixels.shape[:2]
        return JSONResponse({"height_px": height, "width_px": width})

    async def ground(self, request: Request) -> Response:
        text = request.query_params.get("text", "")
        if len(text) > MAX_TEXT:
            raise ValueError(f"need a text of at most {MAX_TEXT} characters, got {len(text)}")
        with self._worker.place():
            data = await read_body(request)
            begin = time.monotonic()
            found = await self._worker.run(self._worker.ground, data, text)
        return JSONResponse({**found, "seconds": round(time.monotonic() - begin, 3)})


def _seed(request: Request) -> int:
    seed: int = request.path_params["seed"]
    if seed > _MAX_SEED:
        raise ValueError(f"need a seed of 0 to {_MAX_SEED}, got {seed}")
    return seed


def _page(name: str, media_type: str) -> Callable[[Request], Awaitable[Response]]:
    content = resources.files("eyespot.app").joinpath("page", name).read_bytes()

    async def endpoint(request: Request) -> Response:
        return Response(content, media_type=media_type)

    return endpoint


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail)


async def _mistaken(request: Request, error: Exception) -> Response:
    return error_response(422, str(error))


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody is left to read it


async def _broken(request: Request, error: Exception) -> Response:
    return error_response(500, "Eyespot made a mistake; the terminal that runs it says more")
