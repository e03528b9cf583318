"""`eyespot answer`: lines, JSON, and a sentence for every mistake; `eyespot data answers`."""

import json

import numpy as np
import pytest
from PIL import Image

from eyespot.cli import main
from eyespot.data.answers import SCENES_WORDS, read_answer_words
from eyespot.data.scenes import SceneConfig, write_grounding
from eyespot.models.answer_heads import heads_for
from eyespot.weights.grounders import save_grounder
from tests.predict.grounders import small_grounder

QUESTION = "Is the red cup left of a star?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("answer")
    for name, heads in (("w", heads_for(SCENES_WORDS.by_head())), ("plain", ())):
        loaded = small_grounder(answer_heads=heads)
        save_grounder(loaded.model, loaded.spec, loaded.tokenizer, folder / f"{name}.safetensors")
    rng = np.random.default_rng(0)
    for name in ("one", "two"):
        Image.fromarray(rng.integers(0, 256, (64, 80, 3), dtype=np.uint8)).save(
            folder / f"{name}.png"
        )
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno")
    return folder


def run(folder, *args, weights="w.safetensors"):
    main(["answer", *map(str, args), "--weights", str(folder / weights)])


def test_json(folder, capsys):
    images = folder / "one.png", folder / "two.png"
    run(folder, *images, QUESTION, "--json", "--min-score", "0", "--max-iou", "1")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["image"] for row in rows] == [str(image) for image in images]
    for row in rows:
        assert row["question"] == QUESTION
        assert row["answer"] in SCENES_WORDS.words[row["type"]]
        assert 0 < row["confidence"] <= 1
        assert [p["phrase"] for p in row["phrases"]] == ["the red cup", "a star"]
        assert len(row["phrases"][0]["boxes_xyxy_px"]) == 6


def test_lines(folder, capsys):
    run(folder, folder / "one.png", QUESTION, "--min-score", "1")
    first, second, third = capsys.readouterr().out.splitlines()
    name, _, said = first.partition(": ")
    assert name == str(folder / "one.png")
    word, _, confidence = said.partition(" (")
    assert any(word in words for words in SCENES_WORDS.words.values())
    assert confidence.endswith("%)")
    assert second == "  the red cup: not found"
    assert third == "  a star: not found"


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["one.png"], "need image files and then a question"),
        (["one.png", "two.png"], "need a question after the images"),
        (["one.png", "Q:"], "need a question, got an empty one"),
        (["one.png", "Q:   "], "need a question, got an empty one"),
        (["one.png", "Q:" + "is it red " * 500], "got one of 5,000 characters"),
        (["none.png", "Q:is it red?"], "no such file"),
        (["bad.png", "Q:is it red?"], "bad.png"),
        (["one.png", "Q:is it red?", "--min-score", "3"], "need min_score and max_iou of 0 to 1"),
    ],
)
def test_mistakes_are_one_sentence(folder, capsys, args, message):
    given = [
        a.removeprefix("Q:") if a.startswith("Q:") else folder / a if ".png" in a else a
        for a in args
    ]
    with pytest.raises(SystemExit) as stop:
        run(folder, *given)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert "Traceback" not in said
    assert len(said.strip().splitlines()) == 1


def test_weights_that_do_not_answer(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        run(folder, folder / "one.png", "is it red?", weights="plain.safetensors")
    assert stop.value.code == 2
    assert "got a network without answer heads" in capsys.readouterr().err


def test_one_bad_image_of_several_is_named_and_the_others_are_done(folder, capsys):
    with pytest.raises(SystemExit) as stop:
        run(folder, folder / "bad.png", folder / "one.png", "is it red?", "--json")
    assert stop.value.code == 2
    said = capsys.readouterr()
    assert len(said.out.splitlines()) == 1
    assert "bad.png" in said.err
    assert "got 1 of 2 that cannot" in said.err


def test_a_vocabulary_of_a_file(tmp_path, capsys):
    write_grounding(tmp_path, SceneConfig(image_size=32), seed=0, count=9, questions_each=9)
    out = tmp_path / "words.json"
    main(["data", "answers", str(tmp_path / "questions.json"), "--out", str(out)])
    words = read_answer_words(out)
    assert words.types[:2] == ("obj", "attr")
    assert words.words["binary"][-1] == "unknown"
    assert f"wrote {out}: obj" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stop:
        main(["data", "answers", str(tmp_path / "captions.json"), "--out", str(out)])
    assert stop.value.code == 2
