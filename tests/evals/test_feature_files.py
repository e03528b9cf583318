import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from eyespot.evals.extract import Row
from eyespot.evals.feature_files import (
    About,
    is_feature_folder,
    missing_shards,
    read_about,
    read_features,
    start_folder,
    write_shard,
)

ABOUT = About(7, 3, ("pool", "s3@2x1"), "float32", {"data": "x", "view": [36, 32]})


def rows_of(shard, bad=()):
    return [Row(i, f"p{i}", i % 2, "broken" if i in bad else "") for i in ABOUT.indices(shard)]


def values(count, width, seed):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def fill(folder, bad=(1, 3, 4, 5)):
    start_folder(folder, ABOUT)
    written = []
    for shard in range(3):
        rows = rows_of(shard, bad)
        good = sum(not row.problem for row in rows)
        features = [values(good, 4, shard), values(good, 6, 10 + shard)]
        write_shard(folder, ABOUT, shard, rows, features)
        written.append(features)
    return written


def test_what_is_written_is_read(tmp_path):
    written = fill(tmp_path)
    assert is_feature_folder(tmp_path)
    assert read_about(tmp_path) == replace(ABOUT, facts={"data": "x", "view": [36, 32]})
    for place, tap in enumerate(ABOUT.taps):
        table = read_features(tmp_path, tap)
        assert torch.equal(table.features[0], torch.cat([part[place] for part in written]))
        assert table.indices.tolist() == [0, 2, 6]
        assert table.labels.tolist() == [0, 0, 0]
        assert [row.index for row in table.problems] == [1, 3, 4, 5]


def test_half_precision_is_kept_as_such(tmp_path):
    about = replace(ABOUT, num_samples=2, taps=("pool",), dtype="float16")
    start_folder(tmp_path, about)
    write_shard(tmp_path, about, 0, rows_of(0)[:2], [values(2, 4, 0)])
    assert read_features(tmp_path).features[0].dtype == torch.float16
    assert np.load(tmp_path / "00000.pool.npy").dtype == np.float16


def test_a_shard_counts_when_its_rows_are_there(tmp_path):
    start_folder(tmp_path, ABOUT)
    assert missing_shards(tmp_path, ABOUT) == [0, 1, 2]
    write_shard(tmp_path, ABOUT, 1, rows_of(1), [values(3, 4, 0), values(3, 6, 0)])
    assert missing_shards(tmp_path, ABOUT) == [0, 2]
    (tmp_path / "00001.rows.jsonl").unlink()
    assert missing_shards(tmp_path, ABOUT) == [0, 1, 2]
    with pytest.raises(ValueError, match=r"need all 3 shards in .*, missing 3"):
        read_features(tmp_path, "pool")


def test_a_folder_is_gone_on_with_only_for_the_very_same(tmp_path):
    start_folder(tmp_path / "a", ABOUT)
    start_folder(tmp_path / "a", ABOUT)
    with pytest.raises(ValueError, match='the same dtype as in .* got "float16" instead of'):
        start_folder(tmp_path / "a", replace(ABOUT, dtype="float16"))
    with pytest.raises(ValueError, match='the same data as in .* got "y" instead of'):
        start_folder(tmp_path / "a", replace(ABOUT, facts={"data": "y"}))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "picture.jpg").touch()
    with pytest.raises(ValueError, match="need a new or empty folder"):
        start_folder(tmp_path / "b", ABOUT)


def test_damage_is_named(tmp_path):
    fill(tmp_path)
    path = tmp_path / "00002.pool.npy"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=r"need features in .*00002.pool.npy"):
        read_features(tmp_path, "pool")
    np.save(path, np.zeros((5, 4), np.float32))
    with pytest.raises(ValueError, match=r"need 1 rows in .*got shape \(5, 4\)"):
        read_features(tmp_path, "pool")
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="need features in"):
        read_features(tmp_path, "pool")
    (tmp_path / "00000.rows.jsonl").write_text("{}\n")
    with pytest.raises(ValueError, match="need a list of rows"):
        read_features(tmp_path, "pool")


def test_taps_are_named_and_other_folders_refused(tmp_path):
    fill(tmp_path / "a")
    with pytest.raises(ValueError, match="need one of the taps pool, s3@2x1"):
        read_features(tmp_path / "a")
    with pytest.raises(ValueError, match="unknown tap"):
        read_features(tmp_path / "a", "s4")
    with pytest.raises(ValueError, match="need a folder of features"):
        read_about(tmp_path)
    (tmp_path / "a" / "features.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(ValueError, match="got another"):
        read_about(tmp_path / "a")
