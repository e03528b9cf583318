import math

import hypothesis.strategies as st
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from torch.testing import assert_close

from eyespot.losses import grounding
from eyespot.losses.masks import mask_losses
from eyespot.ops.matching import Matches, match_queries
from eyespot.ops.spans import NO_TOKEN, char_to_token, positive_map
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
CASES = VECTORS["set_criterion"]
QUIRK = VECTORS["contrastive_align_fallback_quirk"]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
MASK_WEIGHTS = {"loss_mask": 1.0, "loss_dice": 1.0}


def stack_layers(case, name, dtype):
    layers = [aux[name] for aux in case["aux_outputs"]] + [case["outputs"][name]]
    return torch.tensor(layers, dtype=dtype)


def targets_of(case, dtype):
    boxes = [torch.tensor(t["boxes_cxcywh"], dtype=dtype).reshape(-1, 4) for t in case["targets"]]
    rows = torch.zeros(len(case["positive_map_rows"]), case["positive_map_width"], dtype=dtype)
    for row, sparse in zip(rows, case["positive_map_rows"], strict=True):
        row[sparse["tokens"]] = sparse["value"]
    spans = [t["tokens_positive"] for t in case["targets"]]
    offsets = case["offsets_padded"]
    final = [f for t in case["targets"] for f in t.get("isfinal", [])]
    return grounding.GroundingTargets(
        torch.cat(boxes),
        rows,
        [len(b) for b in boxes],
        positive_map(spans, offsets, width=len(offsets[0])),
        torch.tensor(final, dtype=dtype) if "isfinal" in case["losses"] else None,
    )


def losses_of(case, targets, dtype):
    is_final = None
    if "isfinal" in case["losses"]:
        is_final = stack_layers(case, "pred_isfinal", dtype)[..., 0]
    return grounding.grounding_losses(
        stack_layers(case, "pred_logits", dtype),
        stack_layers(case, "pred_boxes", dtype),
        targets,
        num_boxes=float(max(1, len(targets.boxes_cxcywh))),
        query_embeddings=stack_layers(case, "proj_queries", dtype),
        token_embeddings=torch.tensor(case["proj_tokens"], dtype=dtype),
        is_final_logits=is_final,
        no_object_weight=case["eos_coef"],
        temperature=case["temperature"],
    )


def masks_of(case, matches, num_boxes, dtype):
    masks = [torch.tensor(t["masks"], dtype=torch.bool) for t in case["targets"]]
    height, width = (max(m.shape[axis] for m in masks) for axis in (1, 2))
    padded = [F.pad(m, (0, width - m.shape[2], 0, height - m.shape[1])) for m in masks]
    predicted = torch.tensor(case["outputs"]["pred_masks"], dtype=dtype)
    focal, dice = mask_losses(predicted, matches, torch.cat(padded), num_boxes=num_boxes)
    return {"loss_mask": focal, "loss_dice": dice}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_all_losses_match_reference(case, dtype):
    targets = targets_of(case, dtype)
    losses, matches = losses_of(case, targets, dtype)
    found = grounding.published_names(losses)
    total = grounding.weighted_total(losses)
    if "masks" in case["losses"]:
        extra = masks_of(case, matches, float(len(targets.boxes_cxcywh)), dtype)
        found.update(extra)
        total = total + sum(extra.values())
    expected = case["expected_losses"]
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert_close(found[name].item(), value, **TOLERANCE, msg=lambda m, n=name: f"{n}: {m}")
    assert_close(total.item(), case["expected_weighted_total"], **TOLERANCE)


@pytest.mark.parametrize("case", CASES, ids=range(len(CASES)))
def test_every_layer_matches_as_reference(case):
    targets = targets_of(case, torch.float32)
    _, matches = losses_of(case, targets, torch.float32)
    layers = case["expected_indices_last_then_aux"]
    firsts = [sum(targets.num_targets[:i]) for i in range(len(targets.num_targets))]
    for layer, images in enumerate([*layers[1:], layers[0]]):
        for image, (queries, rows) in enumerate(images):
            mine = matches.image[layer] == image
            assert matches.query[layer, mine].tolist() == queries
            assert matches.target[layer, mine].tolist() == [firsts[image] + r for r in rows]


