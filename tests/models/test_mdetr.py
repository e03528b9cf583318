"""The tiny models of the reference vectors: explicit weights in, exact predictions out."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot.models import mdetr
from eyespot.models.mdetr import AnswerHead, ImageFeatures, ModulatedDetector
from eyespot.models.position import sine_encoding
from eyespot.models.roberta import Roberta, RobertaSizes
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")
TINY = VECTORS["tiny_model"]
CONFIG = TINY["config"]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


class OneMap(nn.Module):
    """A backbone whose features are its input."""

    def forward(self, images):
        return [images]


def tiny(state_dict, dtype, **heads):
    model = ModulatedDetector(
        OneMap(),
        5,
        nn.Identity(),
        3,
        dim=CONFIG["d_model"],
        num_heads=CONFIG["nhead"],
        num_encoder_layers=CONFIG["enc_layers"],
        num_decoder_layers=CONFIG["dec_layers"],
        ffn_dim=CONFIG["dim_feedforward"],
        num_queries=CONFIG["num_queries"],
        num_classes=CONFIG["num_classes"] + 1,
        **heads,
    )
    state = {name: torch.tensor(value) for name, value in state_dict.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("transformer.resizer.") for name in missing)
    return model.to(dtype).eval()


def run(model, dtype):
    maps = torch.tensor(TINY["features_BCHW"], dtype=dtype)
    pad_mask = torch.tensor(TINY["image_pad_mask"], dtype=torch.bool)
    position = sine_encoding(pad_mask, CONFIG["d_model"], dtype=dtype)
    image = ImageFeatures([maps], model.input_proj(maps), pad_mask, position)
    text = torch.tensor(TINY["text_memory_resized_LBD"], dtype=dtype).transpose(0, 1)
    memory = model.fuse(image, text, torch.tensor(TINY["text_pad_mask_BL"], dtype=torch.bool))
    return memory, model.decode(memory)


def check(found, expected, dtype):
    assert_close(found, torch.tensor(expected, dtype=dtype), **TOLERANCE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_detector_matches_reference(dtype):
    hidden = CONFIG["contrastive_hdim"]
    model = tiny(TINY["state_dict"], dtype, alignment_dim=hidden, with_is_final=True)
    memory, found = run(model, dtype)
    expected = TINY["expected"]
    check(memory.tokens.transpose(0, 1), expected["img_memory"], dtype)
    assert memory.pad_mask.int().tolist() == expected["mask"]
    layers = [*expected["aux_outputs"], expected]
    assert len(layers) == len(found.logits)
    for layer, values in enumerate(layers):
        check(found.logits[layer], values["pred_logits"], dtype)
        check(found.boxes_cxcywh[layer], values["pred_boxes"], dtype)
        check(found.query_embeddings[layer], values["proj_queries"], dtype)
        check(found.is_final_logits[layer].unsqueeze(-1), values["pred_isfinal"], dtype)
    check(found.token_embeddings, expected["proj_tokens"], dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_clevr_answers_match_reference(dtype):
    case = VECTORS["tiny_model_qa_clevr"]
    heads = mdetr.CLEVR_HEADS
    model = tiny(case["state_dict"], dtype, alignment_dim=None, answer_heads=heads)
    _, found = run(model, dtype)
    assert found.query_embeddings is None
    assert found.is_final_logits is None
    check(found.logits[-1], case["expected"]["pred_logits"], dtype)
    check(found.boxes_cxcywh[-1], case["expected"]["pred_boxes"], dtype)
    for name, logits in found.answer_logits.items():
        check(logits, case["expected"][f"pred_answer_{name}"], dtype)


def test_published_answer_heads_have_the_published_names():
    def names(heads):
        model = ModulatedDetector(
            OneMap(), 4, nn.Identity(), 4, dim=8, num_heads=2, num_encoder_layers=1,
            num_decoder_layers=1, ffn_dim=8, answer_heads=heads,
        )  # fmt: skip
        return {
            k: tuple(v.shape) for k, v in model.state_dict().items() if "answer" in k or "qa" in k
        }

    gqa = names(mdetr.GQA_HEADS)
    assert gqa["qa_embed.weight"] == (6, 8)
    assert gqa["answer_rel_head.weight"] == (1594, 8)
    assert names(mdetr.GQA_UNIFIED_HEADS)["answer_head.bias"] == (1853,)
    assert names([AnswerHead("reg", 20, hidden=True)])["answer_reg_head.layers.2.bias"] == (20,)


def test_the_published_size():
    """Of the R101 checkpoint's 920 tensors 520 are the image backbone's; sizes in millions."""
    with torch.device("meta"):
        model = ModulatedDetector(OneMap(), 2048, Roberta(RobertaSizes()), 768)
    assert len(model.state_dict()) == 920 - 520
    text = sum(p.numel() for p in model.transformer.text_encoder.parameters())
    total = sum(p.numel() for p in model.parameters())
    assert round(text / 1e6, 1) == 124.6
    assert round((total - text) / 1e6, 1) == 18.3


def test_a_batch_with_different_captions_equals_one_by_one():
    torch.manual_seed(0)
    model = tiny(TINY["state_dict"], torch.float64, alignment_dim=6, with_is_final=True)
    _, together = run(model, torch.float64)
    maps = torch.tensor(TINY["features_BCHW"], dtype=torch.float64)[1:, :, :2, :3]
    text = torch.tensor(TINY["text_memory_resized_LBD"], dtype=torch.float64)[:4, 1:]
    pad_mask = torch.zeros(1, 2, 3, dtype=torch.bool)
    position = sine_encoding(pad_mask, 8, dtype=torch.float64)
    image = ImageFeatures([maps], model.input_proj(maps), pad_mask, position)
    text_pad = torch.zeros(1, 4, dtype=torch.bool)
    alone = model.decode(model.fuse(image, text.transpose(0, 1), text_pad))
    assert_close(alone.logits[:, 0], together.logits[:, 1])
    assert_close(alone.boxes_cxcywh[:, 0], together.boxes_cxcywh[:, 1])


def test_boxes_keep_full_precision_under_autocast():
    hidden = CONFIG["contrastive_hdim"]
    model = tiny(TINY["state_dict"], torch.float32, alignment_dim=hidden, with_is_final=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        _, found = run(model, torch.float32)
    assert found.logits.dtype == torch.bfloat16
    assert found.boxes_cxcywh.dtype == torch.float32
    assert_close(found.boxes_cxcywh, model.bbox_embed(found.queries.float()).sigmoid())
