"""What methods do beside their losses: clusters, shuffled keys, averages."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from eyespot import dist
from eyespot.tasks import run as running
from eyespot.tasks import selfsup
from eyespot.tasks.methods.deepcluster import spherical_k_means
from eyespot.tasks.run import Run
from tests.distributed import run_ranks
from tests.tasks.selfsup_runs import FASHION, make


def blobs():
    generator = torch.Generator().manual_seed(1)
    centres = F.normalize(torch.randn(4, 8, generator=generator, dtype=torch.float64), dim=1)
    which = torch.arange(41) % 4
    rows = centres[which] + 0.05 * torch.randn(41, 8, generator=generator, dtype=torch.float64)
    rows = F.normalize(rows, dim=1)
    rows[7] = 0  # a sample that no epoch has reached
    return rows, which


def cluster(seed=3):
    rows, _ = blobs()
    return spherical_k_means(rows, 4, iters=10, generator=torch.Generator().manual_seed(seed))


def test_clusters_are_found_and_their_centres_are_mean_directions():
    rows, which = blobs()
    seen = [i for i in range(41) if i != 7]
    found = 0
    for seed in range(6):  # some starts have two centres in one blob, and stay there
        centres, clusters = cluster(seed)
        assert clusters[7] == -100
        assert torch.equal(clusters[seen], (rows[seen] @ centres.t()).argmax(1))
        for k in range(4):
            members = [i for i in seen if clusters[i] == k]
            assert_close(centres[k], F.normalize(rows[members].sum(0), dim=0))
        found += len({(int(which[i]), int(clusters[i])) for i in seen}) == 4
    assert found >= 1


def test_clusters_do_not_depend_on_the_ranks():
    centres, clusters = cluster()
    for other_centres, other in run_ranks(cluster, world_size=3):
        assert_close(other_centres, centres)
        assert torch.equal(other, clusters)


def test_more_centres_than_rows_are_refused():
    with pytest.raises(ValueError, match="need at least 42 rows for 42 centres, got 40"):
        spherical_k_means(blobs()[0], 42, iters=1, generator=torch.Generator())


def networks_after(name, tmp_path, steps):
    """Every step's trained and averaged parameters."""
    history, plain = [], selfsup.train_step

    def watched(recipe, training, pictures, rates, job, batch):
        if not history:
            history.append(snapshot(job))
        values = plain(recipe, training, pictures, rates, job, batch)
        history.append(snapshot(job))
        return values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(selfsup, "train_step", watched)
        recipe = make(name, tmp_path, steps=steps)
        running.train(recipe, Run(str(FASHION), tmp_path / "run", workers=0))
    return history


def snapshot(job):
    return {
        which: {key: p.detach().clone() for key, p in job.modules[which].named_parameters()}
        for which in ("model", "target")
    }


@pytest.mark.parametrize("name", ["moco", "byol"])
def test_the_second_network_is_an_average_of_the_first(name, tmp_path):
    history = networks_after(name, tmp_path, 4)
    first = history[0]
    for key, value in first["target"].items():
        assert torch.equal(value, first["model"][key]), key
    assert not any("predictor" in key for key in first["target"])
    for step, (before, after) in enumerate(pairwise(history)):
        turn = torch.tensor(torch.pi * step / 4, dtype=torch.float64).cos().item()
        keep = 0.9 if name == "moco" else 1 - 0.1 * (1 + turn) / 2
        for key, value in after["target"].items():
            expected = keep * before["target"][key] + (1 - keep) * after["model"][key]
            assert_close(value, expected, rtol=1e-5, atol=1e-7, msg=f"{step} {key}")


def keys_in_order():
    """Each rank's keys of its own images, though other ranks compute them."""
    from types import SimpleNamespace

    from eyespot.tasks.methods.moco import MoCo, _keys

    computed = []

    def network(views):
        computed.append(views[0][0, :, 0, 0, 0])
        return views[0][0, :, :2, 0, 0] * 2

    training = SimpleNamespace(
        method=MoCo(), sizes=SimpleNamespace(seed=0), run=lambda model, views: model(views)
    )
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2) + 10 * dist.rank()
    return _keys(training, network, images, 3), computed[0]


def test_shuffled_keys_come_back_to_their_images():
    for rank, (keys, computed) in enumerate(run_ranks(keys_in_order)):
        expected = 2 * (torch.arange(4.0) + 10 * rank)
        assert torch.equal(keys, expected[:, None].expand(4, 2))
        assert {bool(value >= 10) for value in computed} == {True, False}
