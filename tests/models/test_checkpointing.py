import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from eyespot.design.specs import ViTSpec
from tests.models.networks import FAMILIES, images, random_network


def step(spec, *, recompute, groups=(), dtype=torch.float32, features=False):
    """One training step: its loss, gradients and buffers, in that order."""
    model = random_network(spec).to(dtype).train()
    model.set_grad_checkpointing(recompute, groups)
    x = images(spec, batch=4).to(dtype)
    torch.manual_seed(7)
    if features:
        maps = model.forward_intermediates(x)
        loss = sum(each.square().mean() for each in maps)
    else:
        loss = F.cross_entropy(model(x), torch.tensor([0, 1, 2, 3]))
    loss.backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return loss.detach(), gradients, dict(model.named_buffers())


@pytest.mark.parametrize("grouped", [False, True], ids=["blocks", "groups"])
@pytest.mark.parametrize("features", [False, True], ids=["logits", "maps"])
@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_recomputing_changes_no_bit(spec, features, grouped):
    plain = step(spec, recompute=False, features=features)
    groups = ((0, 1), (1, 3)) if grouped and not isinstance(spec, ViTSpec) else ((0, 2),) * grouped
    recomputed = step(spec, recompute=True, groups=groups, features=features)
    assert torch.equal(plain[0], recomputed[0])
    for ours, theirs in zip(recomputed[1:], plain[1:], strict=True):
        assert ours.keys() == theirs.keys()
        for name in theirs:
            assert torch.equal(ours[name], theirs[name]), name


def test_recomputing_keeps_less():
    kept = {}
    for recompute in (False, True):
        sizes = []
        spec = FAMILIES["regnety"]
        model = random_network(spec).train()
        model.set_grad_checkpointing(recompute)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda t, sizes=sizes: sizes.append(t.numel()) or t, lambda t: t
        ):
            model(images(spec, batch=4))
        kept[recompute] = sum(sizes)
    assert kept[True] < 0.5 * kept[False]


def test_nothing_is_recomputed_in_eval():
    spec = FAMILIES["regnety"]
    model = random_network(spec).eval()
    x = images(spec)
    plain = model(x)
    model.set_grad_checkpointing()
    calls = []
    model.s1.b1.register_forward_hook(lambda *_: calls.append(1))
    out = model(x.requires_grad_())
    out.sum().backward()
    assert len(calls) == 1
    assert_close(out, plain, rtol=0, atol=0)
