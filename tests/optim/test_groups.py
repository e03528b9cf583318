import torch
from torch import nn

from eyespot.optim.groups import groups_by_module, groups_by_name, vissl_groups


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


def test_names_choose_by_the_first_match():
    model = ViTLike()
    groups = groups_by_name(model, weight_decay=0.1, bn_decay=0.01, ln_decay=0.02, bias_decay=0.03)
    assert names(model, groups) == {
        "main": MAIN,
        "bn": {"cstem0_bn.weight", "cstem0_bn.bias"},
        "ln": {"ln_1.weight", "ln_1.bias"},
        "bias": BIAS,
    }
    assert decays(groups) == {"main": 0.1, "bn": 0.01, "ln": 0.02, "bias": 0.03}


def test_by_default_everything_is_decayed():
    for groups in (
        groups_by_name(ViTLike(), weight_decay=5e-5),
        groups_by_module(ViTLike(), weight_decay=5e-5),
    ):
        assert set(decays(groups).values()) == {5e-5}
        assert sum(len(g["params"]) for g in groups) == 13


def test_early_convolutions_decay_neither_norms_nor_biases_but_tokens():
    model = ViTLike()
    groups = groups_by_module(model, weight_decay=0.24, norm_decay=0.0, bias_decay=0.0)
    assert names(model, groups) == {"main": MAIN, "norm": NORM, "bias": BIAS}
    assert decays(groups) == {"main": 0.24, "norm": 0.0, "bias": 0.0}


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
    for groups in (
        groups_by_module(model, weight_decay=1.0),
        groups_by_name(model, weight_decay=1.0),
    ):
        assert names(model, groups) == {"main": {"0.weight"}, "bias": {"0.bias", "1.bias"}}


def trunk_and_head():
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    head = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2, bias=False))
    return nn.ModuleDict({"trunk": trunk, "head": head})


def test_swav_and_seer_decay_everything():
    model = trunk_and_head()
    groups = vissl_groups(
        model["trunk"],
        model["head"],
        weight_decay=1e-5,
        regularize_norms=True,
        regularize_biases=True,
    )
    assert decays(groups) == {"trunk, decayed": 1e-5, "head, decayed": 1e-5}
    assert sum(len(g["params"]) for g in groups) == 9
    assert not any("lr" in g for g in groups)


def test_vissls_two_switches():
    wanted = {
        (False, False): {"trunk.0.weight", "head.0.weight", "head.2.weight"},
        (False, True): {
            "trunk.0.weight",
            "trunk.0.bias",
            "head.0.weight",
            "head.0.bias",
            "head.2.weight",
        },
        (True, False): {
            "trunk.0.weight",
            "trunk.1.weight",
            "head.0.weight",
            "head.1.weight",
            "head.2.weight",
        },
    }
    for (norms, biases), decayed in wanted.items():
        model = trunk_and_head()
        groups = vissl_groups(
            model["trunk"],
            model["head"],
            weight_decay=0.1,
            regularize_norms=norms,
            regularize_biases=biases,
            head_weight_decay=0.2,
            head_lr=5.0,
        )
        found = names(model, groups)
        assert found["trunk, decayed"] | found["head, decayed"] == decayed
        rest = found["trunk, not decayed"] | found["head, not decayed"]
        assert rest == {name for name, _ in model.named_parameters()} - decayed
        assert decays(groups) == {
            "trunk, decayed": 0.1,
            "trunk, not decayed": 0.0,
            "head, decayed": 0.2,
            "head, not decayed": 0.0,
        }
        assert [g.get("lr") for g in groups] == [None, None, 5.0, 5.0]
        torch.optim.SGD(groups, lr=0.1)
