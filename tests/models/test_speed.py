from dataclasses import replace
from typing import get_args

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from eyespot import create_model
from eyespot.design import zoo
from eyespot.models import speed
from eyespot.models.speed import (
    SpeedSettings,
    Use,
    autocast,
    prepare_inference,
    prepare_training,
    speed_defaults,
    to_layout,
)
from tests.models.networks import FAMILIES, images, random_network

LOSSLESS = SpeedSettings(channels_last=True, fold_norms=True, onednn_linear=True)
HALF = replace(LOSSLESS, dtype=torch.bfloat16)


def error(got, wanted):
    return ((got.double() - wanted.double()).norm() / wanted.double().norm()).item()


@pytest.mark.parametrize("settings", [LOSSLESS, HALF], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_prepared_networks_answer_as_the_plain_ones(spec, settings):
    model = random_network(spec)
    x = images(spec, batch=16)
    prepared = prepare_inference(model, settings)
    with torch.no_grad():
        wanted = model.eval()(x)
    got = prepared(x)
    assert got.dtype == torch.float32
    assert not got.requires_grad
    assert not torch.equal(got, torch.zeros_like(got))
    assert error(got, wanted) < (3e-2 if settings.dtype == torch.bfloat16 else 3e-6)


@pytest.mark.parametrize("name", ["RegNetY-400MF", "EfficientNet-B0", "ViT-C-1GF"])
def test_named_networks_keep_their_numbers(name):
    torch.manual_seed(0)
    model = create_model(name)
    model.reset_classifier(0)
    x = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        wanted = model.eval()(x)
    assert error(prepare_inference(model, LOSSLESS)(x), wanted) < 1e-5
    assert error(prepare_inference(model, HALF)(x), wanted) < 3e-2


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_norms_fold_away_and_the_network_itself_stays(spec):
    model = random_network(spec).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    prepared = prepare_inference(model, HALF)
    left = [m for m in prepared.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(left) == (spec.family == "vit" and spec.stem.norm_after)
    assert not prepared.model.training
    assert model.training
    assert all(parameter.requires_grad for parameter in model.parameters())
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_extractors_return_float32_maps():
    spec = FAMILIES["regnety"]
    torch.manual_seed(0)
    extractor = create_model(spec, features_only=True).eval()
    x = images(spec)
    with torch.no_grad():
        wanted = extractor(x)
    got = prepare_inference(extractor, LOSSLESS)(x)
    assert len(got) == len(wanted)
    for ours, plain in zip(got, wanted, strict=True):
        assert ours.dtype == torch.float32
        assert_close(ours, plain, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["regnety", "effnet", "vit_c"])
def test_training_step_keeps_names_formats_and_numbers(family):
    spec = FAMILIES[family]
    losses = {}
    for settings in (SpeedSettings(), SpeedSettings(dtype=torch.bfloat16, channels_last=True)):
        plain = random_network(spec)
        model = prepare_training(random_network(spec), settings).train()
        assert {k: (v.shape, v.dtype) for k, v in model.state_dict().items()} == {
            k: (v.shape, v.dtype) for k, v in plain.state_dict().items()
        }
        torch.manual_seed(3)
        with autocast("cpu", settings):
            logits = model(to_layout(images(spec, batch=8), settings))
            loss = F.cross_entropy(logits, torch.arange(8) % 5)
        loss.backward()
        assert all(p.grad.dtype == torch.float32 for p in model.parameters())
        losses[settings.dtype] = loss.item()
    assert losses[torch.bfloat16] == pytest.approx(losses[torch.float32], rel=0.02)


def test_compile_is_asked_for_once_and_keeps_the_names():
    spec = FAMILIES["vit_p"]
    model = prepare_training(random_network(spec), SpeedSettings(compile=True))
    assert model._compiled_call_impl is not None
    assert model.state_dict().keys() == random_network(spec).state_dict().keys()
    prepared = prepare_inference(random_network(spec), SpeedSettings(compile=True))
    assert prepared.model._compiled_call_impl is not None


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_every_family_has_defaults_on_every_measured_device(spec, device):
    for use in get_args(Use):
        assert speed_defaults(device, spec, use).channels_last
        exact = speed_defaults(device, spec, use, exact=True)
        assert exact.dtype == torch.float32
        assert exact == replace(speed_defaults(device, spec, use), dtype=torch.float32)


def test_defaults_follow_what_the_processor_can(monkeypatch):
    vit = FAMILIES["vit_p"]
    monkeypatch.setattr(speed, "_has_bfloat16", lambda kind: True)
    assert speed_defaults("cpu", vit, "inference").dtype == torch.bfloat16
    monkeypatch.setattr(speed, "_has_bfloat16", lambda kind: False)
    assert speed_defaults("cpu", vit, "inference").dtype == torch.float32
    assert speed_defaults("meta", vit, "training") == SpeedSettings()


@pytest.mark.parametrize("use", get_args(Use))
def test_large_cnns_run_in_bfloat16_on_cpus(use, monkeypatch):
    monkeypatch.setattr(speed, "_has_bfloat16", lambda kind: True)
    for name, dtype in {
        "RegNetY-4.0GF": torch.bfloat16,
        "RegNetY-800MF": torch.bfloat16,
        "ResNet-50": torch.bfloat16,
        "RegNetY-400MF": torch.float32,
        "EfficientNet-B4": torch.bfloat16 if use == "inference" else torch.float32,
        "EfficientNet-B0": torch.float32,
    }.items():
        assert speed_defaults("cpu", zoo.spec(name), use).dtype == dtype, name
    small_images = replace(zoo.spec("RegNetY-4.0GF"), image_size=64)
    assert speed_defaults("cpu", small_images, use).dtype == torch.float32
    monkeypatch.setattr(speed, "_has_bfloat16", lambda kind: False)
    assert speed_defaults("cpu", zoo.spec("ResNet-50"), use).dtype == torch.float32
