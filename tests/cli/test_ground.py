"""`eyespot ground`: lines, JSON, pictures, and a sentence for every mistake."""

import json

import numpy as np
import pytest
from PIL import Image

from eyespot.cli import main
from eyespot.models.mdetr import ModulatedDetector
from eyespot.predict.grounder import Grounder
from eyespot.weights.grounders import save_grounder
from tests.predict.grounders import small_grounder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ground")
    loaded = small_grounder()
    save_grounder(loaded.model, loaded.spec, loaded.tokenizer, folder / "w.safetensors")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(
            folder / f"{name}.png"
        )
    Image.fromarray(rng.integers(0, 256, (90, 64, 3), dtype=np.uint8)).save(folder / "tall.png")
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return folder


def run(folder, *args):
    main(["ground", *map(str, args), "--weights", str(folder / "w.safetensors")])


def test_json_and_pictures(folder, capsys):
    images = folder / "one.png", folder / "two.png"
    run(
        folder,
        *images,
        "a red cup and two stars",
        "--json",
        "--min-score",
        "0",
        "--max-iou",
        "1",
        "--out",
        folder / "out",
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == [str(i) for i in images]
    assert [p["phrase"] for p in rows[0]["phrases"]] == ["a red cup", "two stars"]
    assert len(rows[0]["phrases"][0]["boxes_xyxy_px"]) == 6
    assert (folder / "out" / "one.grounded.png").is_file()
    assert (folder / "out" / "two.grounded.png").is_file()


def test_coco_results_of_all_images(folder):
    images = folder / "one.png", folder / "two.png"
    path = folder / "found.json"
    run(folder, *images, "a red cup and two stars", "--coco", path, "--min-score", "0")
    rows = json.loads(path.read_text())
    assert {row["image_id"] for row in rows} == {0, 1}
    assert {(row["category_id"], row["phrase"]) for row in rows} == {
        (1, "a red cup"),
        (2, "two stars"),
    }


def test_lines(folder, capsys):
    run(folder, folder / "one.png", "a red cup", "--min-score", "1")
    assert capsys.readouterr().out.splitlines()[1] == "  a red cup: not found"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["one.png"], "need image files and then a text"),
        (["one.png", "two.png"], "need a text after the images"),
        (["one.png", "TEXT:"], "got an empty one"),
        (["none.png", "TEXT:a cup"], "no such file"),
        (["bad.png", "TEXT:a cup"], "bad.png"),
        (["FOLDER", "TEXT:a cup"], "a folder; name its files"),
        (["one.png", "TEXT:a cup", "--coco", "nowhere/x.json"], "in a folder that is there"),
        (["one.png", "TEXT:a cup", "--out", "one.png"], "need a folder, or a new name for one"),
        (
            ["one.png", "one.png", "TEXT:a cup", "--out", "drawn"],
            "images of different names for --out, got 2 named 'one'",
        ),
        (["one.png", "TEXT:what is it"], 'mark the words to look for with --phrase "..."'),
        (["one.png", "TEXT:a red cup", "--phrase", "a star"], "got 'a star'"),
        (["one.png", "TEXT:a red cupboard", "--phrase", "cup"], "got 'cup'"),
        (["one.png", "TEXT:a red cup", "--phrase", " "], "got ' '"),
        (["--text", "a cup"], "need image files beside --text, got none"),
        (["one.png", "--text", "a cup", "--text", "a car", "--phrase", "a cup"], "need one text"),
        (["one.png", "--text", "a cup", "--text", ""], "got an empty one"),
        (["one.png", "TEXT:a cup", "--min-score", "3"], "need min_score and max_iou of 0 to 1"),
    ],
)
def test_mistakes_are_one_sentence(folder, capsys, args, message):
    given = [
        a.removeprefix("TEXT:") if a.startswith("TEXT:") else folder / a if ".png" in a else a
        for a in args
    ]
    given = [folder if word == "FOLDER" else word for word in given]
    with pytest.raises(SystemExit) as stop:
        run(folder, *given)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said


