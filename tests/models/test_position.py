import math

import pytest
import torch
from torch.testing import assert_close

from eyespot.models.position import sine_encoding
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["position_encoding"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_reference(dtype):
    mask = torch.tensor(CASE["mask"], dtype=torch.bool)
    found = sine_encoding(
        mask, 2 * CASE["num_pos_feats"], temperature=float(CASE["temperature"]), dtype=dtype
    )
    assert_close(found, torch.tensor(CASE["expected_BCHW"], dtype=dtype), rtol=1e-4, atol=1e-5)


def test_rows_come_first_and_slow_waves_are_the_plain_fraction():
    found = sine_encoding(torch.zeros(1, 4, 5, dtype=torch.bool), 8, dtype=torch.float64)
    rows = torch.arange(1, 5, dtype=torch.float64) / 4 * 2 * math.pi
    columns = torch.arange(1, 6, dtype=torch.float64) / 5 * 2 * math.pi
    tolerance = {"rtol": 0, "atol": 1e-5}  # the published 1e-6 beside the last row
    assert_close(found[0, 0], rows.sin()[:, None].expand(4, 5), **tolerance)
    assert_close(found[0, 3], (rows / 100).cos()[:, None].expand(4, 5), **tolerance)
    assert_close(found[0, 4], columns.sin().expand(4, 5), **tolerance)


def test_padding_does_not_move_the_image():
    padded = torch.zeros(1, 6, 7, dtype=torch.bool)
    padded[:, 4:] = True
    padded[:, :, 5:] = True
    alone = sine_encoding(torch.zeros(1, 4, 5, dtype=torch.bool), 16)
    assert_close(sine_encoding(padded, 16)[:, :, :4, :5], alone)


def test_an_odd_width_is_refused():
    with pytest.raises(ValueError, match="got 6"):
        sine_encoding(torch.zeros(1, 2, 2, dtype=torch.bool), 6)
