import torch
from torch import nn

from eyespot.optim.groups import groups_by_module


class ViTLike(nn.Module):
    """The names and modules of a conv-stem transformer, as pycls spells them."""

    def __init__(self):
        super().__init__()
        self.cstem0_conv = nn.Conv2d(3, 4, 3, bias=False)
        self.cstem0_bn = nn.BatchNorm2d(4)
        self.class_token = nn.Parameter(torch.zeros(1, 1, 4))
        self.pos_embedding = nn.Parameter(torch.zeros(5, 1, 4))
        self.ln_1 = nn.LayerNorm(4)
        self.attention = nn.MultiheadAttention(4, 2)
        self.head_fc = nn.Linear(4, 2)


def names(model, groups):
    by_id = {id(p): name for name, p in model.named_parameters()}
    return {g["name"]: {by_id[id(p)] for p in g["params"]} for g in groups}


def decays(groups):
    return {g["name"]: g["weight_decay"] for g in groups}


MAIN = {
    "cstem0_conv.weight",
    "class_token",
    "pos_embedding",
    "attention.in_proj_weight",
    "attention.out_proj.weight",
    "head_fc.weight",
}
BIAS = {"attention.in_proj_bias", "attention.out_proj.bias", "head_fc.bias"}
NORM = {"cstem0_bn.weight", "cstem0_bn.bias", "ln_1.weight", "ln_1.bias"}


def by_name(model):
    """pycls' rule: the first of its words that is in the name."""
    words = {"bn": "norm", "ln": "layer norm", "bias": "bias", "": "main"}
    found = {}
    for name, _ in model.named_parameters():
        kind = next(kind for word, kind in words.items() if word in name)
        found.setdefault(kind, set()).add(name)
    return found


def test_modules_are_grouped_as_pycls_groups_their_names():
    model = ViTLike()
    groups = groups_by_module(
        model, weight_decay=0.1, norm_decay=0.01, layer_norm_decay=0.02, bias_decay=0.03
    )
    assert names(model, groups) == by_name(model)
    assert names(model, groups)["layer norm"] == {"ln_1.weight", "ln_1.bias"}
    assert decays(groups) == {"main": 0.1, "norm": 0.01, "layer norm": 0.02, "bias": 0.03}


def test_by_default_everything_is_decayed():
    groups = groups_by_module(ViTLike(), weight_decay=5e-5)
    assert set(decays(groups).values()) == {5e-5}
    assert sum(len(g["params"]) for g in groups) == 13


def test_early_convolutions_decay_neither_norms_nor_biases_but_tokens():
    model = ViTLike()
    groups = groups_by_module(model, weight_decay=0.24, norm_decay=0.0, bias_decay=0.0)
    found = names(model, groups)
    assert found["norm"] | found["layer norm"] == NORM
    assert (found["main"], found["bias"]) == (MAIN, BIAS)
    assert decays(groups) == {"main": 0.24, "norm": 0.0, "layer norm": 0.0, "bias": 0.0}


def test_modules_are_asked_whatever_their_names():
    model = nn.Sequential(
        nn.Linear(2, 2),
        nn.SyncBatchNorm(2),
        nn.GroupNorm(1, 2),
        nn.RMSNorm(2),
        nn.InstanceNorm1d(2, affine=True),
    )
    groups = groups_by_module(model, weight_decay=1.0, norm_decay=0.0)
    assert names(model, groups) == {
        "main": {"0.weight"},
        "norm": {"1.weight", "1.bias", "2.weight", "2.bias", "3.weight", "4.weight", "4.bias"},
        "bias": {"0.bias"},
    }


def test_frozen_and_tied_parameters_appear_never_and_once():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    model[2].requires_grad_(False)
    groups = groups_by_module(model, weight_decay=1.0)
    assert names(model, groups) == {"main": {"0.weight"}, "bias": {"0.bias", "1.bias"}}
