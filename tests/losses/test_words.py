"""Naming boxes by words, by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from eyespot.losses.words import box_features, phrase_words, word_loss


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_features_are_read_inside_the_box(dtype):
    maps = torch.zeros(2, 1, 6, 6, dtype=dtype)
    maps[1, 0, 1, 4] = 5.0
    boxes = torch.tensor(
        [[0.5, 0.5, 1.0, 1.0], [0.75, 0.25, 0.5, 0.5], [0.25, 0.75, 0.5, 0.5]], dtype=dtype
    )
    found = box_features(maps, boxes, [1, 2])[:, 0]
    # samples of the second box: the centres of the 3 x 3 cells that it covers
    assert_close(found, torch.tensor([0.0, 5.0, 0.0], dtype=dtype))


def test_words_of_phrases():
    ids = torch.tensor([[1, 5, 6, 2], [1, 7, 2, 0]])
    rows = torch.zeros(3, 9, dtype=torch.bool)
    rows[0, 1], rows[1, 1:3], rows[2, 1] = True, True, True
    words = phrase_words(ids, rows, [2, 1], 9)
    assert [torch.nonzero(row).flatten().tolist() for row in words] == [[5], [5, 6], [7]]
    narrow = phrase_words(ids, rows[:, :2], [2, 1], 9)
    assert [torch.nonzero(row).flatten().tolist() for row in narrow] == [[5], [5], [7]]


def test_loss_of_a_guess_is_ln_2_a_word():
    logits = torch.zeros(3, 4, dtype=torch.float64)
    words = torch.rand(3, 4) > 0.5
    assert_close(word_loss(logits, words, num_boxes=3).item(), 4 * math.log(2))
    sure = torch.where(words, 40.0, -40.0).double()
    assert word_loss(sure, words, num_boxes=3) < 1e-12


def test_no_boxes():
    maps = torch.zeros(1, 2, 3, 3)
    features = box_features(maps, torch.zeros(0, 4), [0])
    assert features.shape == (0, 2)
    words = phrase_words(torch.zeros(1, 3, dtype=torch.long), torch.zeros(0, 4).bool(), [0], 5)
    assert word_loss(torch.zeros(0, 5), words, num_boxes=1) == 0
