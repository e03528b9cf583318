"""The journal: what survives a crash, and what is said about what does not."""

import json
import math
import multiprocessing
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eyespot.sweep.records import (
    Record,
    append_record,
    latest,
    plain_metrics,
    read_journal,
)

METRICS = st.dictionaries(
    st.text(),
    st.one_of(
        st.integers(-(2**53), 2**53),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(),
        st.booleans(),
        st.lists(st.floats(allow_nan=False, allow_infinity=False)),
    ),
)


@given(metrics=METRICS, error=st.text(), point=st.integers(0, 10**6))
@settings(max_examples=50)
def test_a_record_survives(metrics, error, point, tmp_path_factory):
    path = tmp_path_factory.mktemp("journal") / "results.jsonl"
    record = Record(point, "done", metrics, error, 1.5, 2, "host 1", 3.25)
    append_record(path, record)
    append_record(path, record)
    journal = read_journal(path)
    assert journal.records == [record, record]
    assert journal.notes == []
    assert journal.end == path.stat().st_size


def test_what_is_not_finite_is_null_on_disk_and_nan_when_read(tmp_path):
    path = tmp_path / "results.jsonl"
    metrics = {"error": [math.nan, math.inf, 3], "lr": -math.inf, "ok": 1}
    append_record(path, Record(0, "done", metrics))
    assert json.loads(path.read_text(), parse_constant=lambda _: pytest.fail("not JSON"))
    (record,) = read_journal(path).records
    assert math.isnan(record.metrics["error"][0])
    assert math.isnan(record.metrics["error"][1])
    assert record.metrics["error"][2] == 3
    assert math.isnan(record.metrics["lr"])


def test_numpy_numbers_are_numbers():
    plain = plain_metrics({"a": np.float32(0.5), "b": np.int64(3), "c": (1, np.float64(2))})
    assert plain == {"a": 0.5, "b": 3, "c": [1, 2.0]}
    assert [type(value) for value in plain.values()] == [float, int, list]


@pytest.mark.parametrize(
    ("metrics", "sentence"),
    [
        (3, "need metrics as a mapping of names to numbers, got 3"),
        ({"e": {"a": 1}}, "need metric 'e' as a number, text, or a list of numbers, got {'a': 1}"),
        ({"e": [[1]]}, r"need metric 'e' as .* got \[\[1\]\]"),
        ({"e": object()}, "need metric 'e'"),
    ],
)
def test_what_is_no_metric_is_refused(metrics, sentence):
    with pytest.raises(ValueError, match=sentence):
        plain_metrics(metrics)


def test_a_journal_torn_anywhere_loses_one_record_and_says_so(tmp_path):
    path = tmp_path / "results.jsonl"
    records = [Record(i, "done", {"error": i * 1.5}) for i in range(3)]
    for record in records:
        append_record(path, record)
    whole = path.read_bytes()
    last = whole.rindex(b"\n", 0, -1) + 1
    for cut in range(last, len(whole)):
        path.write_bytes(whole[:cut])
        journal = read_journal(path)
        complete = cut == len(whole) - 1  # only the newline is gone
        assert journal.records == (records if complete else records[:2])
        assert len(journal.notes) == (0 if complete or cut == last else 1)
        if journal.notes:
            assert f"{cut - last} bytes at byte {last} are no record" in journal.notes[0]
        append_record(path, records[2])
        again = read_journal(path)
        assert again.records[:2] == records[:2]
        assert again.records[-1] == records[2]
        assert len(again.notes) == len(journal.notes)


def test_reading_goes_on_where_it_was(tmp_path):
    path = tmp_path / "results.jsonl"
    assert read_journal(path) == ([], [], 0)
    append_record(path, Record(0, "done"))
    first = read_journal(path)
    append_record(path, Record(1, "failed", error="x"))
    second = read_journal(path, first.end)
    assert [r.point for r in second.records] == [1]
    half = path.read_bytes()[:-20]
    path.write_bytes(half)
    assert read_journal(path, first.end).end == first.end


def test_json_that_is_no_record_is_an_error(tmp_path):
    path = tmp_path / "results.jsonl"
    path.write_text('{"point": 0}\n')
    with pytest.raises(ValueError, match=r"need records in .*results\.jsonl, got .* at byte 0"):
        read_journal(path)
    path.write_text('{"point": 0, "status": "doen", "metrics": {}}\n')
    with pytest.raises(ValueError, match=r"unknown status 'doen'. Did you mean done"):
        read_journal(path)


def test_the_first_done_record_counts_else_the_last():
    records = [
        Record(0, "failed", error="a"),
        Record(1, "done", {"error": 1.0}),
        Record(0, "retry"),
        Record(1, "done", {"error": 2.0}),
        Record(2, "failed", error="b"),
        Record(2, "retry"),
        Record(1, "failed"),
    ]
    found = latest(records)
    assert (found[0].status, found[1].metrics, found[2].status) == (
        "retry",
        {"error": 1.0},
        "retry",
    )


def test_a_full_disk_is_an_error_that_names_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda handle, data: len(data) - 1)
    with pytest.raises(OSError, match=r"need room for a record in .*results\.jsonl"):
        append_record(tmp_path / "results.jsonl", Record(0, "done"))


def _append_many(path, writer):
    for i in range(50):
        append_record(path, Record(i, "done", {"text": "x" * 5000}, worker=str(writer)))


def test_many_writers_never_mix_their_lines(tmp_path):
    path = tmp_path / "results.jsonl"
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_append_many, args=(path, w)) for w in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    journal = read_journal(path)
    assert journal.notes == []
    assert sorted((r.worker, r.point) for r in journal.records) == sorted(
        (str(w), i) for w in range(4) for i in range(50)
    )
