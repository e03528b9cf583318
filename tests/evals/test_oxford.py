import json
import pickle

import pytest

from eyespot.evals.oxford import read_truths
from eyespot.evals.retrieval import QueryTruth

REVISITED = {
    "imlist": ["a", "b", "c"],
    "qimlist": ["q"],
    "gnd": [{"bbx": [1, 2, 30.5, 40], "easy": [0], "hard": [2], "junk": []}],
}
WANTED = (QueryTruth("q", (1.0, 2.0, 30.5, 40.0), (0,), (2,), ()),)


def test_json_and_pickle_say_the_same(tmp_path):
    (tmp_path / "gnd.json").write_text(json.dumps(REVISITED))
    (tmp_path / "gnd_roxford5k.pkl").write_bytes(pickle.dumps(REVISITED))
    for name in ("gnd.json", "gnd_roxford5k.pkl"):
        found = read_truths(tmp_path / name)
        assert found.images == ("a", "b", "c")
        assert found.queries == WANTED


class Bomb:
    def __reduce__(self):
        return (print, ("boom",))


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path, capsys):
    path = tmp_path / "gnd.pkl"
    path.write_bytes(pickle.dumps({**REVISITED, "extra": Bomb()}))
    with pytest.raises(ValueError, match=r"builtins.print, which is code"):
        read_truths(path)
    assert "boom" not in capsys.readouterr().out


def test_the_original_text_files(tmp_path):
    texts = {
        "all_souls_1_query": "oxc1_b 1 2 3 4\n",
        "all_souls_1_good": "a\n",
        "all_souls_1_ok": "c\nb\n",
        "all_souls_1_junk": "",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.txt").write_text(text)
    found = read_truths(tmp_path, ["a", "b", "c", "d"])
    assert found.queries == (QueryTruth("b", (1.0, 2.0, 3.0, 4.0), (0, 2, 1), (), ()),)
    with pytest.raises(ValueError, match="got 'c' in .*_ok.txt; are all"):
        read_truths(tmp_path, ["a", "b"])


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"nonsense", "need ground truths with imlist"),
        (json.dumps({"imlist": []}).encode(), "KeyError"),
        (json.dumps([1]).encode(), "need ground truths"),
        (json.dumps({**REVISITED, "imlist": ["a"]}).encode(), "speaks of image 2 of 1"),
        (json.dumps({**REVISITED, "qimlist": []}).encode(), "need ground truths"),
    ],
)
def test_damaged_files_are_said_to_be(tmp_path, content, says):
    (tmp_path / "gnd.json").write_bytes(content)
    with pytest.raises(ValueError, match=says):
        read_truths(tmp_path / "gnd.json")


def test_cut_pickles_and_empty_folders_are_said_to_be(tmp_path):
    whole = pickle.dumps(REVISITED)
    for length in range(0, len(whole) - 1, 7):
        (tmp_path / "gnd.pkl").write_bytes(whole[:length])
        with pytest.raises(ValueError, match="need ground truths"):
            read_truths(tmp_path / "gnd.pkl")
    with pytest.raises(ValueError, match="all_souls_1_query.txt, got none"):
        read_truths(tmp_path)
