"""A small random grounder, for tests of everything around the network."""

import torch

from eyespot.data.tokens import scenes_tokenizer
from eyespot.design.specs import AnyNetSpec, ViTSpec, ViTStem
from eyespot.models.bert import BertSizes
from eyespot.models.grounder import GrounderSpec, ImageSize, build_grounder
from eyespot.weights.grounders import LoadedGrounder

BACKBONE = AnyNetSpec(
    (1, 1, 1), (16, 24, 32), (2, 2, 2), (1.0,) * 3, (8,) * 3, stem_width=8, num_classes=0
)
VIT = ViTSpec(16, 32, 2, 4, ViTStem(proj_kernel=8, proj_stride=8), image_size=64, num_classes=0)
CONV_VIT = ViTSpec(
    16, 32, 2, 4, ViTStem((8, 8, 8), (3, 3, 3), (2, 2, 2), 1, 1, norm="batch"), image_size=64,
    num_classes=0,
)  # fmt: skip


def small_spec(**changes):
    tokenizer = scenes_tokenizer(max_tokens=40)
    text = BertSizes(
        vocab_size=tokenizer.vocab_size, dim=16, num_layers=1, num_heads=2, ffn_dim=16,
        num_positions=40,
    )  # fmt: skip
    settings = {
        "dim": 32, "num_heads": 4, "num_encoder_layers": 1, "num_decoder_layers": 2, "ffn_dim": 32,
        "num_queries": 6, "num_classes": 41, "alignment_dim": 8, "frozen_norms": False,
        "with_proposals": True, "image": ImageSize(64, 128),
    }  # fmt: skip
    return GrounderSpec(**{"backbone": BACKBONE, "text": text, **settings, **changes})


def small_grounder(seed=0, **changes):
    torch.manual_seed(seed)
    spec = small_spec(**changes)
    model = build_grounder(spec).eval().requires_grad_(False)
    for parameter in model.parameters():  # so that biases and last layers say something
        parameter.add_(0.3 * torch.randn_like(parameter))
    return LoadedGrounder(model, spec, scenes_tokenizer(max_tokens=40))
