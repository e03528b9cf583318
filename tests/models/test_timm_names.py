"""Our networks by timm's `create_model`; runs where timm is installed."""

import importlib
import sys

import pytest
import torch
from torch.testing import assert_close

import eyespot
from eyespot.models.timm_names import register_with_timm


@pytest.fixture
def timm():
    try:
        found = importlib.import_module("timm")
    except (ImportError, RuntimeError) as error:
        pytest.skip(f"timm cannot be imported here: {error}")
    register_with_timm()
    return found


def test_timm_makes_the_same_network(timm):
    torch.manual_seed(0)
    theirs = timm.create_model("eyespot_regnety_200mf", num_classes=7).eval()
    torch.manual_seed(0)
    ours = eyespot.create_model("RegNetY-200MF", num_classes=7).eval()
    images = torch.randn(1, 3, 64, 64)
    assert_close(theirs(images), ours(images), rtol=0, atol=0)
    settings = timm.data.resolve_model_data_config(theirs)
    assert settings["input_size"] == (3, 224, 224)
    assert settings["mean"] == (0.485, 0.456, 0.406)


def test_timm_makes_maps_and_lists_names(timm):
    model = timm.create_model("eyespot_resnet_34", features_only=True, out_indices=(1, 4))
    assert model.feature_info.channels() == [64, 512]
    assert [x.shape[1] for x in model(torch.randn(1, 3, 64, 64))] == [64, 512]
    assert "eyespot_vit_c_4_0gf" in timm.list_models("eyespot_*")
    assert len(timm.list_models("eyespot_*")) == len(register_with_timm())  # once, not twice


def test_what_is_not_ours_is_refused_by_name(timm):
    with pytest.raises(ValueError, match="got drop_path_rate"):
        timm.create_model("eyespot_resnet_34", drop_path_rate=0.1)
    with pytest.raises(ValueError, match="pretrained=False for eyespot_resnet_34"):
        timm.create_model("eyespot_resnet_34", pretrained=True)


def test_without_timm_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    monkeypatch.setitem(sys.modules, "timm.models", None)
    with pytest.raises(ValueError, match=r"pip install 'eyespot\[interop\]'"):
        register_with_timm()
