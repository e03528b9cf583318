"""From an application to a page that answers at an address, until Ctrl-C."""

import contextlib
import errno
import ipaddress
import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

_MAX_CONNECTIONS = 256  # a browser keeps up to six
_MAX_HEAD_BYTES = 1 << 16  # the text is part of the address


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that is bound, so that a port in use is known before weights are read.

    Args:
        host: A name or address of this machine.
        port: 0 for any that is free.

    Raises:
        ValueError: If the port is in use or the host is not of this machine.
    """
    if not 0 <= port < 1 << 16:
        raise ValueError(f"need a port of 0 to 65535, got {port}")
    bound = None
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
    except OSError as error:
        if bound is not None:
            bound.close()
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"need a free port, got {port} of {host}, which is in use; choose another with "
                "--port, or --port 0 for any"
            ) from None
        raise ValueError(
            f"need a host and port of this machine, got {host} and {port}: {error.strerror}"
        ) from None
    return bound


def is_loopback(bound: socket.socket) -> bool:
    """Whether only this machine can reach a socket."""
    return ipaddress.ip_address(bound.getsockname()[0]).is_loopback


def url_of(bound: socket.socket) -> str:
    """Return the address to type into a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve(app: ASGIApp, bound: socket.socket, on_start: Callable[[], None]) -> None:
    """Answer until Ctrl-C.

    Args:
        app: What answers.
        bound: From `listen`.
        on_start: Called when browsers may come.
    """
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        lifespan="on",
        ws="none",
        http="h11",
        loop="asyncio",
        server_header=False,
        proxy_headers=False,
        limit_concurrency=_MAX_CONNECTIONS,
        h11_max_incomplete_event_size=_MAX_HEAD_BYTES,
        timeout_graceful_shutdown=3,
    )
    bound.listen()
    on_start()
    with contextlib.suppress(KeyboardInterrupt):
        uvicorn.Server(config).run(sockets=[bound])
