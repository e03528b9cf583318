"""What keeps the page safe: headers on every answer, no foreign pages, no endless bodies."""

import asyncio
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MAX_BYTES = 20 << 20
"""Largest file that is taken."""

_BODY_SECONDS = 60
_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class Guard:
    """Sets the headers of safety, and refuses what the pages of other hosts send.

    Args:
        app: What answers.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, as ASGI has it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def safe_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if _is_foreign(Headers(scope=scope)):
            refused = error_response(403, "need a request of this page, got one of another")
            await refused(scope, receive, safe_send)
        else:
            await self.app(scope, receive, safe_send)


def error_response(status: int, sentence: str) -> JSONResponse:
    """Return an error as the page reads it."""
    return JSONResponse({"error": sentence}, status_code=status)


async def read_body(request: Request) -> bytes:
    """Return what was sent, and stop to listen as soon as it is too much.

    Raises:
        HTTPException: If it is empty, too large or too slow.
    """
    too_large = HTTPException(
        413, f"need a file of at most {MAX_BYTES >> 20} MiB, got a larger one"
    )
    told = request.headers.get("content-length", "0")
    if not told.isdecimal() or int(told) > MAX_BYTES:
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BYTES:
                    raise too_large
    except TimeoutError:
        raise HTTPException(408, f"need a file within {_BODY_SECONDS} seconds") from None
    if not body:
        raise HTTPException(400, "need a picture, got an empty file")
    return bytes(body)


def _is_foreign(headers: Headers) -> bool:
    """Whether a browser says that the page of another host sends this.

    Browsers name the origin of every post; programs name none and are no danger, since they bring
    no one else's rights.
    """
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        return True
    followed_a_link = headers.get("sec-fetch-mode") == "navigate"
    return not followed_a_link and (
        headers.get("sec-fetch-site", "none") not in ("same-origin", "none")
    )
