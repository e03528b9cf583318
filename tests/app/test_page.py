"""The page in a real browser: what people see and do."""

import json
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from playwright.sync_api import expect

from eyespot.ops import rle
from tests.app.browser import CHROMIUM, browsing
from tests.app.serving import ask, ground, running

pytestmark = pytest.mark.skipif(
    not Path(CHROMIUM).is_file(), reason=f"needs a browser at {CHROMIUM} (apt install chromium)"
)

TEXT = "🙂 two\u00a0stars, a heart: it's A purple car above a red house"

UNSURE = "A purple car above a heart; a red house"
"""The network takes the star for a heart too, with a score between 0.5 and 0.8."""


@pytest.fixture(scope="module")
def opened():
    """The page in one browser; everything it asked for and everything it complained of."""
    expect.set_options(timeout=20_000)
    with running() as (_, url), browsing() as browser:
        context = browser.new_context(color_scheme="light", viewport={"width": 1280, "height": 900})
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        examples = [SimpleNamespace(**e) for e in ask(url, "/api/about").json["examples"]]
        seen = SimpleNamespace(url=url, page=page, asked=[], complaints=[], examples=examples)
        page.on("request", lambda request: seen.asked.append(request.url))
        page.on("console", lambda message: seen.complaints.append(message.text))
        page.on("pageerror", lambda error: seen.complaints.append(str(error)))
        yield seen


@pytest.fixture
def page(opened):
    """The page as it opens: the first example, found; afterwards, that it never complained."""
    opened.page.set_viewport_size({"width": 1280, "height": 900})
    opened.page.goto(opened.url)
    expect(opened.page.locator("#sentence")).to_have_text(opened.examples[0].text)
    yield opened.page
    strangers = [u for u in opened.asked if not u.startswith((opened.url, f"blob:{opened.url}"))]
    assert not strangers
    complaints, opened.complaints[:] = opened.complaints[:], []
    assert not complaints


def rolled(opened, seed):
    return ask(opened.url, f"/api/scenes/{seed}.png").body


def find(page, text):
    page.fill("#text", text)
    page.press("#text", "Enter")
    expect(page.locator("#sentence")).to_have_text(text)


def scores(page):
    return [float(label.split()[-1]) for label in page.locator("#labels .score").all_inner_texts()]


def slide(page, threshold):
    page.locator("#threshold").fill(str(threshold))


def test_a_sentence_gives_boxes_and_the_phrases_exact_characters(page, opened):
    find(page, TEXT)
    found = ground(opened.url, rolled(opened, opened.examples[0].seed), TEXT).json
    shown = [s for p in found["phrases"] for s in p["exact_scores"] if s >= 0.5]
    assert len(shown) >= 3
    shown += [s for s in (found["referent"]["exact_score"],) if s >= 0.5]
    expect(page.locator("#boxes .box")).to_have_count(len(shown))
    assert sorted(scores(page)) == sorted(round(s, 2) for s in shown)
    marks = page.locator("#sentence mark").evaluate_all("all => all.map(m => m.textContent)")
    assert marks == [p["phrase"] for p in found["phrases"]]
    colours = page.locator("#sentence mark").evaluate_all(
        "all => all.map(m => m.style.getPropertyValue('--c'))"
    )
    assert len(set(colours)) == len(marks)
    best = found["phrases"][-1]["boxes_xyxy_px"][0]
    rect = page.locator(f'.box[data-phrase="{len(marks) - 1}"] .line').first
    frame = page.locator("#picture").bounding_box()
    place = rect.bounding_box()
    assert abs(place["x"] - (frame["x"] + best[0] * frame["width"] / 384)) < 4
    assert abs(place["y"] - (frame["y"] + best[1] * frame["height"] / 384)) < 4
    assert abs(place["width"] - (best[2] - best[0]) * frame["width"] / 384) < 8


