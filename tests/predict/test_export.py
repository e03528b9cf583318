import json

import numpy as np
import pytest
import torch

from eyespot import dist
from eyespot.data.samples import Sample
from eyespot.design.specs import AnyNetSpec
from eyespot.evals.feature_files import read_features
from eyespot.predict.embedder import Embedder
from eyespot.predict.export import export_features
from eyespot.weights.trunk import load_trunk
from tests.distributed import run_ranks

SMALL = AnyNetSpec((1, 1), (8, 16), (2, 2), (1.0, 1.0), (8, 8), image_size=32, test_size=40)
FACTS = {"data": "made up"}


class Pictures:
    def __init__(self, damaged=(), stop_at=None):
        self.damaged, self.stop_at = damaged, stop_at

    def __len__(self):
        return 23

    def __getitem__(self, index):
        if index == self.stop_at:
            raise KeyboardInterrupt
        if index in self.damaged:
            raise ValueError("damaged")
        rng = np.random.default_rng(index)
        return Sample(rng.integers(0, 256, (40, 50, 3), dtype=np.uint8), index % 4, f"p{index}")


def embedder(**options):
    trunk = load_trunk("random", model=SMALL)
    return Embedder(trunk, taps=("pool", "s1"), device="cpu", batch_size=2, **options)


def export(out, pictures, **options):
    return export_features(embedder(), pictures, out, facts=FACTS, rows_per_shard=5, **options)


def test_features_are_the_embedders_and_every_sample_is_accounted_for(tmp_path):
    damaged = (3, 10, 11, 12, 13, 14, 22)
    seen = []
    assert export(
        tmp_path, Pictures(damaged), progress=lambda done, all_: seen.append((done, all_))
    ) == [0, 1, 2, 3, 4]
    assert seen[-1] == (23, 23)
    table = read_features(tmp_path, "pool")
    good = [i for i in range(23) if i not in damaged]
    assert table.indices.tolist() == good
    assert table.labels.tolist() == [i % 4 for i in good]
    assert [(row.index, row.problem) for row in table.problems] == [(i, "damaged") for i in damaged]
    wanted = embedder()([Pictures()[i].image for i in good])
    np.testing.assert_allclose(table.features[0].numpy(), wanted[:, :16], rtol=1e-5, atol=1e-6)


def test_a_killed_export_goes_on_and_ends_as_if_never_killed(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        export(tmp_path / "killed", Pictures(stop_at=13))
    assert export(tmp_path / "killed", Pictures()) == [2, 3, 4]
    assert export(tmp_path / "killed", Pictures()) == []
    export(tmp_path / "whole", Pictures())
    for path in sorted((tmp_path / "whole").iterdir()):
        assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes(), path.name
    assert len(list((tmp_path / "killed").iterdir())) == 1 + 5 * 3


def test_other_weights_or_settings_are_refused(tmp_path):
    export(tmp_path, Pictures())
    with pytest.raises(ValueError, match="the same dtype"):
        export(tmp_path, Pictures(), half=True)
    with pytest.raises(
        ValueError, match=r"the same view_px as in .* got \[80, 64\] instead of \[40, 32\]"
    ):
        export_features(embedder(size_px=64), Pictures(), tmp_path, facts=FACTS, rows_per_shard=5)
    facts = json.loads((tmp_path / "features.json").read_text())["facts"]
    assert facts["view_px"] == [40, 32]


def on_two_ranks(folder):
    from pathlib import Path

    written = export(Path(folder), Pictures((7,)))
    return dist.rank(), torch.tensor(written)


def test_ranks_share_the_shards(tmp_path):
    results = run_ranks(on_two_ranks, str(tmp_path))
    assert [written.tolist() for _, written in results] == [[0, 2, 4], [1, 3]]
    assert len(read_features(tmp_path, "s1").labels) == 22