def test_one_bad_image_of_several_is_named_and_the_others_are_done(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        run(folder, folder / "bad.png", folder / "one.png", "a cup", "--json")
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert said.err.count("bad.png") == 1
    assert "got 1 of 2 that cannot" in said.err


def rows_of(folder, capsys, *args):
    run(folder, *args, "--json", "--min-score", "0", "--max-iou", "1")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def same(found, expected):
    assert (found["image"], found["text"]) == (expected["image"], expected["text"])
    for one, other in zip(found["phrases"], expected["phrases"], strict=True):
        assert one["span"] == other["span"]
        np.testing.assert_allclose(one["boxes_xyxy_px"], other["boxes_xyxy_px"], atol=0.02)
        np.testing.assert_allclose(one["scores"], other["scores"], atol=2e-4)


def test_images_are_read_together_and_equal_one_by_one(folder, capsys, monkeypatch):
    """Two of one size, one of another and a damaged one; the text is encoded once."""
    images = [folder / name for name in ("one.png", "bad.png", "tall.png", "two.png")]
    alone = [rows_of(folder, capsys, image, "a red cup and two stars")[0] for image in images[::2]]
    alone.append(rows_of(folder, capsys, images[3], "a red cup and two stars")[0])
    seen = []
    for name in ("encode_image", "encode_text"):
        real = getattr(ModulatedDetector, name)

        def counted(self, first, *rest, name=name, real=real):
            seen.append((name, len(first)))
            return real(self, first, *rest)

        monkeypatch.setattr(ModulatedDetector, name, counted)
    path = folder / "batch.json"
    with pytest.raises(SystemExit) as stop:
        rows_of(folder, capsys, *images, "a red cup and two stars", "--coco", path)
    assert stop.value.code == 2
    said = capsys.readouterr()
    for found, expected in zip(said.out.splitlines(), alone, strict=True):
        same(json.loads(found), expected)
    assert sorted(seen) == [("encode_image", 1), ("encode_image", 2), ("encode_text", 1)]
    assert said.err.count("bad.png") == 1
    assert {row["image_id"] for row in json.loads(path.read_text())} == {0, 2, 3}


def test_several_texts_in_several_images_equal_one_by_one(folder, capsys):
    images, texts = [folder / "one.png", folder / "tall.png"], ["a red cup and a car", "two stars"]
    asked = [word for text in texts for word in ("--text", text)]
    out, path = folder / "several", folder / "several.json"
    together = rows_of(folder, capsys, *images, *asked, "--out", out, "--coco", path)
    one_by_one = [rows_of(folder, capsys, i, t)[0] for i in images for t in texts]
    for found, expected in zip(together, one_by_one, strict=True):
        same(found, expected)
    names = sorted(file.name for file in out.iterdir())
    assert names == [f"{i}.{n}.grounded.png" for i in ("one", "tall") for n in (1, 2)]
    categories = {(row["category_id"], row["phrase"]) for row in json.loads(path.read_text())}
    assert categories == {(1, "a red cup"), (2, "a car"), (3, "two stars")}
    run(folder, images[0], *asked)
    assert f'{images[0]}: 1 phrase in "two stars"' in capsys.readouterr().out


def test_phrases_may_be_marked(folder, capsys):
    text = "What is it? The red cup, a cup in the cupboard."
    marked = ["--phrase", "the red cup", "--phrase", "cup", "--attention", "--out", folder / "m"]
    (found,) = rows_of(folder, capsys, folder / "one.png", text, *marked)
    assert [(p["phrase"], p["span"]) for p in found["phrases"]] == [
        ("The red cup", [12, 23]),
        ("cup", [20, 23]),
        ("cup", [27, 30]),
    ]
    with Image.open(folder / "m" / "one.attention.png") as drawn:
        assert drawn.width > 2 * 80
    (own,) = rows_of(folder, capsys, folder / "one.png", "red cup and star", "--phrase", "star")
    loaded = Grounder.from_pretrained(folder / "w.safetensors")
    expected = loaded(
        folder / "one.png", "red cup and star", phrases=[(12, 16)], min_score=0, max_iou=1
    )
    np.testing.assert_allclose(own["phrases"][0]["scores"], expected.phrases[0].scores, atol=1e-4)


def test_masks_are_drawn_and_written_as_run_lengths(folder, capsys):
    loaded = small_grounder(with_masks=True, dim=128, num_heads=8)
    save_grounder(loaded.model, loaded.spec, loaded.tokenizer, folder / "masks.safetensors")
    args = [str(folder / "one.png"), "a red cup", "--min-score", "0", "--max-iou", "1", "--json"]
    weights = ["--weights", str(folder / "masks.safetensors")]
    main(["ground", *args, *weights])
    (phrase,) = json.loads(capsys.readouterr().out)["phrases"]
    assert "masks" not in phrase
    main(["ground", *args, *weights, "--masks", "--out", str(folder / "masks")])
    (phrase,) = json.loads(capsys.readouterr().out)["phrases"]
    assert [mask["size"] for mask in phrase["masks"]] == [[64, 80]] * 6
    written = json.loads((folder / "masks" / "one.masks.json").read_text())
    assert written["phrases"][0]["masks"] == phrase["masks"]


def test_weights_that_draw_no_masks_say_so(folder, capsys):
    with pytest.raises(SystemExit):
        run(folder, folder / "one.png", "a red cup", "--masks")
    assert "need weights with a segmentation head for --masks" in capsys.readouterr().err


def test_attention_is_drawn_into_a_folder(folder, capsys):
    run(folder, folder / "one.png", "a red cup and two stars", "--attention", "--out", folder / "a")
    with Image.open(folder / "a" / "one.attention.png") as drawn:
        assert drawn.width > 2 * 80  # a panel for each phrase
    with pytest.raises(SystemExit) as stop:
        run(folder, folder / "one.png", "a red cup", "--attention")
    assert stop.value.code == 2
    assert "need --out, a folder for the pictures of --attention" in capsys.readouterr().err
