import json
from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from eyespot.design.by_name import to_spec
from eyespot.design.spec_files import spec_to_dict
from eyespot.design.specs import AnyNetSpec, ViTSpec
from eyespot.errors import WeightsError
from eyespot.models.build import build
from eyespot.train.checkpoint import CheckpointFolder
from eyespot.weights.export import export_weights
from eyespot.weights.files import save_weights
from eyespot.weights.trunk import load_trunk

SMALL = AnyNetSpec((1, 1), (8, 16), (2, 2), (1.0, 1.0), (8, 8), num_classes=5, image_size=40)


def about(spec=SMALL, **more):
    return {"format": "eyespot", "spec": json.dumps(spec_to_dict(spec)), **more}


def network(seed=0, spec=SMALL):
    torch.manual_seed(seed)
    return build(spec).eval()


def images(size=40):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(9))


def check_same(trunk, wanted):
    with torch.no_grad():
        features = wanted.forward_head(wanted.forward_features(images()), pre_logits=True)
        assert_close(trunk.network(images()), features)
    assert not trunk.network.training
    assert trunk.network.num_classes == 0


def test_a_file_says_what_it_is(tmp_path):
    wanted = network()
    own = {"size_px": 32, "mean": [0.5, 0.5, 0.5]}
    pictures = json.dumps(own)
    save_weights(wanted.state_dict(), tmp_path / "w.safetensors", about(pictures=pictures))
    trunk = load_trunk(tmp_path / "w.safetensors")
    check_same(trunk, wanted)
    assert trunk.pictures == own | {"test_resize_px": 256}
    assert trunk.view().filter == "bilinear"
    pictures = json.dumps(own | {"filter": "bicubic"})
    save_weights(wanted.state_dict(), tmp_path / "b.safetensors", about(pictures=pictures))
    assert load_trunk(tmp_path / "b.safetensors").view().filter == "bicubic"


def test_a_part_of_a_larger_network_is_found(tmp_path):
    wanted = network()
    whole = {f"trunk.{name}": tensor for name, tensor in wanted.state_dict().items()}
    whole["head.projector.0.weight"] = torch.zeros(3, 16)
    save_weights(whole, tmp_path / "w.safetensors", about())
    check_same(load_trunk(tmp_path / "w.safetensors"), wanted)
    whole |= {f"teacher.{name}": tensor for name, tensor in wanted.state_dict().items()}
    save_weights(whole, tmp_path / "w.safetensors", about())
    with pytest.raises(WeightsError, match=r"those of 2 in .*: teacher., trunk."):
        load_trunk(tmp_path / "w.safetensors")


def test_a_run_gives_its_result_or_its_newest_whole_checkpoint(tmp_path):
    folder = CheckpointFolder(tmp_path / "checkpoints", background=False)
    for step in (1, 2, 3):
        weights = network(step).state_dict()
        folder.save(step, weights, {"best": 0.0}, weights=weights, about=about())
    check_same(load_trunk(tmp_path), network(3))
    check_same(load_trunk(folder.paths()[0]), network(1))
    (folder.paths()[2] / "weights.safetensors").write_bytes(b"cut")
    check_same(load_trunk(tmp_path), network(2))
    save_weights(network(7).state_dict(), tmp_path / "weights.safetensors", about())
    check_same(load_trunk(tmp_path), network(7))


def test_random_weights_are_those_of_the_seed_and_disturb_no_one():
    torch.manual_seed(0)
    wanted = torch.rand(1)
    torch.manual_seed(0)
    one, again, other = (load_trunk("random", model=SMALL, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.rand(1), wanted)
    assert_close(one.network.state_dict(), again.network.state_dict())
    assert not torch.equal(one.network.stem.conv.weight, other.network.stem.conv.weight)


def test_a_published_name_is_taken_from_the_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    spec = to_spec("RegNetX-200MF")
    torch.manual_seed(0)
    wanted = build(spec)
    folder = tmp_path / "eyespot" / "weights" / "pycls--RegNetX-200MF"
    path = folder / "RegNetX-200MF_dds_8gpu.pyth"
    path.parent.mkdir(parents=True)
    torch.save({"model_state": wanted.state_dict(), "cfg": "none"}, path)
    trunk = load_trunk("pycls/regnetx-200mf")
    assert torch.equal(trunk.network.s1.b1.f.a.weight, wanted.s1.b1.f.a.weight)
    assert torch.equal(trunk.network.stem.conv.weight, wanted.stem.conv.weight.flip(1))
    assert "MIT" in trunk.notes[0]


def test_swavs_files_have_their_own_spread_of_red(tmp_path):
    plain = build(replace(to_spec("ResNet-50"), num_classes=0)).state_dict()
    weights = {f"module.{k}": v for k, v in export_weights(plain, "torchvision").items()}
    torch.save(weights, tmp_path / "swav_800ep_pretrain.pth.tar")
    torch.save(weights, tmp_path / "mine.pth.tar")
    stds = [load_trunk(tmp_path / f"{name}.pth.tar", model="ResNet-50").colours()[1]
            for name in ("swav_800ep_pretrain", "mine")]  # fmt: skip
    assert stds == [(0.228, 0.224, 0.225), (0.229, 0.224, 0.225)]


def test_the_licence_of_a_converted_file_is_said(tmp_path):
    save_weights(network().state_dict(), tmp_path / "w.safetensors", about(licence="SEER"))
    assert "non-commercial research" in load_trunk(tmp_path / "w.safetensors").notes[0]


def test_a_vit_takes_images_of_another_size(tmp_path):
    spec = ViTSpec(16, 32, 2, 2, image_size=32, num_classes=3)
    save_weights(build(spec).state_dict(), tmp_path / "w.safetensors", about(spec))
    trunk = load_trunk(tmp_path / "w.safetensors", image_size=64)
    assert trunk.network.pos_embed.shape[1] == 17
    assert any("resampled" in note for note in trunk.notes)


def test_what_is_missing_is_said(tmp_path):
    with pytest.raises(WeightsError, match="got 'nowhere', which is none of these"):
        load_trunk("nowhere")
    with pytest.raises(WeightsError, match="or --model with a name"):
        load_trunk("random")
    with pytest.raises(WeightsError, match="no complete checkpoint"):
        load_trunk(tmp_path)
    plain = tmp_path / "plain.safetensors"
    save_weights(network().state_dict(), plain, {})
    with pytest.raises(WeightsError, match="need the network that the weights .*plain"):
        load_trunk(plain)
    check_same(load_trunk(plain, model=SMALL), network())
    with pytest.raises(WeightsError, match="stage widths 8,16"):
        load_trunk(plain, model="RegNetY-200MF")
    probe = tmp_path / "probe.safetensors"
    save_weights({"heads.0.weight": torch.zeros(2, 2)}, probe, about())
    with pytest.raises(WeightsError, match="is it a probe's or a head's file"):
        load_trunk(probe)


def test_a_trunk_of_the_package_has_a_name():
    trunk = load_trunk("scenes-trunk")
    assert trunk.spec.widths == (16, 32, 80, 184)
    assert sum(value.numel() for value in trunk.network.state_dict().values()) > 600_000
