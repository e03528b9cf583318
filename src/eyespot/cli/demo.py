"""`eyespot demo`: a web page that shows what grounding does."""

import sys
from pathlib import Path

_LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1", "[::1]")


def demo(
    weights: str = "scenes-small",
    port: int = 8080,
    host: str = "127.0.0.1",
    device: str = "cpu",
) -> None:
    """Show grounding on a web page: pictures and texts in, every phrase's boxes out.

    Args:
        weights: A weights file, a training run's folder, or weights of the package by name.
        port: Where to listen; 0 for any port that is free.
        host: Where to listen; 0.0.0.0 lets everyone in who reaches this machine.
        device: Where to run, as torch names it.
    """
    try:
        from eyespot.app.serving import is_loopback, listen, serve, url_of
    except ModuleNotFoundError as error:
        package = str(error.name).partition(".")[0]
        if package not in ("starlette", "uvicorn"):
            raise
        raise ValueError(
            f"need the package {package} for the page; pip install 'eyespot[demo]'"
        ) from None
    with listen(host, port) as bound:
        from eyespot.app.server import demo_app
        from eyespot.predict.grounder import PRETRAINED, Grounder

        grounder = Grounder.from_pretrained(weights, device=device)
        shown = weights if weights in PRETRAINED else Path(weights).name
        hosts = (*_LOOPBACK_NAMES, host) if is_loopback(bound) else ("*",)
        app = demo_app(grounder, weights=shown, hosts=hosts)
        if not is_loopback(bound):
            print(
                f"warning: {host} lets everyone use the demo who reaches this machine, without a "
                "password or encryption; leave out --host to keep it to yourself",
                file=sys.stderr,
            )
        serve(app, bound, lambda: print(f"{url_of(bound)}  (Ctrl-C ends it)", flush=True))
    print("ended", file=sys.stderr)
