import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.testing import assert_close

from eyespot.models.heads import SwAVHead, byol_projector, mlp, simclr_projector
from tests.distributed import run_ranks


def features(count: int, dim: int) -> Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(0))


def shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(p.shape) for name, p in module.named_parameters()}


def test_layers_stand_at_the_indices_of_published_heads():
    # VISSL's files: linear layers at 0, 3, 6 and norms at 1, 4; without norms at 0, 2, 4.
    with_norm = {
        name.split(".")[0]: len(shape)
        for name, shape in shapes(mlp((6, 5, 4, 3), batch_norm=True)).items()
        if "weight" in name
    }
    assert with_norm == {"0": 2, "1": 1, "3": 2, "4": 1, "6": 2}
    without = [name for name in shapes(mlp((6, 5, 4, 3), batch_norm=False)) if "weight" in name]
    assert without == ["0.weight", "2.weight", "4.weight"]


def test_published_sizes():
    # SwAV's ResNet-50: 2048 x 2048 and 2048 x 128 with biases, one norm, 3000 prototypes.
    with torch.device("meta"):
        swav = SwAVHead((2048, 2048, 128), (3000,), batch_norm=True)
        # The printed 693.0M of RG-128 is its trunk and this projector.
        rg128 = mlp((7392, 7392, 128), batch_norm=False)
        byol = byol_projector(2048)
    count = sum(p.numel() for p in swav.parameters())
    assert count == 2048 * 2048 + 2048 + 2 * 2048 + 2048 * 128 + 128 + 3000 * 128
    trunk = 637_419_894
    assert round((trunk + sum(p.numel() for p in rg128.parameters())) / 1e6, 1) == 693.0
    assert [type(layer) for layer in byol] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]
    assert shapes(byol)["3.weight"] == (256, 4096)


def test_simclr_has_two_layers_and_no_norm():
    assert [type(layer) for layer in simclr_projector(12)] == [nn.Linear, nn.ReLU, nn.Linear]
    assert shapes(simclr_projector(12))["2.weight"] == (128, 12)


@pytest.mark.parametrize("batch_norm", [True, False])
def test_forward_equals_the_layers_by_hand(batch_norm):
    head = SwAVHead((6, 5, 4), (7, 3), batch_norm=batch_norm).double()
    x = features(9, 6).double()
    weights = head.state_dict()
    hidden = x @ weights["projector.0.weight"].t() + weights["projector.0.bias"]
    if batch_norm:
        hidden = (hidden - hidden.mean(0)) / (hidden.var(0, unbiased=False) + 1e-5).sqrt()
    last = "projector.3" if batch_norm else "projector.2"
    z = hidden.clamp(min=0) @ weights[f"{last}.weight"].t() + weights[f"{last}.bias"]
    z = z / z.norm(dim=1, keepdim=True)
    embeddings, scores = head(x)
    assert_close(embeddings, z)
    assert len(scores) == 2
    for i, s in enumerate(scores):
        assert_close(s, z @ weights[f"prototypes.{i}.weight"].t())


def test_normalized_prototypes_have_unit_length_and_make_cosines():
    head = SwAVHead((6, 4), (7, 3), batch_norm=False)
    before = [p.weight.detach().clone() for p in head.prototypes]
    head.normalize_prototypes_()
    for layer, old in zip(head.prototypes, before, strict=True):
        assert_close(layer.weight.detach(), old / old.norm(dim=1, keepdim=True))
        assert layer.weight.requires_grad
    out = head(features(50, 6))
    for scores in out.scores:
        assert scores.abs().max() <= 1 + 1e-6


def test_scores_are_float32_under_autocast():
    head = SwAVHead((6, 4), (7,), batch_norm=False)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        embeddings, (scores,) = head(features(5, 6))
    assert embeddings.dtype == scores.dtype == torch.float32
    assert_close(embeddings.norm(dim=1), torch.ones(5))
    assert_close(scores, F.linear(embeddings, head.prototypes[0].weight), rtol=1e-6, atol=1e-7)


def sharded_prototypes() -> list[Tensor]:
    head = known_head()
    fully_shard(head.prototypes[0], mesh=init_device_mesh("cpu", (2,)))
    head.normalize_prototypes_()
    return [head.prototypes[0].weight.full_tensor(), head(features(5, 6)).scores[0].detach()]


def known_head() -> SwAVHead:
    head = SwAVHead((6, 4), (7,), batch_norm=False)
    with torch.no_grad():
        for p in head.parameters():
            p.copy_(features(*p.shape) if p.dim() == 2 else features(1, len(p))[0])
    return head


def test_sharded_prototypes_are_normalized_alike():
    head = known_head()
    head.normalize_prototypes_()
    for weight, scores in run_ranks(sharded_prototypes):
        assert_close(weight, head.prototypes[0].weight.detach())
        assert_close(scores, head(features(5, 6)).scores[0].detach())


def test_too_few_widths_or_prototypes_are_refused():
    with pytest.raises(ValueError, match=r"got \[5\]"):
        mlp((5,), batch_norm=True)
    with pytest.raises(ValueError, match="set of prototypes, got none"):
        SwAVHead((5, 4), (), batch_norm=True)
