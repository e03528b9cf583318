"""VISSL's checkpoints in their four forms, built here as the fact sheet describes them."""

import hashlib

import pytest
import torch

from eyespot.errors import WeightsError
from eyespot.models.build import build
from eyespot.weights.load import load_weights
from tests.weights.networks import REGNETY, RESNET, distinct, same_weights
from tests.weights.test_layouts import (
    CNNS,
    published,
    resnet_block,
    vissl_block,
    vissl_grouped_block,
)

SSL_HEAD = {
    "0.projection_head.0.weight": torch.ones(64, 48),
    "0.projection_head.0.bias": torch.ones(64),
    "0.projection_head.2.weight": torch.ones(8, 64),
    "0.prototypes0.weight": torch.ones(10, 8),
}


def parts(source, layout="vissl-regnet", inside=None):
    """Return a network's trunk and classifier under VISSL's names."""
    _, outside, usual = CNNS[layout]
    flat = published(source.state_dict(), outside, inside or usual)
    heads = {key: tensor for key, tensor in flat.items() if key.startswith("0.clf")}
    return {key: tensor for key, tensor in flat.items() if key not in heads}, heads


def checkpoint(trunk, heads, **more):
    model = {"model": {"trunk": trunk, "heads": heads}}
    return {"phase_idx": 3, "classy_state_dict": {"train": True, "base_model": model, **more}}


@pytest.mark.parametrize("kind", [{}, {"type": "consolidated"}])
@pytest.mark.parametrize("inside", [vissl_block, vissl_grouped_block])
def test_a_consolidated_checkpoint(tmp_path, kind, inside):
    source, target = distinct(REGNETY), build(REGNETY)
    file = tmp_path / "model_final_checkpoint_phase78.torch"
    torch.save({**kind, **checkpoint(*parts(source, inside=inside))}, file)
    report = load_weights(target, file)
    assert report.layout == "vissl-regnet"
    assert same_weights(target.state_dict(), source.state_dict())


def test_pretraining_heads_are_named_and_the_trunk_loads():
    source = distinct(REGNETY)
    trunk, _ = parts(source)
    target = build(REGNETY)
    with pytest.raises(WeightsError, match=r'missing: head\.fc\.weight.*head="drop"'):
        load_weights(target, checkpoint(trunk, SSL_HEAD))
    report = load_weights(target, checkpoint(trunk, SSL_HEAD), head="drop")
    assert set(report.unused) == set(SSL_HEAD)
    assert torch.equal(target.s4.b1.f.c.weight, source.s4.b1.f.c.weight)


def test_a_resnet_trunk_of_a_linear_probe():
    source, target = distinct(RESNET), build(RESNET)
    trunk, heads = parts(source, "vissl-resnet")
    trunk = {f"base_model.{key}": tensor for key, tensor in trunk.items()}
    heads["0.channel_bn.weight"] = torch.ones(48)
    heads["1.clf.0.weight"] = torch.ones(5, 32)
    report = load_weights(target, checkpoint(trunk, heads))
    assert report.layout == "vissl-resnet"
    assert set(report.unused) == {"0.channel_bn.weight", "1.clf.0.weight"}
    assert same_weights(target.state_dict(), source.state_dict())


def test_a_swav_repository_file(tmp_path):
    source, target = distinct(RESNET), build(RESNET)
    outside = {"stem.conv": "conv1", "stem.bn": "bn1", "head.fc": "fc"}
    flat = published(source.state_dict(), outside, resnet_block)
    flat = {f"module.{key}": value for key, value in flat.items() if not key.startswith("fc")}
    heads = {
        "module.projection_head.0.weight": torch.ones(8, 48),
        "module.projection_head.1.running_var": torch.ones(8),
        "module.projection_head.3.bias": torch.ones(4),
        "module.prototypes.weight": torch.ones(9, 4),
    }
    file = tmp_path / "swav_100ep_pretrain.pth.tar"
    torch.save({**flat, **heads}, file)
    report = load_weights(target, file, head="drop")
    assert set(report.unused) == {key.removeprefix("module.") for key in heads}
    assert torch.equal(target.s2.b2.f.b.weight, source.s2.b2.f.b.weight)
    torch.save({"epoch": 5, "state_dict": {**flat, **heads}, "optimizer": {}, "amp": {}}, file)
    load_weights(build(RESNET), file, head="drop")


