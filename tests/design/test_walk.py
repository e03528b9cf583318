"""What is walked against what PyTorch really keeps, and against the exact counts."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.memory import kept_bytes
from eyespot.design.recompute import held_by, recomputed_by
from eyespot.design.specs import ViTSpec, ViTStem
from eyespot.design.walk import walk
from eyespot.models import vit
from eyespot.models.build import build
from tests.reference import read_json

FAMILIES = (
    "RegNetX-200MF",
    "RegNetY-200MF",
    "RegNetZ-500MF",
    "RegNetZ-500MF-nohead",
    "ResNet-50",
    "ResNet-50-MSRA-stride1x1",
    "ResNeXt-50",
    "CIFAR-ResNet-20",
    "CIFAR-Vanilla-20",
    "EfficientNet-B0",
    "EfficientNet-Lite0",
    "ViT-P-1GF",
    "ViT-P-1GF-pooled",
    "ViT-C-1GF",
)


def small(name):
    spec = replace(zoo.spec(name), image_size=64)
    if name == "EfficientNet-B0":
        return replace(spec, drop_connect=0.2, dropout=0.3)
    return replace(spec, depth=2) if isinstance(spec, ViTSpec) else spec


def storages(run, model):
    """Bytes of the distinct memories that a forward pass hands to autograd to keep."""
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage
        return tensor.detach()  # an output kept by its own node would never be freed

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = run()
    return found, out


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("name", FAMILIES)
def test_kept_bytes_are_exactly_those_of_torch(name, mixed, monkeypatch):
    # count for accelerators: fused attention, where a CPU in bfloat16 keeps the scores as well
    monkeypatch.setattr(vit, "_SHORT", 0)
    spec = small(name)
    model = build(spec).train()
    images = torch.randn(3, 3, 64, 64)

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return model(images)

    found, _ = storages(run, model)
    units = walk(spec, mixed=mixed)
    predicted = sum(kept_bytes(unit.kept, 3, 2 if mixed else 4) for unit in units)
    assert predicted == sum(storage.nbytes() for storage in found.values())


def test_layer_norm_stem_and_norm_after():
    stem = ViTStem((8, 16), (3, 3), (2, 2), 1, 1, norm="layer", norm_after=True)
    spec = ViTSpec(16, 32, 2, 1, stem=stem, image_size=16, num_classes=10)
    model = build(spec).train()
    images = torch.randn(2, 3, 16, 16)
    found, _ = storages(lambda: model(images), model)
    predicted = sum(kept_bytes(unit.kept, 2, 4) for unit in walk(spec))
    assert predicted == sum(storage.nbytes() for storage in found.values())


@pytest.mark.parametrize(
    ("name", "stem_keeps_its_output"),
    [
        ("RegNetY-200MF", True),
        ("RegNetZ-500MF", False),
        ("ResNet-50", False),
        ("EfficientNet-B0", False),
        ("ViT-C-1GF", False),
    ],
)
def test_recomputed_blocks_keep_their_inputs_and_one_block_at_a_time(name, stem_keeps_its_output):
    model = build(replace(zoo.spec(name), image_size=64)).train()
    kinds = ("ResBlock", "LinearResBlock", "MBConv", "Block")
    blocks = [m for m in model.modules() if type(m).__name__ in kinds]
    entries, alone, hooks = [], [], {}

    def before(block, arguments):
        hooks.pop(block).remove()
        entries.append(arguments[0].untyped_storage().nbytes())
        again = arguments[0].detach().clone().requires_grad_()
        found, _ = storages(lambda: block(again), block)
        found.pop(again.untyped_storage().data_ptr(), None)
        alone.append(sum(storage.nbytes() for storage in found.values()))

    hooks.update({block: block.register_forward_pre_hook(before) for block in blocks})
    model(torch.randn(2, 3, 64, 64))
    units = walk(replace(zoo.spec(name), image_size=64))
    groups = tuple((i, i + 1) for i in range(len(units) - 2))
    again, held = recomputed_by(units, groups), held_by(units, groups)
    assert [kept_bytes(kept, 2, 4) for kept in again[1:-1]] == alone
    if stem_keeps_its_output:
        entries[0] = 0
    assert [kept_bytes(kept, 2, 4) for kept in held[1:-1]] == entries


@pytest.mark.parametrize("row", read_json("h100_steps.json")["rows"], ids=lambda row: row["model"])
def test_kept_bytes_are_those_of_cuda(row):
    """Attention keeps 16 bytes of random state a block on CUDA, which is left out."""
    units = walk(zoo.spec(row["model"]), mixed=True)
    predicted = sum(kept_bytes(unit.kept, row["batch"], 2) for unit in units)
    assert 0 <= row["kept_bytes"] - predicted <= 16 * len(units)


def test_layers_add_up_to_the_exact_counts():
    for name in zoo.list_models():
        spec = zoo.spec(name)
        layers = [layer for unit in walk(spec) for layer in unit.layers]
        cost = complexity(spec)
        assert sum(layer.flops for layer in layers) == cost.flops, name
        assert sum(layer.params for layer in layers) == cost.params, name


def test_operations_of_a_stem():
    """An in-place SiLU first copies its input for the backward pass; autocast casts the image."""
    spec = zoo.spec("EfficientNet-B0")
    kinds = [layer.kind for layer in walk(spec)[0].layers]
    assert kinds == ["conv", "batch_norm", "activation", "copy"]
    assert [layer.kind for layer in walk(spec, mixed=True)[0].layers] == ["cast", *kinds]
    assert [layer.kind for layer in walk(zoo.spec("ResNet-50"))[0].layers] == [
        "conv",
        "batch_norm",
        "activation",
        "max_pool",
    ]


def test_projection_head_replaces_the_classifier():
    spec = zoo.spec("RegNetY-200MF")
    head = nn.Sequential(nn.Linear(368, 512), nn.ReLU(), nn.Linear(512, 128), nn.Linear(128, 3000))
    trunk = complexity(replace(spec, num_classes=0)).params
    units = walk(spec, head_dims=(512, 128, 3000))
    assert sum(unit.params for unit in units) == trunk + sum(p.numel() for p in head.parameters())


def test_sizes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="divisible by the patch size 16, got 100"):
        walk(zoo.spec("ViT-C-1GF"), 100)
    with pytest.raises(ValueError, match="got 0"):
        walk(zoo.spec("ResNet-50"), 0)
