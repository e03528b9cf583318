"""Fetch a published file: resumed after a break, checked, and there whole or not at all."""

import glob
import hashlib
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from eyespot.errors import WeightsError

_CHUNK = 1 << 20
_TIMEOUT_S = 60

Progress = Callable[[int, int | None], None]


class Download(NamedTuple):
    """A file that was fetched.

    Attributes:
        num_bytes: Its size.
        sha256: Its checksum, hexadecimal.
        resumed_at: How many of its bytes an earlier try had left.
    """

    num_bytes: int
    sha256: str
    resumed_at: int


def download(
    url: str, out: Path, *, max_bytes: int, sha256: str | None, progress: Progress
) -> Download:
    """Fetch a URL into a file.

    Bytes go to a hidden file next to `out`, named after the version the server has; a later try
    goes on where it ended if the server still has that version and can, else from the start.

    Args:
        url: An http or https address.
        out: The file; it appears when all of it is there.
        max_bytes: The most that is fetched.
        sha256: What the file must hash to; None if nobody knows.
        progress: Called now and then with the bytes so far and in all (None if the server does
            not say).

    Raises:
        WeightsError: If the server has no such file, sends a web page, or too much, or other
            bytes than expected.
        OSError: If the connection breaks or the disk is full; what came is kept for the next try.
    """
    if not url.startswith(("https://", "http://")):
        raise WeightsError(f"need an http or https address, got {url!r}")
    response = _open(url, {})
    total = _length(response)
    _check_answer(url, response, total, max_bytes)
    version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
    mark = hashlib.sha256(f"{url} {version} {total}".encode()).hexdigest()[:12]
    part = out.with_name(f".{out.name}.{mark}.part")
    done = part.stat().st_size if part.exists() and version else 0
    if total is None or done >= total:
        done = 0
    if done:
        response.close()
        response = _open(url, {"Range": f"bytes={done}-", "If-Range": version})
        if response.status != 206:
            done = 0
    free = shutil.disk_usage(out.parent).free
    if total and total - done > free:
        raise OSError(f"need {total - done} bytes of disk for {out}, got {free} free")
    with response, part.open("r+b" if done else "wb") as file:
        digest, size = _receive(response, file, done, max_bytes, total, progress)
        file.flush()
        os.fsync(file.fileno())
    if size > max_bytes:
        part.unlink()
        raise WeightsError(
            f"need at most {max_bytes} bytes from {url}, got more; allow more if you meant this one"
        )
    if total is not None and size != total:
        raise OSError(
            f"need {total} bytes from {url}, got {size} before the connection ended; run it again "
            "to go on from there"
        )
    if sha256 and digest != sha256:
        part.unlink()
        raise WeightsError(
            f"need a file with sha256 {sha256} from {url}, got {digest}; it is not the published "
            "file and was deleted"
        )
    os.replace(part, out)
    for stale in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        stale.unlink()
    return Download(size, digest, done)


def _open(url: str, headers: dict[str, str]) -> HTTPResponse:
    request = urllib.request.Request(url, headers={"User-Agent": "eyespot", **headers})  # noqa: S310
    try:
        return cast(HTTPResponse, urllib.request.urlopen(request, timeout=_TIMEOUT_S))  # noqa: S310
    except urllib.error.HTTPError as error:
        raise WeightsError(f"need a file at {url}, got {error.code} {error.reason}") from None
    except (urllib.error.URLError, HTTPException) as error:
        reason = getattr(error, "reason", error)
        raise OSError(f"need a connection to {url}, got {reason}; try again later") from None


def _length(response: HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length", "")
    return int(text) if text.isdigit() else None


def _check_answer(url: str, response: HTTPResponse, total: int | None, max_bytes: int) -> None:
    if response.headers.get_content_type() == "text/html":
        response.close()
        raise WeightsError(f"need a weights file at {url}, got a web page")
    if total is not None and total > max_bytes:
        response.close()
        raise WeightsError(
            f"need at most {max_bytes} bytes from {url}, got a file of {total}; allow more if you "
            "meant this one"
        )


def _receive(
    response: HTTPResponse,
    file: BinaryIO,
    done: int,
    max_bytes: int,
    total: int | None,
    progress: Progress,
) -> tuple[str, int]:
    """Append what the server sends to what is there; return the whole's checksum and size.

    Stops one piece above `max_bytes`.
    """
    digest = hashlib.sha256()
    while file.tell() < done:
        digest.update(file.read(min(_CHUNK, done - file.tell())))
    size = done
    try:
        while size <= max_bytes and (chunk := response.read(_CHUNK)):
            size += len(chunk)
            file.write(chunk)
            digest.update(chunk)
            progress(size, total)
    except (TimeoutError, ConnectionError, HTTPException) as error:
        raise OSError(
            f"need {total or 'more'} bytes, got {size} before the connection broke ({error}); run "
            "it again to go on from there"
        ) from None
    return digest.hexdigest(), size