def shard(tensors, unit_of, ranks, *, replicated=()):
    """Cut parameters as FSDP does: one flat, padded tensor a unit, an equal part of it a rank."""
    units = {}
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and "running" not in name:
            units.setdefault(unit_of(name), []).append(name)
    local = [{} for _ in range(ranks)]
    metas = [{"param_metadata": [], "buffer_names": []} for _ in range(ranks)]
    buffers = [name for name in tensors if not any(name in names for names in units.values())]
    for unit, names in units.items():
        flat = torch.cat([tensors[name].flatten() for name in names])
        whole = unit in replicated
        size = len(flat) if whole else -(-len(flat) // ranks)
        for rank in range(ranks):
            part = flat if whole else flat[rank * size : (rank + 1) * size]
            padding = size - len(part)
            path = f"{unit}." if unit else ""
            local[rank][f"{path}flat_param_0"] = torch.cat([part, torch.full((padding,), 7.0)])
            metas[rank]["param_metadata"].append(
                {
                    "fsdp_path": unit,
                    "params": {
                        "flat_param_0": {
                            "names": [f"_fpw_module.{n.removeprefix(path)}" for n in names],
                            "shapes": [tensors[n].shape for n in names],
                            "numels": [tensors[n].numel() for n in names],
                            "padding": padding,
                        }
                    },
                    "no_broadcast_optim_state": whole,
                    "shared_param_info": [],
                }
            )
    for rank in range(ranks):
        metas[rank]["buffer_names"] = buffers
        for name in buffers:  # other ranks' buffers must not be used
            value = tensors[name]
            local[rank][name.replace("conv1.", "conv1._fsdp_wrapped_module.", 1)] = (
                value if rank == 0 else value + 1
            )
    return local, metas


def write_shards(folder, source, ranks, **changes):
    trunk, heads = parts(source)
    stem = "_feature_blocks.conv1.stem.1"

    def unit_of(name):
        if name.startswith(stem):
            return stem
        return ".".join(name.split(".")[:2]) if "res" in name else ""

    local, metas = shard(trunk, unit_of, ranks, replicated=(stem,))
    head = {key.removeprefix("0."): value for key, value in heads.items()}
    local_heads, head_metas = shard(head, lambda name: "", ranks)
    names = []
    for rank in range(ranks):
        base = {
            "model": {"trunk": local[rank], "heads": [local_heads[rank]]},
            "meta": {"trunk": metas[rank], "heads": [head_metas[rank]]},
        }
        names.append(f"model_final_checkpoint_phase0_shard{rank}.torch")
        torch.save({"type": "shard", "classy_state_dict": {"base_model": base}}, folder / names[-1])
    file = folder / "model_final_checkpoint_phase0.torch"
    torch.save({"type": "shard_list", "shards": names, **changes}, file)
    return file


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_shards_are_joined(tmp_path, ranks):
    source, target = distinct(REGNETY), build(REGNETY)
    file = write_shards(tmp_path, source, ranks)
    report = load_weights(target, file)
    assert f"joined {ranks} shards of a VISSL checkpoint" in report.notes
    assert same_weights(target.state_dict(), source.state_dict())


def test_shards_that_do_not_add_up_are_refused(tmp_path):
    source, target = distinct(REGNETY), build(REGNETY)
    file = write_shards(tmp_path, source, 3)
    one = tmp_path / "model_final_checkpoint_phase0_shard1.torch"
    with pytest.raises(WeightsError, match="need the checkpoint that lists the shards"):
        load_weights(target, one)
    with pytest.raises(WeightsError, match="need the path of a VISSL checkpoint whose shards"):
        load_weights(target, torch.load(file, weights_only=True))
    two = torch.load(file, weights_only=True)
    torch.save({**two, "shards": two["shards"][:2]}, file)
    with pytest.raises(WeightsError, match=r"need \d+ values in the shards of .*, got \d+"):
        load_weights(target, file)
    one.unlink()
    with pytest.raises(WeightsError, match=r"missing .*shard1"):
        load_weights(target, write_list(file))
    torch.save({"type": "shard", "classy_state_dict": {"base_model": {"model": {}}}}, one)
    with pytest.raises(WeightsError, match="parts do not fit together"):
        load_weights(target, write_list(file))


def write_list(file):
    names = [f"{file.stem}_shard{rank}.torch" for rank in range(3)]
    torch.save({"type": "shard_list", "shards": names}, file)
    return file


@pytest.mark.parametrize("where", ["relative", "of the machine that wrote it"])
def test_slices_are_read(tmp_path, where):
    source, target = distinct(REGNETY), build(REGNETY)
    trunk, heads = parts(source)
    layers = tmp_path / "model_conso_layers"
    layers.mkdir()

    def write(name, tensor):
        file = layers / f"{hashlib.sha1(name.encode()).hexdigest()}.torch"
        torch.save({"type": "slice", "weight": tensor}, file)
        start = "" if where == "relative" else "/checkpoint/user/"
        return f"{start}model_conso_layers/{file.name}"

    sliced = checkpoint(
        {name: write(name, tensor) for name, tensor in trunk.items()},
        {name: write(name, tensor) for name, tensor in heads.items()},
    )
    file = tmp_path / "model_conso.torch"
    torch.save({"type": "slice_list", **sliced}, file)
    report = load_weights(target, file)
    assert f"read {len(trunk) + len(heads)} layers of a VISSL checkpoint" in report.notes
    assert same_weights(target.state_dict(), source.state_dict())
    next(layers.iterdir()).unlink()
    with pytest.raises(WeightsError, match=r"need the layer .* missing it"):
        load_weights(target, file)


def test_slices_outside_the_folder_are_not_read(tmp_path):
    outside = tmp_path / "secret.torch"
    torch.save({"type": "slice", "weight": torch.zeros(1)}, outside)
    inner = tmp_path / "inner"
    inner.mkdir()
    file = inner / "c.torch"
    names = {"_feature_blocks.conv1.stem.0.weight": "../secret.torch"}
    torch.save({"type": "slice_list", **checkpoint(names, {})}, file)
    with pytest.raises(WeightsError, match="missing it"):
        load_weights(build(REGNETY), file)


@pytest.mark.parametrize("tree", [{"classy_state_dict": {}}, {"type": "consolidated"}])
def test_what_has_no_base_model_is_refused(tree):
    with pytest.raises(WeightsError, match=r"classy_state_dict\.base_model\.model"):
        load_weights(build(REGNETY), tree)
