import pytest
import torch
from torch.testing import assert_close

from eyespot.evals.linear import (
    HeadChoice,
    ProbeHead,
    ProbeHeads,
    head_choices,
    head_groups,
    leave_diverged_,
    sum_of_losses,
)


def features(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(32, width, generator=generator) for width in (6, 8)]


LABELS = torch.arange(32) % 3


def train(heads, steps=20, weight_decay=0.01):
    optimizer = torch.optim.SGD(
        head_groups(heads, weight_decay=weight_decay, scale=2.0),
        lr=1.0,
        momentum=0.9,
        nesterov=True,
    )
    for step in range(steps):
        loss, _ = sum_of_losses(heads(features(step)), LABELS)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    return heads


def test_heads_trained_together_are_those_trained_alone():
    choices = head_choices(["a", "b"], (0.01, 0.3), (True, False))
    assert len(choices) == 8
    together = ProbeHeads(choices, (3, 8), (2, 1), 3)
    start = [{k: v.clone() for k, v in head.state_dict().items()} for head in together.heads]
    train(together)
    for place, choice in enumerate(choices):
        alone = ProbeHeads([choice], (3, 8), (2, 1), 3)
        alone.heads[0].load_state_dict(start[place])
        train(alone)
        wanted = alone.heads[0].state_dict()
        assert_close(together.heads[place].state_dict(), wanted, rtol=1e-5, atol=1e-6)


def test_chosen_taps_have_heads_without_a_norm_too():
    choices = head_choices(["s4@2x1", "pool"], (0.01,), (True,), without_norm=("pool",))
    assert [str(each) for each in choices] == [
        "s4@2x1 lr 0.01 bn", "pool lr 0.01 bn", "pool lr 0.01",
    ]  # fmt: skip
    same = head_choices(["pool"], (0.01,), (True, False), without_norm=("pool",))
    assert [each.norm for each in same] == [True, False]


def test_the_norm_is_over_a_channel_at_all_places():
    head = ProbeHead(2, 3, 4, norm=True)
    x = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))
    maps = x.view(5, 2, 3)
    mean, var = maps.mean((0, 2), keepdim=True), maps.var((0, 2), correction=0, keepdim=True)
    normed = ((maps - mean) / (var + 1e-5).sqrt()).flatten(1)
    assert_close(head(x), normed @ head.linear.weight.T + head.linear.bias)


def test_linear_layers_are_decayed_with_their_biases_and_norms_are_not():
    heads = ProbeHeads(head_choices(["a"], (0.1, 0.2), (True,)), (3,), (2,), 3)
    groups = head_groups(heads, weight_decay=0.5, scale=4.0)
    assert [(g["lr"], g["weight_decay"], len(g["params"])) for g in groups] == [
        (0.4, 0.5, 2),
        (0.4, 0.0, 2),
        (0.8, 0.5, 2),
        (0.8, 0.0, 2),
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e20])
def test_a_diverged_head_loses_its_gradients_alone(value):
    heads = ProbeHeads(head_choices(["a"], (0.1, 0.2), (False,)), (3,), (2,), 3)
    loss, _ = sum_of_losses(heads(features()[:1]), LABELS)
    loss.backward()
    heads.heads[1].linear.weight.grad[0, 0] = value
    assert leave_diverged_(heads) == [True, False]
    assert heads.heads[0].linear.weight.grad is not None
    assert heads.heads[1].linear.weight.grad is None
    assert heads.heads[1].linear.bias.grad is None


def test_names_and_bad_choices():
    assert str(HeadChoice(0, "s4@2x1", 0.01, True)) == "s4@2x1 lr 0.01 bn"
    with pytest.raises(ValueError, match=r"rates above 0, got \['a'\] and \[0.0\]"):
        head_choices(["a"], (0.0,), (True,))
    with pytest.raises(ValueError, match=r"need taps"):
        head_choices([], (0.1,), (True,))
