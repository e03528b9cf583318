"""The help of every command, as a terminal of 80 columns shows it."""

import re

import pytest

from eyespot.cli import SUMMARIES, main

COMMANDS = [
    *(name.split() for name in SUMMARIES if name not in ("data", "weights", "probe")),
    *(["data", name] for name in ("check", "convert", "shard", "answers")),
    *(["data", "convert", name] for name in ("coco", "refcoco", "yolo")),
    *(["weights", name] for name in ("list", "pull", "convert", "verify", "import-mdetr")),
    *(["probe", name] for name in ("knn", "lowshot", "svm", "retrieval")),
    ["data"],
    ["weights"],
    ["train", "pycls/RegNetX-1.6GF"],
]


def help_of(capsys, *words):
    try:
        main([*words, "--help"])
    except SystemExit as end:
        assert end.code == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_help_fits_the_terminal(words, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = help_of(capsys, *words).splitlines()
    usage = [line for line in lines if line.startswith("usage: ")]
    assert len(usage) == 1
    assert "{None}" not in "".join(lines)
    assert not re.search(r"\[-h\] (\[OPTIONS\] )?\W*(STR|PATH)", usage[0])
    if words[0] != "train":
        wide = [line for line in lines if len(line) > 80 and not line.startswith("usage: ")]
        assert wide == []


def test_lines_of_an_explanation_are_joined(capsys, monkeypatch):
    """80 columns break them elsewhere than the source does."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line.strip("│ ") for line in help_of(capsys, "data", "check").splitlines()]
    at = next(i for i, line in enumerate(lines) if line.startswith("vocabulary, to see exactly"))
    assert "exactly which captions of an" in lines[at]


def test_the_command_of_a_recipe_is_one_line(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    lines = help_of(capsys, "train", "pycls/RegNetX-1.6GF").splitlines()
    assert "  Run:     eyespot train pycls/regnetx_1.6gf --data DIR --out DIR" in lines
    assert any(line.startswith("  Expect:  top-1 error 23.038 %") for line in lines)
    assert any(line.startswith("           ") for line in lines)


def test_what_data_takes_is_in_the_help_that_others_name(capsys):
    assert "(`eyespot data --help`)" in " ".join(help_of(capsys, "train", "swav/smoke").split())
    assert "MNIST's IDX files" in " ".join(help_of(capsys, "data").split())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["complexity", "RegNetY-500MF", "--batch", "x"], "invalid literal for int"),
        (["plan", "classify/smoke", "--optimizer", "adam"], "invalid choice 'adam'"),
        (["scale"], "NETWORK"),
    ],
)
def test_a_mistyped_value_is_refused(words, says, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 2
    said = capsys.readouterr().err
    assert says in said
    assert "None" not in said
