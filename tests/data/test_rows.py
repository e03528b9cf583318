import os
import pickle

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from eyespot.data import rows
from eyespot.data.rows import PackedStrings, TextRows

CHARACTERS = st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])
LINES = st.lists(st.text(CHARACTERS, min_size=1), min_size=1)


@given(strings=st.lists(st.text()))
def test_packed_strings_are_the_strings(strings):
    packed = PackedStrings(strings)
    assert [packed[i] for i in range(len(packed))] == strings
    assert not strings or packed[-1] == strings[-1]
    with pytest.raises(IndexError):
        packed[len(strings)]


@given(lines=LINES, newline=st.sampled_from(["\n", "\r\n"]), last=st.booleans())
@settings(max_examples=60)
def test_rows_are_the_lines(tmp_path_factory, lines, newline, last):
    path = tmp_path_factory.mktemp("rows") / "list.txt"
    path.write_bytes((newline.join(lines) + newline * last).encode())
    # Python's own line splitting breaks at more characters, so the list itself is the oracle.
    text = TextRows(path)
    assert [text[i] for i in range(len(text))] == lines
    assert text[-1] == lines[-1]


def test_chunks_do_not_matter(tmp_path, monkeypatch):
    lines = [f"images/{i % 97 * 'x'}{i}.jpg" for i in range(500)]
    path = tmp_path / "list.txt"
    path.write_text("\n".join(lines))
    monkeypatch.setattr(rows, "_CHUNK", 7)
    text = TextRows(path)
    assert [text[i] for i in range(len(text))] == lines


def test_the_index_is_kept_until_the_text_changes(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a\nb\n")
    assert len(TextRows(path)) == 2
    index = tmp_path / "list.txt.rows"
    before = index.stat().st_mtime_ns
    assert len(TextRows(path)) == 2
    assert index.stat().st_mtime_ns == before
    path.write_text("a\nb\nc\n")
    assert TextRows(path)[2] == "c"
    index.write_bytes(index.read_bytes()[:-3])  # a torn index is made anew
    assert TextRows(path)[2] == "c"
    assert sorted(os.listdir(tmp_path)) == ["list.txt", "list.txt.rows"]


def test_an_index_that_cannot_lie_beside_is_kept_in_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "list.txt").write_text("a\nb")
    (tmp_path / "list.txt.rows" / "in the way").mkdir(parents=True)
    assert TextRows(tmp_path / "list.txt")[1] == "b"
    (kept,) = (tmp_path / "cache/eyespot/indexes").iterdir()
    before = kept.stat().st_mtime_ns
    assert TextRows(tmp_path / "list.txt")[1] == "b"
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("strings", [["a"], [""], ["", "", "é"], ["ab", "", "c", ""]])
def test_a_block_of_strings_is_what_they_are_one_by_one(strings):
    packed = PackedStrings(strings)
    again = PackedStrings.split(packed.joined())
    assert list(again) == strings
    assert again.digest() == packed.digest()


def test_rows_are_not_pickled_along(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("".join(f"{i}\n" for i in range(10_000)))
    text = TextRows(path)
    assert text[77] == "77"
    data = pickle.dumps(text)
    assert len(data) < 1000
    assert pickle.loads(data)[9_999] == "9999"


def test_an_empty_line_is_refused_with_its_number(tmp_path):
    path = tmp_path / "list.txt"
    path.write_text("a\nb\n\nc\n")
    with pytest.raises(ValueError, match=r"no empty lines in .*list.txt, got one: line 3"):
        TextRows(path)
    assert os.listdir(tmp_path) == ["list.txt"]
    with pytest.raises(ValueError, match="no such file"):
        TextRows(tmp_path / "other.txt")


@pytest.mark.slow
def test_ten_million_rows_cost_no_memory(tmp_path):
    import resource

    path = tmp_path / "list.txt"
    numbers = np.char.mod("%09d.jpg", np.arange(1_000_000)).astype("S13")
    with path.open("wb") as file:
        for _ in range(10):
            file.write(b"\n".join(numbers.tolist()) + b"\n")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    text = TextRows(path)
    assert len(text) == 10_000_000
    assert text[9_999_999] == "000999999.jpg"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000  # KiB