def test_published_whitespace_fallback_can_be_reproduced():
    """Bug-compatible: the published alignment loss looks up a fallback in the first caption.

    We look it up in the span's own caption (`ops.spans`); whoever needs the published number
    passes the published rows as `token_map`. All other losses do not depend on it.
    """
    targets = targets_of(QUIRK, torch.float64)
    ((begin, end),) = QUIRK["targets"][1]["tokens_positive"][0]
    first_caption, second_caption = (char_to_token(o) for o in QUIRK["offsets_padded"])
    assert second_caption[begin] == NO_TOKEN
    begin_token = next(t for t in first_caption[begin + 1 : begin + 3] if t != NO_TOKEN)
    published = targets.token_map.clone()
    published[1] = False
    published[1, begin_token : second_caption[end - 1] + 1] = True
    losses, _ = losses_of(QUIRK, targets._replace(token_map=published), torch.float64)
    found = grounding.published_names(losses)
    for name, value in QUIRK["expected_losses"].items():
        assert_close(found[name].item(), value, **TOLERANCE)


def identity_matches(layers, boxes):
    """Layer by layer, query i of image 0 has box i."""
    index = torch.arange(boxes).expand(layers, boxes)
    return Matches(torch.zeros_like(index), index, index)


@given(st.integers(1, 4), st.integers(2, 9))
def test_equal_logits_cost_ln_classes(boxes, classes):
    logits = torch.zeros(2, 1, 5, classes, dtype=torch.float64)
    rows = torch.full((boxes, classes), 1 / classes, dtype=torch.float64)
    loss = grounding.soft_token_loss(
        logits, identity_matches(2, boxes), rows, num_boxes=2.0, no_object_weight=0.1
    )
    expected = (boxes + 0.1 * (5 - boxes)) * math.log(classes) / 2
    assert_close(loss, torch.full((2,), expected, dtype=torch.float64))


@given(st.integers(1, 3), st.integers(4, 7))
def test_alignment_of_equal_similarities_is_the_log_of_the_choices(boxes, tokens):
    queries = torch.zeros(1, 1, 5, 2, dtype=torch.float64)
    token_map = torch.eye(boxes, tokens, dtype=torch.bool)
    loss = grounding.contrastive_align_loss(
        queries,
        torch.zeros(1, tokens, 2, dtype=torch.float64),
        identity_matches(1, boxes),
        token_map,
        num_boxes=1.0,
    )
    expected = boxes * (math.log(tokens) + math.log(5)) / 2
    assert_close(loss.item(), expected)


def test_exact_boxes_cost_nothing_and_give_no_gradient_to_others():
    boxes = torch.rand(2, 1, 4, 4, dtype=torch.float64).requires_grad_()
    l1, giou = grounding.box_losses(
        boxes, identity_matches(2, 3), boxes[0, 0].detach(), num_boxes=3.0
    )
    assert_close(l1[0].item(), 0.0)
    assert_close(giou[0].item(), 0.0)
    (l1[1] + giou[1]).backward()
    assert boxes.grad[1, 0, 3].abs().sum() == 0
    assert boxes.grad[1, 0, :3].abs().sum() > 0


def test_image_text_contrastive_matches_reference():
    case = VECTORS["image_text_contrastive"]
    image, text = (torch.tensor(case[k]) for k in ("pooled_image", "pooled_text"))
    loss = grounding.image_text_contrastive_loss(image, text, temperature=case["temperature"])
    assert_close(loss.item(), case["expected"], **TOLERANCE)


def test_equal_pairs_cost_ln_batch():
    same = torch.ones(5, 3, dtype=torch.float64)
    loss = grounding.image_text_contrastive_loss(same, same)
    assert_close(loss.item(), math.log(5))


def test_without_a_token_map_the_positive_columns_serve():
    case = CASES[0]
    targets = targets_of(case, torch.float64)
    assert targets.token_map.shape[1] < targets.positive_map.shape[1]
    ours, _ = losses_of(case, targets._replace(token_map=None), torch.float64)
    expected, _ = losses_of(case, targets, torch.float64)
    assert_close(ours.contrastive_align, expected.contrastive_align)


