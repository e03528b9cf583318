"""RegNet parameters to stages, against the tables of the papers."""

import math

import hypothesis.strategies as st
import pytest
from hypothesis import given

from eyespot.design import zoo
from eyespot.design.regnet import compatible_widths, regnet, regnet_widths

# Designing Network Design Spaces, appendix: stages of the published networks.
PUBLISHED = {
    "RegNetX-200MF": ([1, 1, 4, 7], [24, 56, 152, 368], [8, 8, 8, 8]),
    "RegNetX-600MF": ([1, 3, 5, 7], [48, 96, 240, 528], [24, 24, 24, 24]),
    "RegNetX-3.2GF": ([2, 6, 15, 2], [96, 192, 432, 1008], [48] * 4),
    "RegNetX-8.0GF": ([2, 5, 15, 1], [80, 240, 720, 1920], [80, 120, 120, 120]),
    "RegNetX-16GF": ([2, 6, 13, 1], [256, 512, 896, 2048], [128] * 4),
    "RegNetX-32GF": ([2, 7, 13, 1], [336, 672, 1344, 2520], [168] * 4),
    "RegNetY-400MF": ([1, 3, 6, 6], [48, 104, 208, 440], [8] * 4),
    "RegNetY-1.6GF": ([2, 6, 17, 2], [48, 120, 336, 888], [24] * 4),
    "RegNetY-4.0GF": ([2, 6, 12, 2], [128, 192, 512, 1088], [64] * 4),
    "RegNetY-12GF": ([2, 5, 11, 1], [224, 448, 896, 2240], [112] * 4),
    "RegNetY-32GF": ([2, 5, 12, 1], [232, 696, 1392, 3712], [232] * 4),
    "RegNetY-4GF": ([2, 6, 16, 2], [96, 192, 512, 1216], [32] * 4),
    "RegNetZ-500MF": ([1, 4, 9, 7], [16, 40, 104, 256], [4] * 4),
    "RegNetZ-1GF": ([1, 4, 10, 7], [24, 48, 136, 328], [4] * 4),
    "RegNetZ-4GF": ([2, 6, 14, 6], [48, 104, 240, 528], [8] * 4),
    "RegNetZ-16GF": ([2, 7, 16, 7], [80, 176, 416, 912], [16] * 4),
    "RegNetZ-32GF": ([2, 7, 17, 7], [112, 248, 568, 1240], [16] * 4),
    "RG-64GF": ([2, 5, 12, 1], [328, 984, 1968, 4920], [328] * 4),
    "RG-128GF": ([2, 7, 17, 1], [528, 1056, 2904, 7392], [264] * 4),
    "RG-256GF": ([2, 7, 17, 1], [746, 1492, 4103, 10444], [373] * 4),
    "RG-10B": ([2, 7, 17, 1], [2020, 4040, 11110, 28280], [1010] * 4),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_stages(name):
    spec = zoo.spec(name)
    depths, widths, groups = PUBLISHED[name]
    assert (list(spec.depths), list(spec.widths), list(spec.group_widths)) == (
        depths,
        widths,
        groups,
    )


@given(
    w_0=st.integers(1, 32).map(lambda k: 8 * k),
    w_a=st.floats(0, 256),
    w_m=st.floats(1.5, 3),
    depth=st.integers(1, 28),
)
def test_widths_rise_in_eights_and_depths_add_up(w_0, w_a, w_m, depth):
    widths, depths, spanned = regnet_widths(w_0, w_a, w_m, depth)
    assert widths == sorted(set(widths))
    assert all(width % 8 == 0 for width in widths)
    assert widths[0] == w_0
    assert sum(depths) == depth
    assert spanned >= len(widths)


@given(
    width=st.integers(1, 300).map(lambda k: 8 * k),
    mul=st.sampled_from([0.25, 0.5, 1.0, 2.0, 4.0]),
    group=st.integers(1, 256),
)
def test_compatible_widths_divide(width, mul, group):
    (new_width,), (new_group,) = compatible_widths([width], [mul], [group])
    assert new_width * mul % new_group == 0
    assert new_group <= group
    if mul >= 1:
        # no further than half a step from what was asked
        step = math.lcm(new_group, int(mul))
        assert abs(new_width * mul - max(step, width * mul)) <= step


def test_parameters_out_of_range_are_refused_with_their_values():
    with pytest.raises(ValueError, match="got w_0=20, w_a=1, w_m=2, depth=3"):
        regnet(20, 1, 2, 3, 8)


def test_a_fractional_multiplier_above_one_is_refused():
    with pytest.raises(ValueError, match=r"whole number, got 1\.5"):
        compatible_widths([32], [1.5], [8])
