"""Scaling against the reference scaler's own results, the algebra of the paper, and properties."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.scaling import (
    PRESETS,
    matched_stem,
    scale,
    scale_with_report,
    scaling_factors,
    stem_layers,
    strategy_weights,
)
from eyespot.design.specs import ViTSpec, ViTStem

# Results of the reference scaler: base, type, factor -> depths, widths, group widths, px.
REFERENCE = [
    ("EffNet-B0", "dwr", 4, (2, 3, 3, 5, 5, 6, 2), (24, 32, 48, 104, 144, 240, 400), None, 284),
    ("EffNet-B0", "dWr", 4, (1, 2, 2, 3, 3, 5, 1), (24, 40, 72, 136, 192, 336, 560), None, 240),
    ("EffNet-B0", "dWr", 16, (1, 3, 3, 4, 4, 5, 1), (48, 72, 120, 240, 336, 584, 968), None, 256),
    ("RegNetY-4GF", "d", 4, (8, 24, 64, 8), (96, 192, 512, 1216), (32,) * 4, 240),
    ("RegNetY-4GF", "dwgr", 4, (3, 10, 25, 3), (120, 240, 640, 1520), (40,) * 4, 304),
    ("RegNetY-4GF", "dWr", 4, (2, 7, 18, 2), (168, 336, 896, 2128), (56,) * 4, 256),
    ("RegNetY-4.0GF", "dWr", 4, (2, 7, 14, 2), (224, 336, 896, 1904), (112,) * 4, 240),
    ("RegNetZ-4GF", "dWr", 4, (2, 7, 16, 7), (80, 184, 416, 920), (16,) * 4, 276),
]


@pytest.mark.parametrize("case", REFERENCE, ids=lambda case: f"{case[0]}-{case[1]}-{case[2]}")
def test_equals_the_reference_scaler(case):
    base, strategy, factor, depths, widths, groups, size = case
    scaled = scale(zoo.spec(base), strategy, factor)
    assert (scaled.depths, scaled.widths, scaled.image_size) == (depths, widths, size)
    if groups:
        assert scaled.group_widths == groups


def test_reference_stem_and_head_of_an_efficientnet():
    scaled = scale(zoo.spec("EffNet-B0"), "dwr", 4)
    assert (scaled.stem_width, scaled.head_width) == (40, 1616)
    assert scale(zoo.spec("EffNet-B0"), "dWr", 16).head_width == 3880


def test_regnets_keep_stem_and_head():
    scaled = scale(zoo.spec("RegNetZ-4GF"), "dWr", 4)
    assert (scaled.stem_width, scaled.head_width) == (32, 1000)


@given(alpha=st.floats(0, 1), factor=st.floats(0.05, 50))
def test_fast_scaling_follows_the_papers_exponents(alpha, factor):
    # section 3: d grows by s^((1-a)/2), w by s^(a/2), r by s^((1-a)/4)
    factors = scaling_factors(f"alpha={alpha}", factor)
    assert factors.depth == pytest.approx(factor ** ((1 - alpha) / 2))
    assert factors.width == factors.group == pytest.approx(factor ** (alpha / 2))
    assert factors.resolution == pytest.approx(factor ** ((1 - alpha) / 4))
    assert factors.depth * factors.width**2 * factors.resolution**2 == pytest.approx(factor)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("d", (4, 1, 1, 1)),
        ("w", (1, 2, 1, 1)),
        ("wg", (1, 2, 2, 1)),
        ("r", (1, 1, 1, 2)),
        ("dr", (2, 1, 1, math.sqrt(2))),
        ("wr", (1, math.sqrt(2), 1, math.sqrt(2))),
        ("g", (1, 1, 4, 1)),
        ("", (1, 1, 1, 1)),
        ("dWr", (4**0.1, 4**0.4, 4**0.4, 4**0.05)),
        ("d1_w8_g8_r1", (4**0.1, 4**0.4, 4**0.4, 4**0.05)),
    ],
)
def test_factors_by_hand(strategy, expected):
    assert scaling_factors(strategy, 4) == pytest.approx(expected)


def test_presets_have_the_papers_names():
    assert list(PRESETS) == ["d", "w", "r", "dw", "dr", "wr", "dwr", "dWr"]
    assert strategy_weights("alpha=0.8") == pytest.approx({"d": 0.1, "w": 0.8, "g": 0.8, "r": 0.1})


@given(factor=st.floats(1, 30), strategy=st.sampled_from(["d", "wg", "dr", "dwgr", "dWr"]))
def test_cnn_flops_grow_by_about_the_factor(factor, strategy):
    base = zoo.spec("RegNetY-16GF")
    report = scale_with_report(base, strategy, factor)[1]
    assert report.flops_growth == pytest.approx(factor, rel=0.35)


@given(factor=st.floats(0.2, 16), strategy=st.sampled_from(list(PRESETS)))
def test_scaled_vits_keep_head_dimension_and_tile(factor, strategy):
    base = zoo.spec("ViT-C-4GF")
    scaled = scale(base, strategy, factor)
    assert isinstance(scaled, ViTSpec)
    assert scaled.hidden_dim == 64 * scaled.num_heads
    assert scaled.image_size % 16 == 0
    assert scaled.mlp_dim / scaled.hidden_dim == pytest.approx(3, rel=0.05)
    complexity(scaled)


def test_a_wide_vit_scales_to_about_the_factor():
    report = scale_with_report(zoo.spec("ViT-P-18GF"), "dWr", 2)[1]
    assert report.flops_growth == pytest.approx(2, rel=0.15)


def test_identity_keeps_a_network():
    for name in ("RegNetY-4.0GF", "EfficientNet-B0", "ViT-C-4GF"):
        assert scale(zoo.spec(name), "dWr", 1) == zoo.spec(name)


def test_the_report_names_what_rounding_moved():
    report = scale_with_report(zoo.spec("RegNetY-500MF"), "dWr", 3)[1]
    assert any(note.startswith("group: asked x1.55") for note in report.notes)


@pytest.mark.parametrize("strategy", ["x", "d1w2", "alpha=2", "alpha=", "d-1_w2", "dwr "])
def test_an_unknown_strategy_is_refused(strategy):
    with pytest.raises(ValueError, match=r"scaling strategy|alpha in \[0, 1\]"):
        scaling_factors(strategy, 2)


@pytest.mark.parametrize("factor", [0, -1, math.nan, math.inf])
def test_a_factor_that_is_none_is_refused(factor):
    with pytest.raises(ValueError, match="scaling factor above 0"):
        scaling_factors("d", factor)


# Early Convolutions, table 1: stem channels and blocks of each convolutional twin.
TWINS = {
    "1.0GF": ((24, 48, 96, 192), 11),
    "4.0GF": ((48, 96, 192, 384), 11),
    "18GF": ((64, 128, 128, 256, 256, 512), 11),
    "36GF": ((64, 128, 128, 256, 256, 512), 13),
    "72GF": ((64, 128, 128, 256, 256, 512), 22),
}


@pytest.mark.parametrize("size", TWINS)
def test_matched_stem_gives_the_papers_networks(size):
    patchify = zoo.spec(f"ViT-P-{size}")
    twin = matched_stem(patchify)
    assert (twin.stem.channels, twin.depth) == TWINS[size]
    assert twin == zoo.spec(f"ViT-C-{size}")
    assert complexity(twin).flops == pytest.approx(complexity(patchify).flops, rel=0.03)


@given(heads=st.integers(2, 20), depth=st.integers(6, 30), patch=st.sampled_from([4, 8, 16]))
def test_matched_stem_is_within_half_a_block(heads, depth, patch):
    stem = ViTStem(proj_kernel=patch, proj_stride=patch)
    base = ViTSpec(64 * heads, 192 * heads, heads, depth, stem=stem)
    twin = matched_stem(base)
    shallower = ViTSpec(64 * heads, 192 * heads, heads, depth - 1, stem=base.stem)
    block = complexity(base).flops - complexity(shallower).flops
    gap = abs(complexity(twin).flops - complexity(base).flops)
    assert twin.stem.patch_size == patch
    assert gap <= block / 2 + 1 or twin.depth == base.depth


def test_a_patch_size_without_a_conv_stem_is_refused():
    with pytest.raises(ValueError, match=r"power of two above 1.*got patch size 14"):
        stem_layers(384, 14)


def test_a_vit_too_small_for_its_stem_is_refused():
    with pytest.raises(ValueError, match="use more blocks"):
        matched_stem(ViTSpec(512, 64, 8, 2))