def test_bfloat16_predictions_lose_what_float32_ones_lose():
    case = CASES[0]
    targets = targets_of(case, torch.float32)
    names = "pred_logits", "pred_boxes", "proj_queries"
    half = [stack_layers(case, name, torch.bfloat16) for name in names]
    tokens = torch.tensor(case["proj_tokens"]).bfloat16()

    def losses(cast):
        logits, boxes, queries = (cast(x) for x in half)
        return grounding.grounding_losses(
            logits,
            boxes,
            targets,
            num_boxes=5.0,
            query_embeddings=queries,
            token_embeddings=cast(tokens),
        )[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = losses(lambda x: x)
    for mine, expected in zip(found, losses(torch.Tensor.float), strict=True):
        if expected is not None:
            assert mine.dtype == torch.float32
            assert_close(mine, expected, rtol=1e-5, atol=1e-5)


def test_an_is_final_head_without_targets_is_refused():
    case = CASES[1]
    targets = targets_of(case, torch.float32)._replace(is_final=None)
    with pytest.raises(ValueError, match="need is_final for every box"):
        losses_of(case, targets, torch.float32)


def test_gradients_match_finite_differences():
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    targets = grounding.GroundingTargets(
        draw(3, 4), draw(3, 6) > 0.5, [1, 2], draw(3, 5) > 0.5, draw(3).round()
    )
    inputs = [draw(2, 2, 4, 6), draw(2, 2, 4, 4), draw(2, 2, 4, 3), draw(2, 5, 3), draw(2, 2, 4)]
    for tensor in inputs:
        tensor.requires_grad_()

    def total(logits, boxes, queries, tokens, final):
        losses, _ = grounding.grounding_losses(
            logits,
            boxes,
            targets,
            num_boxes=3.0,
            query_embeddings=queries,
            token_embeddings=tokens,
            is_final_logits=final,
        )
        return grounding.weighted_total(losses)

    assert torch.autograd.gradcheck(total, inputs)


def test_matches_are_those_of_the_matcher():
    case = CASES[0]
    targets = targets_of(case, torch.float32)
    _, matches = losses_of(case, targets, torch.float32)
    again = match_queries(
        stack_layers(case, "pred_logits", torch.float32),
        stack_layers(case, "pred_boxes", torch.float32),
        *targets[:3],
    )
    assert all(torch.equal(a, b) for a, b in zip(matches, again, strict=True))


def test_boxes_of_which_finality_is_not_known_count_in_neither_loss_nor_accuracy():
    logits = torch.tensor([[[0.5, -1.0, 2.0]], [[1.0, 3.0, -2.0]]], dtype=torch.float64)
    pairs = torch.arange(3).expand(2, 3)
    matches = Matches(torch.zeros(2, 3, dtype=torch.long), pairs, pairs)
    final = torch.tensor([1.0, math.nan, 0.0], dtype=torch.float64)
    leaf = logits.clone().requires_grad_()
    loss, right = grounding.is_final_loss(leaf, matches, final, num_boxes=3.0)
    softplus = lambda x: math.log1p(math.exp(x))  # noqa: E731
    expected = [(softplus(-0.5) + softplus(2.0)) / 3, (softplus(-1.0) + softplus(-2.0)) / 3]
    assert_close(loss, torch.tensor(expected, dtype=torch.float64))
    assert right.tolist() == [0.5, 1.0]
    loss.sum().backward()
    assert leaf.grad[:, 0, 1].tolist() == [0, 0]
    nothing, _ = grounding.is_final_loss(logits, matches, final * math.nan, num_boxes=3.0)
    assert nothing.tolist() == [0, 0]


def test_without_named_tokens_the_class_head_tells_objects_and_the_alignment_names():
    """Any logits with the same P(no object) cost the same, and tokens still pull queries."""
    generator = torch.Generator().manual_seed(0)
    draw = lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    boxes, names = draw(2, 4) * 0.5 + 0.2, torch.tensor([[1, 1, 0, 0, 0], [0, 0, 1, 0, 0]]) > 0
    targets = grounding.GroundingTargets(boxes, names, [2])
    logits, found, queries, tokens = (
        draw(1, 1, 3, 5),
        draw(1, 1, 3, 4),
        draw(1, 1, 3, 4),
        draw(1, 4, 4),
    )

    def losses(logits):
        return grounding.grounding_losses(
            logits,
            found,
            targets,
            num_boxes=2.0,
            query_embeddings=queries,
            token_embeddings=tokens,
            name_tokens=False,
        )

    first, matches = losses(logits)
    second, _ = losses(torch.cat([logits[..., [1, 3, 0, 2]], logits[..., 4:]], dim=-1))
    assert_close(first.soft_token, second.soft_token)
    none = logits.softmax(dim=-1)[0, 0, :, -1]
    mine = matches.query[0].tolist()
    (other,) = {0, 1, 2} - set(mine)
    expected = -((1 - none[mine]).log().sum() + 0.1 * none[other].log()) / 2
    assert_close(first.soft_token[0], expected)
    whole, _ = grounding.grounding_losses(
        logits, found, targets, num_boxes=2.0, query_embeddings=queries, token_embeddings=tokens
    )
    assert first.contrastive_align is not None
    aligned = grounding.contrastive_align_loss(
        queries, tokens, matches, names[:, :4], num_boxes=2.0
    )
    assert_close(first.contrastive_align, aligned)
    assert (whole.soft_token != first.soft_token).all()
