import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from eyespot.design.spec_files import write_spec
from eyespot.evals.retrieval import QueryTruth, score_rankings
from eyespot.tasks.backbone import Backbone
from eyespot.tasks.retrieval import RetrievalProbe, measure_retrieval
from eyespot.tasks.run import Run
from eyespot.weights.trunk import load_trunk
from tests.distributed import run_ranks
from tests.tasks.bars import SMALL

SHAPE = (60, 84, 3)


def building(kind, seed, shift=0):
    """Stripes of a direction, width and colour for each building, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    along = (x + shift, y + shift, x + y + shift)[kind]
    stripes = np.zeros(SHAPE)
    stripes[..., kind] = 200 * (along // (3 + kind) % 2)
    return (stripes + rng.integers(0, 40, SHAPE)).clip(0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    root = tmp_path_factory.mktemp("town")
    (root / "jpg").mkdir()
    (root / "other").mkdir()
    names = []
    for kind in range(3):
        for view in range(5):
            names.append(f"b{kind}_{view}")
            Image.fromarray(building(kind, 10 * kind + view, view)).save(
                root / "jpg" / f"{names[-1]}.png"
            )
    for i in range(30):
        Image.fromarray(building(i % 3, 100 + i, i)).save(root / "other" / f"{i}.png")
    truths = {
        "imlist": names,
        "qimlist": ["b0_0", "b1_0", "b2_0"],
        "gnd": [
            {
                "bbx": [4, 4, 80, 56],
                "easy": [5 * k + 1, 5 * k + 2],
                "hard": [5 * k + 3, 5 * k + 4],
                "junk": [5 * k],
            }
            for k in range(3)
        ],
    }
    (root / "gnd.json").write_text(json.dumps(truths))
    write_spec(SMALL, root / "spec.json")
    return root


def probe(town, **options):
    options = {"level": "s1"} | options  # deeper maps of a random network say little
    return RetrievalProbe(
        Backbone(model=str(town / "spec.json")), str(town / "gnd.json"), **options
    )


def run(town):
    return Run(str(town / "jpg"), town, device="cpu", workers=0)


@pytest.mark.parametrize(
    "options",
    [
        {"pooling": "gem"},
        {"pooling": "rmac"},
        {"pooling": "avg"},
        {"pooling": "gem", "scales": (1.0, 0.5), "long_side_px": 64},
        {"pooling": "gem", "whiten_from": "other", "whiten_width": 3},
    ],
)
def test_buildings_are_found_among_others(town, options):
    if "whiten_from" in options:
        options = {**options, "whiten_from": str(town / options["whiten_from"])}
    found = measure_retrieval(probe(town, **options), run(town)).metrics
    assert set(found) >= {"map_percent_easy", "map_percent_medium", "map_percent_hard"}
    assert found["map_percent_medium"] > 80  # chance: about 40
    assert found["precision1_percent_medium"] == 100


def test_the_numbers_are_those_of_descriptors_made_by_hand(town):
    """Without a box, so that a query is its own image; with odd truths, so that none is perfect."""
    truths = json.loads((town / "gnd.json").read_text())
    for place, truth in enumerate(truths["gnd"]):
        truth.update(bbx=None, easy=[place], hard=[12, 13], junk=[14, 3])
    (town / "noise.json").write_text(json.dumps(truths))
    colours = {"mean": (0.5, 0.4, 0.3), "std": (0.3, 0.2, 0.25)}
    model = str(town / "spec.json")
    asked = RetrievalProbe(Backbone(model=model, **colours), str(town / "noise.json"))
    found = measure_retrieval(asked, run(town))
    trunk = load_trunk("random", model=str(town / "spec.json"))
    rows = []
    for name in truths["imlist"]:
        pixels = torch.tensor(np.array(Image.open(town / "jpg" / f"{name}.png")))
        (mean, std) = (torch.tensor(v)[:, None, None] for v in colours.values())
        image = (pixels.permute(2, 0, 1) / 255 - mean) / std
        with torch.no_grad():
            maps = trunk.network.forward_features(image[None])[0].double().numpy()
        row = (maps.clip(1e-6) ** 3).mean((1, 2)) ** (1 / 3)
        rows.append(row / np.linalg.norm(row))
    rows = np.stack(rows)
    ranked = np.argsort(-(rows[[0, 5, 10]] @ rows.T), axis=1, kind="stable")
    truths = [QueryTruth("q", None, (i,), (12, 13), (14, 3)) for i in range(3)]
    for protocol in ("easy", "medium", "hard"):
        wanted = 100 * score_rankings(ranked, truths, protocol).mean_ap
        assert found.metrics[f"map_percent_{protocol}"] == pytest.approx(wanted)


def test_an_image_that_cannot_be_read_is_listed_and_found_last(town, tmp_path):
    (tmp_path / "jpg").mkdir()
    for path in (town / "jpg").iterdir():
        (tmp_path / "jpg" / path.name).write_bytes(path.read_bytes())
    (tmp_path / "jpg" / "b1_3.png").write_bytes(b"broken")
    broken = Run(str(tmp_path / "jpg"), tmp_path, device="cpu", max_bad=0.2)
    found = measure_retrieval(probe(town), broken)
    assert [row.name for row in found.damaged] == ["b1_3.png"]
    with pytest.raises(ValueError, match="at most 0.0% damaged images, got 1 of 15, such as b1_3"):
        measure_retrieval(probe(town), replace(broken, max_bad=0.0))
    whole = measure_retrieval(probe(town), run(town)).metrics
    whiten = {"whiten_from": str(town / "other"), "whiten_width": 3}
    whitened = [
        measure_retrieval(probe(town, **whiten), where).metrics for where in (broken, run(town))
    ]
    assert whitened[0]["map_percent_hard"] < whitened[1]["map_percent_hard"]
    assert found.metrics["map_percent_hard"] < whole["map_percent_hard"]
    assert found.metrics["map_percent_easy"] == pytest.approx(whole["map_percent_easy"])
    (tmp_path / "jpg" / "b0_0.png").write_bytes(b"broken")
    with pytest.raises(ValueError, match="need readable queries, got b0_0.png"):
        measure_retrieval(probe(town), broken)


def on_ranks(town):
    from pathlib import Path

    torch.set_num_threads(1)
    return measure_retrieval(probe(Path(town)), run(Path(town))).metrics


def test_ranks_find_what_one_finds(town):
    wanted = on_ranks(str(town))
    for found in run_ranks(on_ranks, str(town)):
        assert found == pytest.approx(wanted)


def test_what_is_missing_is_said(town, tmp_path):
    with pytest.raises(ValueError, match="need truths"):
        measure_retrieval(RetrievalProbe(Backbone(model="RegNetY-200MF")), run(town))
    with pytest.raises(ValueError, match="need a level of stem.af, s1, s2, got 's9'"):
        measure_retrieval(probe(town, level="s9"), run(town))
    with pytest.raises(ValueError, match="need all images of the ground truths .* got no b0_0"):
        measure_retrieval(probe(town), Run(str(town / "other"), town, device="cpu"))
    vit = RetrievalProbe(Backbone(model="ViT-C-1.0GF"), str(town / "gnd.json"))
    with pytest.raises(ValueError, match="got a ViT"):
        measure_retrieval(vit, run(town))
