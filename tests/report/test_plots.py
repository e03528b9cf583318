"""What a figure shows, read back from the figure."""

from pathlib import Path

import pytest
from PIL import Image

from eyespot.design.latency import Sample, Setting, fit_latency
from eyespot.report.plots import calibration_figure

SAMPLES = [
    Sample(name, 224, 4, params, flops, acts, 4 * (acts * 2e-6 + flops * 3e-9) + 0.5)
    for name, params, flops, acts in (
        ("RegNetY-400MF", 4_300_000, 400_000_000, 3_900_000),
        ("RegNetY-4.0GF", 20_600_000, 4_000_000_000, 12_300_000),
        ("EfficientNet-B0", 5_300_000, 390_000_000, 6_700_000),
        ("ViT-C-4GF", 17_800_000, 4_000_000_000, 11_300_000),
        ("scaled:RegNetY-4GF:dWr:2x", 40_000_000, 8_000_000_000, 22_000_000),
        ("ResNet-50", 25_600_000, 4_100_000_000, 11_300_000),
    )
]


@pytest.fixture
def figure(monkeypatch, tmp_path):
    from matplotlib.figure import Figure

    drawn = []
    real = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, path: drawn.append(self) or real(self, path)
    )
    model = fit_latency(Setting("Some GPU", "bfloat16", "train", True), SAMPLES)
    calibration_figure(model, SAMPLES, tmp_path / "calibration.png")
    return model, drawn[0], tmp_path / "calibration.png"


def test_every_network_is_in_every_panel(figure):
    _, drawn, _ = figure
    for axis, field in zip(drawn.axes[:3], ("acts", "flops", "params"), strict=True):
        points = sorted(tuple(p) for c in axis.collections for p in c.get_offsets())
        unit = 1e9 if field == "flops" else 1e6
        wanted = sorted((getattr(s, field) / unit, s.ms / 4) for s in SAMPLES)
        for got, expected in zip(points, wanted, strict=True):
            assert got == pytest.approx(expected)
    diagonal = [tuple(p) for c in drawn.axes[3].collections for p in c.get_offsets()]
    assert len(diagonal) == len(SAMPLES)
    for measured, predicted in diagonal:
        assert predicted == pytest.approx(measured, rel=1e-3)


def test_titles_say_the_correlations(figure):
    model, drawn, _ = figure
    titles = [axis.get_title(loc="left") for axis in drawn.axes]
    assert titles[0] == f"activations: Pearson r = {model.r_acts:.2f}"
    assert titles[1] == f"flops: Pearson r = {model.r_flops:.2f}"
    assert titles[2] == f"params: Pearson r = {model.r_params:.2f}"
    assert "R² = 1.00" in titles[3]
    assert drawn.get_suptitle() == "Some GPU: training step, bfloat16, channels-last, batch 4"


def test_families_share_a_colour(figure):
    _, drawn, _ = figure
    labels = drawn.axes[0].get_legend_handles_labels()[1]
    assert labels == ["RegNetY", "EfficientNet", "ViT-C", "ResNet"]


def test_the_file_is_a_picture(figure):
    path: Path = figure[2]
    with Image.open(path) as picture:
        assert picture.size == (1430, 1118)
