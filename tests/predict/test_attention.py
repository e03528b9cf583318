"""What a grounder looked at, against torch's own attention and its own results."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from eyespot.models.masks import detector_of
from eyespot.predict.attention import phrase_attention
from eyespot.predict.grounder import Grounder
from tests.predict.grounders import small_grounder

TEXT = "The big star is left of a house and two green fish."


@pytest.fixture(params=[{}, {"with_proposals": False}, {"num_levels": 2}], ids=str)
def grounder(request):
    return Grounder(small_grounder(**request.param))


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (70, 110, 3), dtype=np.uint8)


def test_boxes_and_scores_are_the_grounders_best(grounder, picture):
    found = grounder(picture, TEXT, min_score=0.0, max_iou=1.0)
    seen = phrase_attention(grounder, picture, TEXT)
    assert [of.span for of in seen] == [phrase.span for phrase in found.phrases]
    for of, phrase in zip(seen, found.phrases, strict=True):
        assert of.text == phrase.text
        assert_close(of.box_xyxy_px, phrase.boxes_xyxy_px[0], rtol=1e-4, atol=1e-3)
        assert of.score == pytest.approx(phrase.scores[0], abs=1e-5)


def test_tokens_are_the_texts_and_sum_to_the_score_over_the_phrase(grounder, picture):
    for of in phrase_attention(grounder, picture, TEXT):
        begin, end = of.span
        words = {TEXT[b:e].strip() for (b, e), _ in of.tokens}
        assert {"star", "house", "fish"} <= words
        inside = sum(share for (b, e), share in of.tokens if begin <= b < e <= end)
        assert of.score == pytest.approx(inside, abs=1e-5)


def test_cells_are_the_weights_of_torchs_attention(grounder, picture):
    detector = detector_of(grounder.model)
    layer = detector.transformer.decoder.layers[-1].cross_attn_image
    read = []
    watch = layer.register_forward_pre_hook(lambda _, args: read.append(args))
    (encoded,) = grounder.encode([picture])
    grounder(encoded, TEXT)
    watch.remove()
    query, key, value, pad_mask = read[0]
    dim = query.shape[-1]
    with torch.no_grad():
        _, weights = F.multi_head_attention_forward(
            *(part.transpose(0, 1) for part in (query, key, value)),
            dim, layer.num_heads, layer.in_proj_weight, layer.in_proj_bias, None, None, False, 0.0,
            layer.out_proj.weight, layer.out_proj.bias, training=False,
            key_padding_mask=pad_mask, need_weights=True,
        )  # fmt: skip
    found = grounder(encoded, TEXT, min_score=0.0, max_iou=1.0)
    sizes = [level.pad_mask.shape[1:] for level in encoded.features.levels()]
    num_cells = sum(height * width for height, width in sizes)
    assert weights.shape[-1] > num_cells  # the text's tokens come behind
    for of, phrase in zip(phrase_attention(grounder, encoded, TEXT), found.phrases, strict=True):
        assert of.cells.shape == sizes[-1]
        rows = weights[0, :, :num_cells]
        sums = rows.sum(dim=-1).double().numpy()
        assert np.abs(sums - of.cells.sum()).min() < 1e-6
        if len(sizes) == 1:
            flat = torch.from_numpy(of.cells.reshape(1, -1)).float()
            query = int((rows - flat).abs().amax(dim=-1).argmin())
            assert_close(rows[query : query + 1], flat, rtol=1e-4, atol=1e-6)
        assert 0 < of.cells.sum() < 1
        assert phrase.text == of.text


def test_phrases_of_ones_own_and_texts_that_are_too_long(grounder, picture):
    (only,) = phrase_attention(grounder, picture, TEXT, phrases=[(4, 12)])
    assert only.text == "big star"
    with pytest.raises(ValueError, match=r"need a text of at most \d+ tokens to show attention"):
        phrase_attention(grounder, picture, "a red cup and " * 300 + "a star")
