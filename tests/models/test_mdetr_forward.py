"""Five whole tiny models, text encoder included: published key names in, exact outputs out.

Their file is large. It is looked for in tests/vectors and in the folder that the environment
variable EYESPOT_VECTORS names.
"""

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn
from torch.testing import assert_close

from eyespot.models import mdetr
from eyespot.models.masks import SegmentingDetector
from eyespot.models.mdetr import ModulatedDetector
from eyespot.models.roberta import Roberta, RobertaSizes
from tests.reference import VECTORS

NAME = "mdetr_tiny_forward.safetensors"
PLACES = [VECTORS, Path(os.environ.get("EYESPOT_VECTORS", VECTORS))]
FILE = next((place / NAME for place in PLACES if (place / NAME).exists()), None)
pytestmark = pytest.mark.skipif(
    FILE is None, reason=f"needs {NAME} in tests/vectors or in the folder EYESPOT_VECTORS names"
)
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}
MASK_TOLERANCE = {"rtol": 1e-3, "atol": 1e-3}
HEADS = {
    "base": {},
    "gqa": {"alignment_dim": None, "answer_heads": mdetr.GQA_HEADS},
    "clevr": {"alignment_dim": None, "answer_heads": mdetr.CLEVR_HEADS},
    "clevrref": {"with_is_final": True},
    "segm": {"alignment_dim": None},
}


class GivenMaps(nn.Module):
    """A backbone that was run before."""

    def __init__(self, maps):
        super().__init__()
        self.maps = maps

    def forward(self, images):
        return self.maps


def read(kind):
    """Tensors of one model by name, and its sizes."""
    with safe_open(FILE, "pt") as file:
        sizes = json.loads(file.metadata()["json"])["config"]
        prefix = kind + "/"
        tensors = {
            k.removeprefix(prefix): file.get_tensor(k)
            for k in file.keys()  # noqa: SIM118
            if k.startswith(prefix)
        }
    return tensors, {**sizes, **(sizes["segm_overrides"] if kind == "segm" else {})}


def build(kind, tensors, sizes, **more):
    maps = [tensors[f"features/{i}/tensor"] for i in range(4) if f"features/{i}/tensor" in tensors]
    text = sizes["text_encoder"]
    encoder = Roberta(
        RobertaSizes(
            vocab_size=text["vocab_size"],
            dim=text["hidden_size"],
            num_layers=text["num_hidden_layers"],
            num_heads=text["num_attention_heads"],
            ffn_dim=text["intermediate_size"],
            num_positions=text["max_position_embeddings"],
            pad_token_id=text["pad_token_id"],
            norm_eps=text["layer_norm_eps"],
        )
    )
    options = {"alignment_dim": sizes["contrastive_dim"], **HEADS[kind], **more}
    model = ModulatedDetector(
        GivenMaps(maps),
        maps[-1].shape[1],
        encoder,
        text["hidden_size"],
        dim=sizes["d_model"],
        num_heads=sizes["nheads"],
        num_encoder_layers=sizes["num_encoder_layers"],
        num_decoder_layers=sizes["num_decoder_layers"],
        ffn_dim=sizes["dim_feedforward"],
        num_queries=sizes["num_queries"],
        num_classes=sizes["num_logits"],
        **options,
    )
    if kind == "segm":
        model = SegmentingDetector(model, sizes["nheads"], [m.shape[1] for m in maps])
    prefix = "state_dict/"
    state = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    new = model.load_state_dict(state, strict=not more)
    assert all("finer_proj" in key or "level_embed" in key for key in new.missing_keys)
    return model.eval()


def inputs_of(tensors):
    pad_mask = tensors["input/pad_mask"]
    images = torch.zeros(pad_mask.shape[0], 3, *pad_mask.shape[1:])
    return images, pad_mask, tensors["input/input_ids"], tensors["input/attention_mask"] != 1


def check_layers(found, tensors):
    """Logits, boxes, alignment and finality of every decoder layer."""
    places = [f"aux/{i}/" for i in range(len(found.logits) - 1)] + ["output/"]
    for layer, place in enumerate(places):
        assert_close(found.logits[layer], tensors[place + "pred_logits"], **TOLERANCE)
        assert_close(found.boxes_cxcywh[layer], tensors[place + "pred_boxes"], **TOLERANCE)
        if place + "proj_queries" in tensors:
            assert_close(
                found.query_embeddings[layer], tensors[place + "proj_queries"], **TOLERANCE
            )
            assert_close(found.token_embeddings, tensors[place + "proj_tokens"], **TOLERANCE)
        if place + "pred_isfinal" in tensors:
            expected = tensors[place + "pred_isfinal"][..., 0]
            assert_close(found.is_final_logits[layer], expected, **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("kind", HEADS)
def test_outputs_match_reference(kind):
    tensors, sizes = read(kind)
    model = build(kind, tensors, sizes)
    found = model(*inputs_of(tensors))
    if kind == "segm":
        assert_close(found.mask_logits, tensors["output/pred_masks"], **MASK_TOLERANCE)
        found = found.grounding
    check_layers(found, tensors)
    answers = {k for k in tensors if k.startswith("output/pred_answer")}
    assert len(answers) == len(found.answer_logits or ())
    for name, logits in (found.answer_logits or {}).items():
        assert_close(logits, tensors[f"output/pred_answer_{name}"], **TOLERANCE)


@torch.no_grad()
@pytest.mark.parametrize("kind", [k for k in HEADS if k != "segm"])
def test_memory_matches_reference(kind):
    tensors, sizes = read(kind)
    model = build(kind, tensors, sizes)
    images, pad_mask, ids, text_pad = inputs_of(tensors)
    image = model.encode_image(images, pad_mask)
    assert torch.equal(image.pad_mask, tensors["features/0/mask"])
    assert_close(image.position, tensors["pos/0"], **TOLERANCE)
    text = model.encode_text(ids, text_pad)
    expected_text = tensors["memory/text_memory_resized"].transpose(0, 1)
    assert_close(text, expected_text, **TOLERANCE)
    memory = model.fuse(image, text, text_pad)
    assert torch.equal(memory.pad_mask, tensors["memory/mask"])
    assert_close(memory.tokens, tensors["memory/img_memory"].transpose(0, 1), **TOLERANCE)
    assert_close(memory.position, tensors["memory/pos_embed"].transpose(0, 1), **TOLERANCE)


@torch.no_grad()
def test_positions_and_padding_of_every_map_match_reference():
    """Of the model that draws masks, whose four maps the reference gives positions; ours reads all.

    Each level's learned offset, which the reference does not have, is set to 0.
    """
    tensors, sizes = read("segm")
    images, pad_mask, *_ = inputs_of(tensors)
    last = build("segm", tensors, sizes).detr.encode_image(images, pad_mask)
    assert torch.equal(last.pad_mask, tensors["features/3/mask"])
    assert_close(last.position, tensors["pos/3"], **TOLERANCE)
    dims = [tensors[f"features/{i}/tensor"].shape[1] for i in (2, 1, 0)]
    detector = build("segm", tensors, sizes, finer_dims=dims).detr
    detector.level_embed.weight.zero_()
    levels = detector.encode_image(images, pad_mask).levels()
    for number, level in zip((3, 2, 1, 0), levels, strict=True):
        assert level.pad_mask.any()
        assert torch.equal(level.pad_mask, tensors[f"features/{number}/mask"])
        assert_close(level.position, tensors[f"pos/{number}"], **TOLERANCE)
