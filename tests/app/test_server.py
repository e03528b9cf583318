"""The demo's addresses on a real socket: right answers, and a sentence for every mistake."""

import io
import re
import socket
import struct
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from eyespot.app.guard import MAX_BYTES
from eyespot.app.rolled import EXAMPLES, rolled_png
from eyespot.data.scenes import caption, make_scene, render
from eyespot.predict.grounder import Grounder
from eyespot.recipes.ground import scenes_small
from tests.app.serving import ask, ground, running

TEXT = "A purple car above a heart; a red house"


@pytest.fixture(scope="module")
def url():
    with running() as (_, url):
        yield url


@pytest.fixture(scope="module")
def grounder():
    return Grounder.from_pretrained("scenes-small")


def test_ground_gives_what_the_grounder_gives(url, grounder):
    picture = rolled_png(8)
    answer = ground(url, picture, TEXT)
    assert answer.status == 200
    found = answer.json
    want = grounder(picture, TEXT, min_score=0.05)
    assert found.pop("seconds") >= 0
    exact = [phrase.pop("exact_scores") for phrase in found["phrases"]]
    meant = found["referent"].pop("exact_score")
    assert found == want.to_dict()
    assert meant == want.referent.score
    assert exact == [phrase.scores.tolist() for phrase in want.phrases]
    assert [len(scores) for scores in exact][1] >= 2  # with boxes that a slider can take away


def test_users_at_once_each_get_their_own(url, grounder):
    asked = [(rolled_png(e.seed), f"{e.text}, and a star") for e in EXAMPLES] * 2
    with ThreadPoolExecutor(12) as users:
        answers = list(users.map(lambda pair: ground(url, *pair), asked))
    for (picture, text), answer in zip(asked, answers, strict=True):
        want = grounder(picture, text, min_score=0.05).to_dict()
        assert answer.json["text"] == text
        for got, phrase in zip(answer.json["phrases"], want["phrases"], strict=True):
            assert {k: got[k] for k in phrase} == phrase


def test_a_scene_is_the_test_worlds(url):
    world = scenes_small().scenes.world
    scene = make_scene(replace(world, split="test", min_objects=2, image_size=384), 77, 0)
    assert ask(url, "/api/scenes/77").json == {"seed": 77, "text": caption(scene).text}
    answer = ask(url, "/api/scenes/77.png")
    assert answer.headers["content-type"] == "image/png"
    assert (np.asarray(Image.open(io.BytesIO(answer.body))) == render(scene)).all()
    small = ask(url, "/api/scenes/77.png?side=160").body
    assert Image.open(io.BytesIO(small)).size == (160, 160)


def bomb():
    """A PNG of 3.6 gigapixels, in 60 bytes."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    )


@pytest.mark.parametrize(
    ("data", "text", "status", "message"),
    [
        (b"", TEXT, 400, "got an empty file"),
        (b"not a picture", TEXT, 422, "need a picture as JPEG, PNG"),
        (rolled_png(8)[:3000], TEXT, 422, "cannot be decoded"),
        (bomb(), TEXT, 422, "need a picture of at most 40.0 megapixels, got PNG of 60000 x 60000"),
        (rolled_png(8), "", 422, "got an empty one"),
        (rolled_png(8), "to the left of", 422, "got one without a noun phrase"),
        (rolled_png(8), "a cup " * 400, 422, "need a text of at most 2000 characters, got 2400"),
    ],
    ids=["empty", "no-picture", "cut-off", "bomb", "no-text", "no-phrase", "long-text"],
)
def test_mistakes_are_one_sentence(url, data, text, status, message):
    answer = ground(url, data, text)
    assert answer.status == status
    assert message in answer.json["error"]
    assert "\n" not in answer.json["error"]


def test_a_picture_can_be_checked_alone(url):
    assert ask(url, "/api/pictures", rolled_png(8)).json == {"height_px": 384, "width_px": 384}
    assert ask(url, "/api/pictures", b"GIF89a").status == 422


@pytest.mark.parametrize(
    ("path", "method", "status"),
    [
        ("/api/ground", "GET", 405),
        ("/nothing", "GET", 404),
        ("/../pyproject.toml", "GET", 404),
        ("/api/scenes/-1", "GET", 404),
        (f"/api/scenes/{10**16}", "GET", 422),
        ("/api/scenes/1.png?side=4000", "GET", 422),
        ("/api/scenes/1.png?side=x", "GET", 422),
    ],
)
def test_other_addresses_are_refused(url, path, method, status):
    answer = ask(url, path, method=method)
    assert answer.status == status
    assert answer.json["error"]


def test_a_file_that_says_it_is_too_large_is_refused_unread(url):
    answer = said(url, f"content-length: {MAX_BYTES + 1}\r\n", [])
    assert b" 413 " in answer
    assert b"at most 20 MiB" in answer


def test_an_endless_file_is_cut_off(url):
    chunk = b"100000\r\n" + bytes(1 << 20) + b"\r\n"
    answer = said(url, "transfer-encoding: chunked\r\n", [chunk] * 40)
    assert b" 413 " in answer


def said(url, header, chunks):
    """What the server says while a body is still being sent."""
    place = urlsplit(url)
    with socket.create_connection((place.hostname, place.port), timeout=60) as line:
        head = f"POST /api/pictures HTTP/1.1\r\nhost: {place.netloc}\r\n{header}\r\n"
        line.sendall(head.encode())
        line.settimeout(0.02)
        for chunk in chunks:
            line.settimeout(30)
            try:
                line.sendall(chunk)
                line.settimeout(0.02)
                return line.recv(1 << 16)
            except TimeoutError:
                continue
            except (BrokenPipeError, ConnectionResetError):
                break
        line.settimeout(30)
        answer = b""
        while not answer.endswith(b"}") and (part := line.recv(1 << 16)):
            answer += part
        return answer


def test_every_answer_carries_the_headers_of_safety(url):
    for path in ("/", "/demo.js", "/api/about", "/nothing"):
        headers = ask(url, path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'; script-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["access-control-allow-origin"] is None
        assert headers["server"] is None


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 400),
        ({"Host": "localhost:1"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": "http://localhost:3000"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
    ],
)
def test_other_hosts_pages_get_nothing(url, headers, status):
    assert ask(url, "/api/pictures", rolled_png(8), headers).status == status


def test_its_own_page_and_links_to_it_are_let_in(url):
    assert ask(url, "/api/pictures", rolled_png(8), {"Origin": url}).status == 200
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert ask(url, "/", headers=link).status == 200


def test_the_page_asks_no_other_host_and_finds_its_parts(url):
    parts = {"/"}
    for path in ("/", "/demo.js", "/results.js", "/drawing.js", "/server.js", "/style.css"):
        text = ask(url, path).body.decode()
        assert not re.sub("http://www.w3.org/2000/svg", "", text).count("://"), path
        parts |= {"/" + p for p in re.findall(r'(?:href|src)="(?!#)([^"]+)"', text)}
        parts |= {"/" + p for p in re.findall(r'from "\./([^"]+)"', text)}
    assert len(parts) >= 7
    assert {path: ask(url, path).status for path in parts} == dict.fromkeys(parts, 200)
