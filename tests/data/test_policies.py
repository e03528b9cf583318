from collections import Counter

import numpy as np
import pytest
from scipy import stats

from eyespot.data import pixels
from eyespot.data.draws import Draws
from eyespot.data.policies import (
    AUTOAUGMENT_V0,
    OPS,
    RANDAUGMENT_OPS,
    Op,
    RandAugment,
    apply_ops,
    draw_autoaugment,
    draw_randaugment,
    parse_policy,
)
from tests.data.pictures import noise_picture

PICTURE = noise_picture(30, 40)


def test_the_policy_has_its_25_pairs():
    assert len(AUTOAUGMENT_V0) == 25
    assert AUTOAUGMENT_V0[0] == (("equalize", 0.8, 0.1), ("shear_y", 0.8, 0.4))
    assert AUTOAUGMENT_V0[15] == (("rotate", 1.0, 0.7), ("trans_y", 0.8, 0.9))
    assert AUTOAUGMENT_V0[24] == (("color", 0.8, 0.6), ("rotate", 0.4, 0.5))
    names = Counter(name for pair in AUTOAUGMENT_V0 for name, _, _ in pair)
    assert names == {
        "equalize": 12, "color": 9, "solarize": 8, "rotate": 7, "shear_y": 4,
        "solarize_add": 2, "shear_x": 2, "posterize": 2, "auto_contrast": 2, "invert": 1,
        "trans_y": 1,
    }  # fmt: skip
    # The column sums of the published table.
    assert sum(p for pair in AUTOAUGMENT_V0 for _, p, _ in pair) == pytest.approx(29.8)
    assert sum(m for pair in AUTOAUGMENT_V0 for _, _, m in pair) == pytest.approx(24.0)


def test_pairs_are_drawn_evenly_and_ops_with_their_probability():
    count = 25_000
    drawn = Counter()
    for index in range(count):
        drawn.update(op.name for op in draw_autoaugment(Draws(3, 0, index)))
    for name in OPS:
        expected = sum(p for pair in AUTOAUGMENT_V0 for op, p, _ in pair if op == name) / 25
        assert abs(drawn[name] / count - expected) < 5 * np.sqrt(max(expected, 1e-3) / count), name


@pytest.mark.parametrize(
    ("name", "magnitude", "value", "expected"),
    [
        ("rotate", 0.8, 24.0, lambda x: pixels.rotate(x, 24.0)),
        ("posterize", 0.6, 2.4, lambda x: x & 0xC0),
        ("posterize", 0.2, 0.8, lambda x: x & 0x80),
        ("posterize_inc", 0.0, 0.0, lambda x: x & 0xF0),
        ("posterize_inc", 0.5, 2.0, lambda x: x & 0xC0),
        ("posterize_inc", 1.0, 4.0, lambda x: x & 0x80),
        ("solarize", 0.3, 76.8, lambda x: np.where(x >= 76, 255 - x, x)),
        ("solarize", 1.0, 256.0, lambda x: x),
        ("solarize_inc", 0.0, 0.0, lambda x: x),
        ("solarize_inc", 0.3, 76.8, lambda x: np.where(x >= 256 - 76, 255 - x, x)),
        ("solarize_add", 0.7, 77.0, lambda x: np.where(x < 128, x.astype(int) + 77, x)),
        ("solarize_add", 0.25, 27.5, lambda x: np.where(x < 128, np.rint(x + 27.5), x)),
        ("color", 0.0, 0.1, lambda x: pixels.color(x, 0.1)),
        ("color", 0.9, 1.72, lambda x: pixels.color(x, 1.72)),
        ("sharpness", 0.5, 1.0, lambda x: x),
        ("brightness_inc", 0.0, 0.0, lambda x: x),
        ("contrast_inc", 1.0, 0.9, lambda x: pixels.contrast(x, 1.9)),
        ("shear_x", 0.9, 0.27, lambda x: pixels.shear_x(x, 0.27)),
        ("trans_y", 0.9, 0.405, lambda x: pixels.translate_y(x, 0.405)),
    ],
)
def test_magnitudes_become_values(name, magnitude, value, expected):
    kind = OPS[name]
    assert kind.low + magnitude * (kind.high - kind.low) == pytest.approx(value)
    np.testing.assert_array_equal(apply_ops(PICTURE, [Op(name, value)]), expected(PICTURE))


def test_the_marked_ops_are_negated_half_the_time():
    settings = RandAugment(num_ops=4, magnitude=0.5)
    signs: dict[str, list[bool]] = {name: [] for name in RANDAUGMENT_OPS}
    for index in range(8000):
        for name, value in draw_randaugment(Draws(0, 0, index), settings):
            signs[name].append(value < 0)
            kind = OPS[name]
            assert abs(value) == (kind.low + kind.high) / 2
    counts = [len(of_op) for of_op in signs.values()]
    assert sum(counts) == 32_000
    assert stats.chisquare(counts).pvalue > 1e-3
    negated = {name for name, of_op in signs.items() if any(of_op)}
    assert negated == {
        "rotate", "color_inc", "contrast_inc", "brightness_inc", "sharpness_inc",
        "shear_x", "shear_y", "trans_x", "trans_y",
    }  # fmt: skip
    for name in negated:
        assert stats.binomtest(sum(signs[name]), len(signs[name])).pvalue > 1e-4


def test_no_magnitude_changes_nearly_nothing():
    for name in RANDAUGMENT_OPS[3:]:
        if name != "posterize_inc":
            kind = OPS[name]
            np.testing.assert_array_equal(kind.apply(PICTURE, kind.low), PICTURE, err_msg=name)


def test_operations_are_skipped_with_their_probability():
    settings = RandAugment(num_ops=2, magnitude=0.5, probability=0.3)
    total = sum(len(draw_randaugment(Draws(0, 0, index), settings)) for index in range(5000))
    assert stats.binomtest(total, 10_000, 0.3).pvalue > 1e-3


def test_operations_are_applied_in_order():
    ops = [Op("solarize_add", 55.0), Op("invert", 0.0)]
    expected = 255 - np.where(PICTURE < 128, PICTURE + 55, PICTURE)
    np.testing.assert_array_equal(apply_ops(PICTURE, ops), expected)


def test_the_string_form():
    for text, settings in (
        ("RandAugment_N2_M0.5", RandAugment(2, 0.5, 1.0)),
        ("RandAugment_N3_M1_P0.25", RandAugment(3, 1.0, 0.25)),
    ):
        for index in range(20):
            expected = draw_randaugment(Draws(0, 0, index), settings)
            assert parse_policy(text)(Draws(0, 0, index)) == expected
    assert parse_policy("AutoAugment")(Draws(0, 0, 1)) == draw_autoaugment(Draws(0, 0, 1))


@pytest.mark.parametrize("text", ["", "RandAugment", "RandAugment_M0.5", "RandAugment_N2_M-1"])
def test_another_string_is_refused(text):
    with pytest.raises(ValueError, match="unknown augmentation"):
        parse_policy(text)


@pytest.mark.parametrize(
    "text", ["RandAugment_N0_M0.5", "RandAugment_N2_M9", "RandAugment_N1_M1_P2"]
)
def test_numbers_out_of_range_are_refused(text):
    with pytest.raises(ValueError, match=f"need N of at least 1, .* got '{text}'"):
        parse_policy(text)