def test_the_threshold_acts_at_once_and_asks_no_server(page, opened):
    find(page, UNSURE)
    before = scores(page)
    assert min(before) < 0.8 < max(before)
    asked = len(opened.asked)
    slide(page, 0.8)
    assert sorted(scores(page)) == sorted(s for s in before if s >= 0.8)
    slide(page, 1)
    expect(page.locator("#boxes .box")).to_have_count(0)
    expect(page.locator("#phrases .none")).to_have_count(4)  # the whole text is one more
    expect(page.locator("#status")).to_contain_text("3 phrases, 0 boxes, 3 not found")
    slide(page, 0.5)
    assert scores(page) == before
    assert len(opened.asked) == asked


def test_a_phrase_and_its_boxes_light_up_together(page):
    find(page, UNSURE)
    page.hover('#phrases [data-phrase="1"]')
    lit = page.locator(".box.lit")
    expect(lit).to_have_count(page.locator('.box[data-phrase="1"]').count())
    expect(page.locator("#sentence mark.lit")).to_have_text("a heart")
    page.hover('.box[data-phrase="2"] .line')
    expect(page.locator("#sentence mark.lit")).to_have_text("a red house")
    expect(page.locator("#phrases button.lit .name")).to_have_text("a red house")
    page.mouse.move(5, 5)
    expect(lit).to_have_count(0)
    page.focus('#phrases [data-phrase="0"]')
    page.keyboard.press("Space")  # stays lit
    page.focus("#text")
    expect(page.locator("#phrases [aria-pressed=true] .name")).to_have_text("A purple car")
    expect(page.locator("#sentence mark.lit")).to_have_text("A purple car")
    page.keyboard.press("Escape")
    expect(lit).to_have_count(0)


def test_a_rolled_scene_brings_its_caption(page, opened):
    page.click("#roll")
    expect(page.locator("#about-picture")).not_to_contain_text(
        f"scene-{opened.examples[0].seed}.png"
    )
    seed = page.locator("#about-picture").inner_text().split("-")[1].split(".")[0]
    text = ask(opened.url, f"/api/scenes/{seed}").json["text"]
    expect(page.locator("#sentence")).to_have_text(text)
    expect(page.locator("#text")).to_have_value(text)
    page.click(f"#examples button >> nth={len(opened.examples) - 1}")
    expect(page.locator("#sentence")).to_have_text(opened.examples[-1].text)


SAYS = """
import json, shlex, sys
from eyespot.cli import main

shell, python = sys.argv[1:]
main(shlex.split(shell)[1:])
names = {}
exec(python, names)
print(json.dumps(names["found"].to_dict()))
"""


def test_the_download_is_what_the_command_line_and_the_program_give(page, opened, tmp_path):
    name = "it's a scene.png"
    (tmp_path / name).write_bytes(rolled(opened, 10))
    page.set_input_files("#file", tmp_path / name)
    expect(page.locator("#status")).to_contain_text("The picture is read")
    expect(page.locator("#note")).to_contain_text("know rendered shapes alone")
    find(page, TEXT)
    slide(page, 0.34)
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "it's a scene.grounded.json"
    got = json.loads(Path(download.value.path()).read_text(encoding="utf-8"))
    shown = sum(len(p["scores"]) for p in got["phrases"]) + (got["referent"] is not None)
    assert shown == len(scores(page)) >= 2
    page.click("[data-copies=shell]")
    expect(page.locator("[data-copies=shell]")).to_have_text("Copied")
    shell = page.evaluate("navigator.clipboard.readText()")
    assert shlex.split(shell)[:4] == ["eyespot", "ground", name, TEXT]
    done = subprocess.run(
        [sys.executable, "-c", SAYS, shell, page.inner_text("#python")],
        cwd=tmp_path, capture_output=True, text=True, check=True, timeout=100,
    )  # fmt: skip
    printed, returned = map(json.loads, done.stdout.splitlines())
    assert got == printed
    assert {"image": name, **returned} == printed


