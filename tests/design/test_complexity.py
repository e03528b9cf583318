"""Counts against pycls' own (tests/vectors/complexity.csv) and the papers' printed tables."""

from dataclasses import replace

import pytest

from eyespot import create_model
from eyespot.design import zoo
from eyespot.design.complexity import complexity, complexity_tree
from eyespot.design.specs import AnyNetSpec, ViTSpec, ViTStem
from eyespot.design.walk import walk
from tests.reference import read_csv

ROWS = read_csv("complexity.csv")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["model"])
def test_equals_reference_to_the_unit(row):
    cost = complexity(zoo.spec(row["model"]), int(row["input_size"]))
    expected = {key: int(row[key]) for key in ("params", "flops", "acts")}
    assert cost._asdict() == expected


@pytest.mark.parametrize("row", [r for r in ROWS if r["model"].startswith("scaled")])
def test_scaled_networks_come_at_their_own_size(row):
    assert zoo.spec(row["model"]).image_size == int(row["input_size"])


def test_a_block_whose_squeeze_rounds_to_nothing_has_none():
    # Counted by pycls' own code at 64 px: the last block is fed one channel, and 0.25 of it is 0.
    spec = AnyNetSpec(
        (2, 1, 2), (96, 144, 1), (2, 1, 2), (0.5, 0.25, 4.0), (3, 3, 1), stem_width=16,
        se_ratio=0.25, num_classes=10,
    )  # fmt: skip
    assert complexity(spec, 64) == (50090, 11991124, 270506)
    assert sum(unit.params for unit in walk(spec, 64)) == 50090
    assert sum(p.numel() for p in create_model(spec).parameters()) == 50090


# Early Convolutions, appendix: kernels, strides, channels -> flops M, params M, acts M of the stem.
STEMS = {
    "P": ((), (), (), 16, 16, (58, 0.3, 0.075)),
    "C": ((48, 96, 192, 384), (3, 3, 3, 3), (2, 2, 2, 2), 1, 1, (435, 1.0, 1.2)),
    "S1": ((52, 104, 208, 416), (3, 3, 3, 2), (2, 2, 2, 2), 1, 1, (422, 0.8, 1.3)),
    "S2": ((32, 64, 128, 256), (3, 3, 3, 4), (2, 2, 1, 4), 1, 1, (422, 0.7, 1.1)),
    "S3": ((17, 34, 68, 136), (3, 3, 3, 8), (2, 1, 1, 8), 1, 1, (458, 0.7, 1.6)),
    "S4": ((8, 16, 32, 64), (3, 3, 3, 16), (1, 1, 1, 16), 1, 1, (407, 0.6, 2.9)),
}


@pytest.mark.parametrize("name", STEMS)
def test_stem_ablation_equals_the_papers_table(name):
    channels, kernels, strides, proj_kernel, proj_stride, printed = STEMS[name]
    stem = ViTStem(channels, kernels, strides, proj_kernel, proj_stride)
    spec = replace(zoo.spec("ViT-P-4.0GF"), stem=stem)
    part = complexity_tree(spec)[0]
    tokens = 384 * 198  # class token and positions are counted with the stem
    flops, params, acts = printed
    assert part.cost.flops / 1e6 == pytest.approx(flops, abs=0.6)  # 0.08 of it is the bias
    assert round((part.cost.params - tokens) / 1e6, 1) == params
    assert part.cost.acts / 1e6 == pytest.approx(acts, abs=0.051)


@pytest.mark.parametrize("name", ["RegNetY-4GF", "EfficientNet-B3", "ViT-C-4GF", "CIFAR-ResNet-56"])
def test_blocks_stages_and_total_agree(name):
    spec = zoo.spec(name)
    stages = complexity_tree(spec)
    blocks = complexity_tree(spec, blocks=True)
    for field in ("params", "flops", "acts"):
        total = getattr(complexity(spec), field)
        assert sum(getattr(part.cost, field) for part in stages) == total
        assert sum(getattr(part.cost, field) for part in blocks) == total
    depth = spec.depth if isinstance(spec, ViTSpec) else sum(spec.depths)
    assert len(blocks) == depth + 2


# EfficientNet (arXiv 1905.11946), table 1: kernel, stride, expansion, channels, layers of a stage.
B0 = (
    (3, 1, 1, 16, 1), (3, 2, 6, 24, 2), (5, 2, 6, 40, 2), (3, 2, 6, 80, 3), (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4), (3, 1, 6, 320, 1),
)  # fmt: skip


def test_efficientnet_lite0_in_closed_form():
    """The table without squeeze-and-excitation; its publishers print 4.7 M parameters."""
    side, width = 112, 32
    params = 27 * width + 2 * width  # of the stem: a convolution and a norm
    flops, acts = 27 * width * side**2, width * side**2
    for kernel, stride, expansion, out, layers in B0:
        for layer in range(layers):
            inner, before = expansion * width, side
            side //= stride if layer == 0 else 1
            if expansion > 1:
                params += width * inner + 2 * inner
                flops += width * inner * before**2
                acts += inner * before**2
            params += kernel**2 * inner + 2 * inner + inner * out + 2 * out
            flops += (kernel**2 * inner + inner * out) * side**2
            acts += (inner + out) * side**2
            width = out
    params += width * 1280 + 2 * 1280 + 1281 * 1000
    flops += width * 1280 * side**2 + 1281 * 1000
    acts += 1280 * side**2 + 1000
    assert complexity(zoo.spec("EfficientNet-Lite0")) == (params, flops, acts)
    assert params == 4_652_008  # as published


def test_published_seer_trunk_sizes():
    # SEER (arXiv 2103.01988) and its released trunks: parameters without a classifier.
    trunks = {
        "RG-8GF": 37163068,
        "RG-16GF": 80565140,
        "RG-32GF": 141333770,
        "RG-64GF": 276457786,
        "RG-128GF": 637419894,
        "RG-256GF": 1272156138,
        "RG-10B": 9323934872,
    }
    counted = {name: complexity(replace(zoo.spec(name), num_classes=0)).params for name in trunks}
    assert counted == trunks


def test_a_size_that_patches_do_not_tile_is_refused_with_the_size():
    with pytest.raises(ValueError, match="divisible by the patch size 16, got 225"):
        complexity(zoo.spec("ViT-P-4GF"), 225)


def test_an_empty_image_is_refused():
    with pytest.raises(ValueError, match="1 px or more, got 0"):
        complexity(zoo.spec("ResNet-50"), 0)
