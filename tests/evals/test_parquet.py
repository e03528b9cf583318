import json
import sys

import numpy as np
import pytest

from eyespot.evals.feature_files import read_features
from eyespot.evals.parquet import write_parquet
from tests.evals.test_feature_files import ABOUT, fill


def test_the_file_holds_what_the_folder_holds(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    fill(tmp_path / "a")
    write_parquet(tmp_path / "a", tmp_path / "a.parquet")
    table = parquet.read_table(tmp_path / "a.parquet")
    rows = table.to_pylist()
    assert [row["index"] for row in rows] == list(range(7))
    assert [row["name"] for row in rows] == [f"p{i}" for i in range(7)]
    good = [row for row in rows if row["problem"] is None]
    assert {row["index"] for row in rows if row["problem"] == "broken"} == {1, 3, 4, 5}
    assert all(row["pool"] is None for row in rows if row["problem"])
    for tap in ABOUT.taps:
        wanted = read_features(tmp_path / "a", tap)
        np.testing.assert_array_equal(
            np.array([row[tap] for row in good], np.float32), wanted.features[0].numpy()
        )
        assert [row["label"] for row in good] == wanted.labels.tolist()
        assert str(table.schema.field(tap).type).startswith("fixed_size_list")
    assert json.loads(table.schema.metadata[b"eyespot"])["taps"] == list(ABOUT.taps)


def test_without_pyarrow_one_sentence_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    fill(tmp_path / "a")
    with pytest.raises(ValueError, match=r"pip install 'eyespot\[data\]'; or name a folder"):
        write_parquet(tmp_path / "a", tmp_path / "a.parquet")
