import pytest
import torch
from torch.testing import assert_close

from eyespot import create_model
from tests.models.networks import CONVNETS, FAMILIES, VITS, images, random_network


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_maps_have_the_channels_and_reductions_they_claim(spec):
    model = create_model(spec, features_only=True)
    x = images(spec, size=64)
    maps = model.eval()(x)
    info = model.feature_info
    assert len(maps) == len(info.channels()) == len(info.reduction())
    for each, channels, reduction in zip(maps, info.channels(), info.reduction(), strict=True):
        assert each.shape == (2, channels, 64 // reduction, 64 // reduction)


def test_reductions_by_hand():
    def reductions(name, **options):
        with torch.device("meta"):
            model = create_model(name, features_only=True, **options)
        return model.feature_info.reduction(), model.feature_info.channels()

    assert reductions("regnety_400mf") == ([2, 4, 8, 16, 32], [32, 48, 104, 208, 440])
    assert reductions("resnet-50") == ([2, 4, 8, 16, 32], [64, 256, 512, 1024, 2048])
    assert reductions("efficientnet_b0") == ([2, 4, 8, 16, 32], [16, 24, 40, 112, 320])
    assert reductions("cifar-resnet-20") == ([1, 2, 4], [16, 32, 64])
    assert reductions("regnety_400mf", out_indices=(-1, 1)) == ([32, 4], [440, 48])
    assert reductions("vit_c_1gf") == ([16], [192])
    assert reductions("vit_p_1gf", out_indices=(2, 5)) == ([16, 16], [192, 192])


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_intermediates_equal_what_hooks_see(spec):
    model = random_network(spec).eval()
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(
            lambda _, __, out, name=name: seen.__setitem__(name, out.clone())
        )
    x = images(spec, size=64)
    model.forward_features(x)
    hooked = [seen[name] for name in model.feature_info.module_name()]
    if spec.family == "vit":
        side = 64 // spec.stem.patch_size
        prefix = model.num_prefix_tokens
        hooked = [
            tokens[:, prefix:].reshape(2, side, side, -1).permute(0, 3, 1, 2) for tokens in hooked
        ]
    got = model.forward_intermediates(x)
    assert len(got) == len(hooked)
    for ours, theirs in zip(got, hooked, strict=True):
        assert_close(ours, theirs, rtol=0, atol=0)
    chosen = model.forward_intermediates(x, [-1, 0])
    assert_close(chosen[0], hooked[-1], rtol=0, atol=0)
    assert_close(chosen[1], hooked[0], rtol=0, atol=0)


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("last", [0, 1, -1])
def test_every_parameter_of_an_extractor_has_a_gradient(spec, last):
    model = create_model(spec, features_only=True, out_indices=(last,)).train()
    model(images(spec, size=64))[0].square().sum().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None]
    assert without == []


@pytest.mark.parametrize("spec", CONVNETS.values(), ids=CONVNETS)
def test_the_last_map_is_what_the_head_pools(spec):
    model = random_network(spec).eval()
    x = images(spec)
    assert_close(model.forward_intermediates(x)[-1], model.forward_features(x), rtol=0, atol=0)
    assert model.num_features == model.forward_features(x).shape[1]


@pytest.mark.parametrize("spec", VITS.values(), ids=VITS)
def test_wrong_indices_are_refused_with_the_range(spec):
    depth = spec.depth
    with pytest.raises(ValueError, match=rf"-{depth}..{depth - 1}, got \[{depth}\]"):
        create_model(spec, features_only=True, out_indices=(depth,))
