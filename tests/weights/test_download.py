"""Fetching from a real server on this machine, with faults."""

import hashlib
import os

import pytest

from eyespot.errors import WeightsError
from eyespot.weights.download import download
from tests.weights.server import serving

BODY = os.urandom(3_000_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


def fetch(url, out, *, max_bytes=10_000_000, sha256=None):
    calls = []
    got = download(
        url, out, max_bytes=max_bytes, sha256=sha256, progress=lambda *now: calls.append(now)
    )
    return got, calls


@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_is_fetched_and_hashed(tmp_path, says_length):
    out = tmp_path / "w.pth"
    with serving(BODY, says_length=says_length) as server:
        got, calls = fetch(server.url, out, sha256=SHA256)
    assert out.read_bytes() == BODY
    assert got == (len(BODY), SHA256, 0)
    assert calls[-1] == (len(BODY), len(BODY) if says_length else None)
    assert os.listdir(tmp_path) == ["w.pth"]


@pytest.mark.parametrize(
    ("later", "resumed_at"),
    [({}, 1_234_567), ({"ranges": False}, 0), ({"etag": '"v2"'}, 0), ({"etag": ""}, 0)],
)
def test_a_broken_fetch_goes_on_or_starts_again(tmp_path, later, resumed_at):
    out = tmp_path / "w.pth"
    first = BODY if "etag" not in later else os.urandom(len(BODY))
    with serving(first, breaks_at=1_234_567) as server:
        with pytest.raises(OSError, match="run it again to go on"):
            fetch(server.url, out)
        assert not out.exists()
        server.breaks_at, server.body = None, BODY
        for name, value in later.items():
            setattr(server, name, value)
        got, _ = fetch(server.url, out, sha256=SHA256)
    assert out.read_bytes() == BODY
    assert got.resumed_at == resumed_at
    assert os.listdir(tmp_path) == ["w.pth"]


def test_other_bytes_than_published_are_refused_and_deleted(tmp_path):
    with serving(BODY) as server, pytest.raises(WeightsError, match=f"got {SHA256}"):
        fetch(server.url, tmp_path / "w.pth", sha256="0" * 64)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("says_length", [True, False])
def test_too_much_is_refused(tmp_path, says_length):
    out = tmp_path / "w.pth"
    sentence = "need at most 2000000 bytes"
    with (
        serving(BODY, says_length=says_length) as server,
        pytest.raises(WeightsError, match=sentence),
    ):
        fetch(server.url, out, max_bytes=2_000_000)
    assert os.listdir(tmp_path) == []


def test_web_pages_and_missing_files_are_refused(tmp_path):
    out = tmp_path / "w.pth"
    with serving(b"<html>sign in</html>", content_type="text/html; charset=utf-8") as server:
        with pytest.raises(WeightsError, match="got a web page"):
            fetch(server.url, out)
        with pytest.raises(WeightsError, match="got 404"):
            fetch(server.url.replace("w.pth", "missing.pth"), out)
    with pytest.raises(OSError, match="need a connection to"):
        fetch(server.url, out)  # it is down by now
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/w.pth", "w.pth"])
def test_other_schemes_are_refused(tmp_path, url):
    with pytest.raises(WeightsError, match="need an http or https address"):
        fetch(url, tmp_path / "w.pth")


def test_an_old_file_stays_until_the_new_one_is_whole(tmp_path):
    out = tmp_path / "w.pth"
    out.write_bytes(b"old")
    with serving(BODY, breaks_at=10) as server, pytest.raises(OSError, match="run it again"):
        fetch(server.url, out)
    assert out.read_bytes() == b"old"
