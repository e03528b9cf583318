import torch

from eyespot.data.token_targets import token_targets
from eyespot.data.tokens import scenes_tokenizer


def test_rows_counts_and_padding():
    tokenizer = scenes_tokenizer()
    found = token_targets(
        ["a red cup", "two big stars left of a key"],
        [[[(0, 9)]], [[(0, 13)], [(0, 13)], [(22, 27)]]],
        tokenizer,
        12,
    )
    assert found.num_boxes == (1, 3)
    rows = [torch.nonzero(row).flatten().tolist() for row in found.positive_map]
    assert rows == [[1, 2, 3], [1, 2, 3], [1, 2, 3], [6, 7]]
    assert found.tokens.pad_mask.sum(dim=1).tolist() == [4, 0]
    assert found.keep.all()
    assert found.dropped == ()


def test_boxes_that_cannot_be_named_are_left_out_and_said():
    tokenizer = scenes_tokenizer(max_tokens=5)  # three words
    text = "a red cup and a key"
    found = token_targets([text], [[[(0, 9)], [(14, 19)], []]], tokenizer, 8)
    assert found.keep.tolist() == [True, False, True]
    assert found.num_boxes == (2,)
    assert len(found.positive_map) == 2
    assert found.dropped == ((text, "a key"),)
    both = token_targets([text], [[[(0, 9), (14, 19)]]], tokenizer, 8)
    assert both.keep.all()
    assert both.dropped == ((text, "a key"),)
