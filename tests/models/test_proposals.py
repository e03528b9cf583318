"""Queries that begin at image tokens: places by hand, and the modules' own arithmetic again."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

from eyespot.models.position import sine_encoding
from eyespot.models.proposals import encode_points, token_centres
from tests.predict.grounders import small_grounder


def test_centres_by_hand():
    pad_mask = torch.tensor([[[False, False, True, True], [True] * 4]])
    found = token_centres(pad_mask, torch.float64)[0]
    assert_close(found[0], torch.tensor([0.25, 0.5], dtype=torch.float64))
    assert_close(found[1], torch.tensor([0.75, 0.5], dtype=torch.float64))


@given(height=st.integers(1, 6), width=st.integers(1, 6))
def test_points_are_encoded_as_positions_are(height, width):
    """`sine_encoding` counts the far edges of cells, so points there must give its channels."""
    pad_mask = torch.zeros(1, height, width, dtype=torch.bool)
    expected = sine_encoding(pad_mask, 16, dtype=torch.float64)[0].flatten(1).T
    half_cell = torch.tensor([0.5 / width, 0.5 / height], dtype=torch.float64)
    points = token_centres(pad_mask, torch.float64)[0] + half_cell
    assert_close(encode_points(points, 16), expected, rtol=1e-4, atol=1e-4)


def inputs(batch=2, side=64):
    torch.manual_seed(1)
    images = torch.randn(batch, 3, side, side)
    ids = torch.randint(4, 100, (batch, 6))
    masks = torch.zeros(batch, side, side, dtype=torch.bool), torch.zeros(batch, 6).bool()
    return images, masks[0], ids, masks[1]


def test_the_most_certain_tokens_become_queries():
    model = small_grounder(num_queries=3).model
    images, pad_mask, ids, text_pad = inputs()
    output = model(images, pad_mask, ids, text_pad)
    proposed = output.proposals
    assert proposed.logits.shape[:3] == (1, 2, 16)
    assert output.logits.shape[:3] == (2, 2, 3)
    sure = 1 - proposed.logits[0].softmax(-1)[..., -1]
    best = sure.argsort(dim=1, descending=True)[:, :3]
    memory = model.fuse(
        model.encode_image(images, pad_mask), model.encode_text(ids, text_pad), text_pad
    )
    states = model.proposals.norm(memory.tokens[:, :16])
    logits = torch.cat([memory.centres_xy, torch.full((2, 16, 2), 0.2)], -1).logit()
    logits = logits + model.bbox_embed(states)
    assert_close(proposed.boxes_cxcywh[0], logits.sigmoid())
    boxes = logits.gather(1, best.unsqueeze(-1).expand(-1, -1, 4))
    queries = states.gather(1, best.unsqueeze(-1).expand(-1, -1, 32))
    for number, layer in enumerate(model.transformer.decoder.layers):
        place = encode_points(boxes[..., :2].sigmoid(), 32)
        queries = layer(
            queries, place, memory.tokens, memory.tokens + memory.position, memory.pad_mask
        )
        normed = model.transformer.decoder.norm(queries)
        boxes = boxes + model.bbox_embed(normed)
        assert_close(output.boxes_cxcywh[number], boxes.sigmoid())
        assert_close(output.logits[number], model.class_embed(normed))


def test_padding_is_never_chosen_and_changes_nothing():
    model = small_grounder(num_queries=4).model.double()
    images, pad_mask, ids, text_pad = inputs(1)
    alone = model(images.double(), pad_mask, ids, text_pad)
    features = model.encode_image(images.double(), pad_mask)
    wide = features._replace(
        projected=torch.nn.functional.pad(features.projected, (0, 2), value=3.0),
        pad_mask=torch.nn.functional.pad(features.pad_mask, (0, 2), value=True),
        position=torch.nn.functional.pad(features.position, (0, 2)),
    )
    text = model.encode_text(ids, text_pad)
    padded = model.decode(model.fuse(wide, text, text_pad))
    assert_close(padded.boxes_cxcywh, alone.boxes_cxcywh)
    assert_close(padded.logits, alone.logits)


def test_attention_begins_as_likeness():
    from eyespot.models.grounder import build_grounder
    from tests.predict.grounders import small_spec

    model = build_grounder(small_spec())
    attention = model.transformer.encoder.layers[0].self_attn
    queries, keys, _ = attention.in_proj_weight.chunk(3)
    assert torch.equal(queries, keys)
    with torch.no_grad():
        plain = build_grounder(small_spec(with_proposals=False))
    queries, keys, _ = plain.transformer.encoder.layers[0].self_attn.in_proj_weight.chunk(3)
    assert not torch.equal(queries, keys)


@pytest.mark.parametrize("side", [64, 200])
def test_fewer_tokens_than_queries(side):
    model = small_grounder(num_queries=30).model
    found = model(*inputs(1, side))
    assert found.logits.shape[2] == min(30, (-(-side // 16)) ** 2)
