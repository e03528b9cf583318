"""Names: every spelling finds its network, no two networks share one."""

import pytest

import eyespot
from eyespot.design import zoo
from eyespot.design.complexity import complexity
from tests.reference import read_csv


@pytest.mark.parametrize("name", zoo.list_models())
def test_printed_and_own_spelling_name_one_network(name):
    assert zoo.spec(name) == zoo.spec(zoo.own_name(name))


def test_every_name_of_the_reference_table_resolves():
    for row in read_csv("complexity.csv"):
        zoo.spec(row["model"])


def test_the_zoos_4gf_is_not_the_papers():
    assert zoo.spec("RegNetY-4.0GF").widths == (128, 192, 512, 1088)
    assert zoo.spec("regnety_4.0gf").widths == (128, 192, 512, 1088)
    assert zoo.spec("RegNetY-4GF").widths == (96, 192, 512, 1216)
    assert zoo.spec("regnety_4gf") == zoo.spec("RegNetY-dWr-4.0GF")
    assert zoo.spec("RegNetY-16GF") != zoo.spec("RegNetY-dWr-16GF")


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("EffNet-B0", "EfficientNet-B0"),
        ("EN-B3", "EfficientNet-B3"),
        ("efficientnet_lite0", "EfficientNet-Lite0"),
        ("ViT_C-4GF", "ViT-C-4.0GF"),
        ("vit_p_18gf", "ViT-P-18GF"),
        ("RegNetX-4GF", "RegNetX-4.0GF"),
        ("RG-256GF", "RegNetY-256GF-seer-vissl"),
        ("ViT-C-72GF-paper", "ViT-C-72GF"),
    ],
)
def test_other_spellings(spelling, name):
    assert zoo.spec(spelling) == zoo.spec(name)


def test_variants_of_a_vit():
    assert zoo.spec("ViT-P-36GF-IN21k").num_classes == 20557
    assert zoo.spec("vit_c_1gf_pooled").pooling == "mean"
    assert zoo.spec("ViT-C-18GF-384px-IN21k").image_size == 384
    # the configuration of this name has a stem of its own
    assert zoo.spec("ViT-C-72GF-IN21k").depth == 21
    assert zoo.spec("ViT-C-72GF").depth == 22


def test_scaled_bases_reproduce_the_published_nets():
    for factor, name in ((4, "RegNetY-dWr-16GF"), (8, "RegNetY-dWr-32GF")):
        scaled = zoo.spec(f"scaled:RegNetY-4GF:d1_w8_g8_r1:{factor}x")
        published = zoo.spec(name)
        assert (scaled.depths, scaled.widths, scaled.group_widths, scaled.image_size) == (
            published.depths,
            published.widths,
            published.group_widths,
            published.image_size,
        )
    half = zoo.spec("scaled:RegNetY-500MF:dWr:2x")
    assert half.widths == zoo.spec("RegNetY-dWr-1.0GF").widths


def test_published_triples_of_regnetz():
    # Fast and Accurate Model Scaling: flops B, params M, acts M, as printed.
    printed = {
        "RegNetZ-1GF": (1.0, 11.0, 8.8),
        "RegNetZ-4GF": (4.0, 28.1, 24.3),
        "RegNetZ-16GF": (15.9, 95.3, 51.3),
        "RegNetZ-32GF": (32.0, 175.1, 79.6),
    }
    for name, triple in printed.items():
        cost = complexity(zoo.spec(name))
        counted = (cost.flops / 1e9, cost.params / 1e6, cost.acts / 1e6)
        assert tuple(round(value, 1) for value in counted) == triple


def test_an_unknown_name_lists_the_nearest():
    with pytest.raises(
        ValueError, match=r"unknown model 'RegNetY-50MF'. Did you mean RegNetY-500MF"
    ):
        zoo.spec("RegNetY-50MF")


def test_a_mistyped_scaled_name_shows_the_form():
    with pytest.raises(ValueError, match="scaled:BASE:STRATEGY:FACTORx"):
        zoo.spec("scaled:RegNetY-4GF:4x")


def test_a_suffix_only_fits_a_vit():
    with pytest.raises(ValueError, match="unknown model 'ResNet-50-pooled'"):
        zoo.spec("ResNet-50-pooled")


def test_listing_by_pattern():
    assert zoo.list_models("regnetz*") == [
        "RegNetZ-500MF",
        "RegNetZ-1GF",
        "RegNetZ-4GF",
        "RegNetZ-16GF",
        "RegNetZ-32GF",
        "RegNetZ-500MF-nohead",
        "RegNetZ-4GF-nohead",
    ]
    assert eyespot.list_models("ViT_C*") == eyespot.list_models("vit_c*")
    assert len(zoo.list_models()) == len(set(zoo.list_models()))
