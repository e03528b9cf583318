import pytest
import torch
from torch.testing import assert_close

from eyespot.ops import detections
from eyespot.ops.boxes import xyxy_to_xywh
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
CASE = VECTORS["postprocess"]
FLICKR = VECTORS["postprocess_flickr"]
SEGM = VECTORS["postprocess_segm"]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def predictions(dtype=torch.float32):
    logits, boxes = (torch.tensor(CASE[k], dtype=dtype) for k in ("pred_logits", "pred_boxes"))
    return logits, boxes, torch.tensor(CASE["orig_sizes_hw"])


def mask_of(rows, height):
    cells = torch.tensor([[c == "1" for c in row] for row in rows])
    return cells.view(-1, height, cells.shape[1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_scores_and_boxes_match_reference(dtype):
    is_final = torch.tensor(CASE["pred_isfinal"], dtype=dtype)[..., 0]
    found = detections.detect(*predictions(dtype))
    referred = detections.detect(*predictions(dtype), is_final)
    for image, expected in enumerate(CASE["expected"]):
        expect = {k: torch.tensor(v, dtype=dtype) for k, v in expected.items()}
        assert_close(found.scores[image], expect["scores"], **TOLERANCE)
        assert_close(found.boxes_xyxy_px[image], expect["boxes"], **TOLERANCE)
        assert_close(referred.scores[image], expect["scores_refexp"], **TOLERANCE)


def test_phrase_rankings_match_reference():
    logits, boxes, sizes = predictions()
    ranked = detections.rank_queries_by_phrase(
        logits, torch.tensor(FLICKR["positive_map_eval"]), FLICKR["items_per_batch_element"]
    )
    found = detections.detect(logits, boxes, sizes).boxes_xyxy_px
    expected = FLICKR["expected_boxes_sorted_per_phrase"]
    for of_image, order, theirs in zip(found, ranked, expected, strict=True):
        wanted = torch.tensor(theirs).reshape(-1, *of_image.shape)
        assert_close(of_image[order], wanted, **TOLERANCE)


def test_a_phrase_without_tokens_keeps_query_order():
    logits = predictions()[0]
    ranked, _ = detections.rank_queries_by_phrase(logits, torch.zeros(1, logits.shape[-1]), [1, 0])
    assert ranked[0].tolist() == list(range(logits.shape[1]))


def test_masks_match_reference():
    masks = detections.resize_masks(
        torch.tensor(SEGM["pred_masks"]),
        [tuple(s) for s in SEGM["augmented_sizes_hw"]],
        [tuple(s) for s in SEGM["orig_sizes_hw"]],
    )
    for mask, rows, shape in zip(
        masks, SEGM["expected_masks_packed_rows"], SEGM["expected_shape"], strict=True
    ):
        assert list(mask.unsqueeze(1).shape) == shape
        assert torch.equal(mask, mask_of(rows, shape[2]))


def test_phrasecut_filter_matches_reference():
    logits, boxes, _ = predictions()
    found = detections.detect(logits, boxes, torch.tensor(SEGM["orig_sizes_hw"]))
    assert_close(found.scores, torch.tensor(SEGM["phrasecut_scores"]), **TOLERANCE)
    for image, shape in enumerate(SEGM["expected_shape"]):
        least = SEGM["phrasecut_score_thresh"]
        masks = mask_of(SEGM["expected_masks_packed_rows"][image], shape[2])
        union = detections.union_of_masks(found.scores[image], masks, least_score=least)
        rows = SEGM["phrasecut_expected_mask_rows"][image]
        assert torch.equal(union, mask_of(rows, len(rows))[0])
        kept = xyxy_to_xywh(found.boxes_xyxy_px[image][found.scores[image] > least])
        expected = SEGM["phrasecut_expected_boxes_xywh"][image]
        assert_close(kept, torch.tensor(expected), **TOLERANCE)


def test_no_mask_above_the_score_is_an_empty_mask():
    masks = torch.ones(3, 2, 2, dtype=torch.bool)
    assert not detections.union_of_masks(torch.zeros(3), masks).any()


def test_phrase_tokens_leave_out_no_object():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 9.0]])
    rows = detections.phrase_tokens(logits)
    assert rows.tolist() == [[True, True, True, False], [False] * 4]


def test_aligned_tokens_share_the_probability_of_an_object():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 6, generator=generator, dtype=torch.float64)
    queries, tokens = (
        torch.nn.functional.normalize(torch.randn(1, n, 3, generator=generator).double(), dim=-1)
        for n in (2, 4)
    )
    padding = torch.tensor([[False, False, False, True]])
    found = detections.alignment_logits(logits, queries, tokens, padding).softmax(dim=-1)
    none = logits.softmax(dim=-1)[..., -1]
    likeness = torch.einsum("bqe,bke->bqk", queries, tokens)[..., :3] / 0.07
    expected = torch.zeros(1, 2, 6, dtype=torch.float64)
    expected[..., :3] = (1 - none).unsqueeze(-1) * likeness.exp() / likeness.exp().sum(-1, True)
    expected[..., 5] = none
    assert_close(found, expected)
    longer = torch.cat([tokens, tokens], dim=1)  # a longest caption beyond the class columns
    more = torch.cat([padding, torch.ones_like(padding)], dim=1)
    same = detections.alignment_logits(logits, queries, longer, more).softmax(dim=-1)
    assert_close(same, expected)


def test_of_boxes_that_overlap_the_most_certain_stays():
    boxes = torch.tensor(
        [[0, 0, 10, 10], [0, 0, 10, 9], [20, 20, 30, 30], [0, 0, 10, 5], [21, 20, 30, 30.0]]
    )  # IoU with the best: 1, 0.9, 0, 0.5, 0; of the third and the last 0.9
    assert detections.apart(boxes, 0.5) == [0, 2, 3]
    assert detections.apart(boxes, 0.4) == [0, 2]
    assert detections.apart(boxes, 0.95) == [0, 1, 2, 3, 4]
    assert detections.apart(boxes[:0], 0.5) == []
    assert detections.apart(boxes[[0, 0]], 1.0) == [0, 1]
