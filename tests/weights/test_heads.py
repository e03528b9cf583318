from itertools import pairwise

import pytest
import torch
from torch.testing import assert_close

from eyespot.errors import WeightsError
from eyespot.models.heads import SwAVHead
from eyespot.weights.heads import export_swav_head, load_swav_head


def published(dims, prototypes, *, batch_norm, seed=0):
    """The layers of a published head as plain torch calls, and their weights by number."""
    generator = torch.Generator().manual_seed(seed)
    layers, tensors, place = [], {}, 0
    for i, (inner, outer) in enumerate(pairwise(dims)):
        linear = torch.nn.Linear(inner, outer)
        layers.append(linear)
        tensors[f"projection_head.{place}.weight"] = linear.weight
        tensors[f"projection_head.{place}.bias"] = linear.bias
        if i == len(dims) - 2:
            break
        if batch_norm:
            norm = torch.nn.BatchNorm1d(outer)
            norm.running_mean.normal_(generator=generator)
            norm.running_var.uniform_(0.5, 2, generator=generator)
            layers.append(norm)
            for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
                tensors[f"projection_head.{place + 1}.{name}"] = getattr(norm, name)
        layers.append(torch.nn.ReLU())
        place += 3 if batch_norm else 2
    codes = [torch.randn(n, dims[-1], generator=generator) for n in prototypes]
    network = torch.nn.Sequential(*layers).eval()

    def run(x):
        z = network(x)
        z = z / z.norm(dim=1, keepdim=True)
        return z, [z @ c.T for c in codes]

    return run, {name: tensor.detach() for name, tensor in tensors.items()}, codes


def as_vissl(tensors, codes, *, counters=True):
    heads = {f"0.{name}": t for name, t in tensors.items() if counters or "num_batches" not in name}
    heads |= {f"0.prototypes{h}.weight": c for h, c in enumerate(codes)}
    trunk = {"_feature_blocks.conv1.stem.0.weight": torch.zeros(1)}
    model = {"trunk": trunk, "heads": heads}
    return {"type": "consolidated", "classy_state_dict": {"base_model": {"model": model}}}


def as_swav(tensors, codes):
    named = {"prototypes.weight": codes[0]}
    if len(codes) > 1:
        named = {f"prototypes.prototypes{h}.weight": c for h, c in enumerate(codes)}
    both = {"conv1.weight": torch.zeros(1), **tensors, **named}
    return {f"module.{name}": tensor for name, tensor in both.items()}


CASES = [
    ((20, 12, 12, 6), (30,), True),  # SEER up to 32 GF
    ((20, 12, 12, 6), (30,), False),  # above
    ((16, 16, 4), (9,), True),  # SwAV's ResNet-50
    ((16, 16, 4), tuple(range(5, 17)), True),  # twelve sets, so that 10 sorts after 9
]


@pytest.mark.parametrize(("dims", "prototypes", "batch_norm"), CASES)
@pytest.mark.parametrize("layout", ["vissl", "vissl without counters", "swav", "swav training"])
def test_published_heads_give_their_scores(dims, prototypes, batch_norm, layout, tmp_path):
    run, tensors, codes = published(dims, prototypes, batch_norm=batch_norm)
    if layout.startswith("vissl"):
        tree = as_vissl(tensors, codes, counters=layout == "vissl")
    else:
        tree = as_swav(tensors, codes)
        if layout == "swav training":
            tree = {"epoch": 3, "state_dict": tree, "optimizer": {}}
    torch.save(tree, tmp_path / "head.torch")
    x = torch.randn(7, dims[0], generator=torch.Generator().manual_seed(1))
    head = load_swav_head(tmp_path / "head.torch")
    embeddings, scores = run(x)
    with torch.no_grad():
        found = head(x)
    assert_close(found.embeddings, embeddings.detach())
    assert [s.shape[1] for s in found.scores] == list(prototypes)
    for got, wanted in zip(found.scores, scores, strict=True):
        assert_close(got, wanted.detach())


@pytest.mark.parametrize("to", ["vissl", "swav"])
@pytest.mark.parametrize("prototypes", [(5,), (5, 7)])
def test_heads_go_back_under_the_published_names(to, prototypes):
    _, tensors, codes = published((8, 6, 4), prototypes, batch_norm=True)
    tree = as_vissl(tensors, codes) if to == "vissl" else as_swav(tensors, codes)
    exported = export_swav_head(load_swav_head(tree), to)
    wanted = (
        tree["classy_state_dict"]["base_model"]["model"]["heads"]
        if to == "vissl"
        else {k.removeprefix("module."): v for k, v in tree.items() if "conv1" not in k}
    )
    assert exported.keys() == wanted.keys()
    assert_close(exported, wanted, rtol=0, atol=0)


def test_one_of_several_heads():
    _, tensors, codes = published((8, 6, 4), (5,), batch_norm=False)
    _, other, other_codes = published((8, 6, 4), (9,), batch_norm=False, seed=1)
    tree = as_vissl(tensors, codes)
    heads = tree["classy_state_dict"]["base_model"]["model"]["heads"]
    heads |= {f"1.{name}": tensor for name, tensor in other.items()}
    heads["1.prototypes0.weight"] = other_codes[0]
    assert len(load_swav_head(tree).prototypes[0].weight) == 5
    assert len(load_swav_head(tree, number=1).prototypes[0].weight) == 9
    with pytest.raises(WeightsError, match="head 2 .* got only the heads 0, 1"):
        load_swav_head(tree, number=2)


def test_what_is_no_head_is_said():
    _, tensors, codes = published((8, 6, 4), (5,), batch_norm=True)
    with pytest.raises(WeightsError, match="head 0 .* got none"):
        load_swav_head({"conv1.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match="2 linear layers and 0 sets"):
        load_swav_head(tensors)
    broken = as_swav(tensors, codes)
    broken["module.projection_head.1.weight"] = torch.zeros(5)
    with pytest.raises(
        WeightsError, match="widths 8, 6, 4, got a difference in projector.1.weight"
    ):
        load_swav_head(broken)
    broken = as_swav(tensors, codes)
    broken["module.prototypes.weight"] = torch.zeros(5, 3)
    with pytest.raises(WeightsError, match="difference in prototypes.0.weight"):
        load_swav_head(broken)
    assert isinstance(load_swav_head(as_swav(tensors, codes)), SwAVHead)