def test_what_the_whole_text_means_has_a_star_and_obeys_the_threshold(page, opened):
    found = ground(opened.url, rolled(opened, opened.examples[0].seed), UNSURE).json
    meant = {"box_xyxy_px": found["phrases"][0]["boxes_xyxy_px"][0], "score": 0.8123}
    found["referent"] = {**meant, "exact_score": 0.81232}
    page.route("**/api/ground?*", lambda route: route.fulfill(json=found))
    try:
        find(page, UNSURE)
    finally:
        page.unroute("**/api/ground?*")
    expect(page.locator("#phrases li").last).to_have_text("★What the whole text means0.81")
    for threshold, count, want in ((0.81, 1, meant), (0.82, 0, None)):
        slide(page, threshold)
        expect(page.locator(".box.whole")).to_have_count(count)
        with page.expect_download() as download:
            page.click("#download")
        assert json.loads(Path(download.value.path()).read_text())["referent"] == want


def test_a_damaged_file_is_named_and_the_page_goes_on(page, opened, tmp_path):
    (tmp_path / "bad.png").write_bytes(rolled(opened, 8)[:3000])
    page.set_input_files("#file", tmp_path / "bad.png")
    error = page.locator("[role=alert]")
    expect(error).to_contain_text("bad.png: an image of 3000 bytes cannot be decoded")
    expect(page.locator("#boxes .box")).to_have_count(0)
    page.press("#text", "Enter")
    expect(error).to_have_text("Choose a picture first, or roll a scene.")
    drop = """bytes => {
        const data = new DataTransfer();
        data.items.add(new File([new Uint8Array(bytes)], "dropped.png", {type: "image/png"}));
        document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true}));
    }"""
    page.evaluate(drop, list(rolled(opened, 24)))
    expect(page.locator("#about-picture")).to_have_text("dropped.png, 384 × 384")
    expect(error).to_be_hidden()
    page.fill("#text", " ")
    page.click("#find")
    expect(error).to_have_text("Type what to find in the picture.")
    find(page, "a blue heart and a key")
    expect(error).to_be_hidden()
    assert len(opened.complaints) == 1  # the browser's own line on the refused file
    assert "422" in opened.complaints.pop()


def test_it_fits_a_phone_in_dark_and_everything_has_a_name(page):
    page.set_viewport_size({"width": 360, "height": 740})
    find(page, UNSURE)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.click("#theme")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(18, 22, 27)"
    tree = page.locator("body").aria_snapshot()
    for named in (
        *('heading "Eyespot"', 'textbox "Text to find in the picture"', 'button "Find"'),
        *('slider "Least score of a box"', "status", 'list "Phrases"', 'button "Roll a scene"'),
        *('button "2 a heart 0.', 'button "Choose a picture"', 'region "Examples"'),
    ):
        assert named in tree, tree


def test_masks_are_decoded_and_painted(page):
    rng = np.random.default_rng(0)
    masks = np.stack([rng.random((37, 53)) < share for share in (0.1, 0.5, 0.97, 0, 1)])
    masks[1, :, 10:40] = True  # long runs, and differences below zero
    coded = rle.to_coco(rle.encode(masks), compressed=True)
    paint = """async ([masks, size]) => {
        const { drawMarks } = await import("/drawing.js");
        const [frame, boxes, labels, layer] = ["frame", "boxes", "labels", "masks"]
            .map((id) => document.getElementById(id));
        const box = [0, 0, size.width, size.height];
        return masks.map((mask) => {
            const mark = {phrase: 0, name: "", colour: "#ff0000", ink: "#fff", score: 1, box, mask};
            drawMarks([mark], size, {frame, boxes, labels, masks: layer}, true);
            const canvas = layer.querySelector("canvas");
            const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return [...pixels.data].filter((_, i) => i % 4 === 3);
        });
    }"""
    painted = page.evaluate(paint, [coded, {"width": 53, "height": 37}])
    assert (np.array(painted).reshape(masks.shape) == 255 * masks).all()
