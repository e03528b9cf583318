import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot import create_model
from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.models.build import build
from tests.models.networks import FAMILIES, images, random_network

SMALL = [
    entry.name
    for entry in zoo.entries()
    if complexity(entry.make(), entry.make().image_size).params < 100e6
]


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_forward_and_backward_are_finite_and_reach_every_parameter(spec):
    model = random_network(spec).train()
    torch.manual_seed(1)  # a draw that drops no branch for both images
    logits = model(images(spec))
    assert logits.shape == (2, 5)
    logits.square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_float64_and_float32_agree(spec):
    model = random_network(spec).eval()
    x = images(spec)
    single = model(x)
    double = model.double()(x.double())
    assert double.dtype == torch.float64
    assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_an_image_does_not_depend_on_its_batch(spec):
    model = random_network(spec).double().eval()
    x = images(spec, batch=3).double()
    assert_close(model(x)[1:2], model(x[1:2]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SMALL)
def test_built_params_equal_the_closed_form(name):
    with torch.device("meta"):
        model = create_model(name)
    built = sum(parameter.numel() for parameter in model.parameters())
    assert built == complexity(zoo.spec(name)).params


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_other_channels_change_the_first_convolution_alone(spec):
    gray = create_model(spec, in_chans=1)
    assert gray(images(spec)[:, :1]).shape == (2, 5)
    shapes = {name: tensor.shape for name, tensor in gray.state_dict().items()}
    colour = {name: tensor.shape for name, tensor in build(spec).state_dict().items()}
    differ = [name for name in shapes if shapes[name] != colour[name]]
    assert len(differ) == 1
    assert shapes[differ[0]][1] == 1
    assert colour[differ[0]][1] == 3


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_classifier_is_replaced_and_removed(spec):
    model = random_network(spec).double().eval()
    x = images(spec).double()
    features = model.forward_head(model.forward_features(x), pre_logits=True)
    model.reset_classifier(0)
    assert model.num_classes == 0
    assert isinstance(model.get_classifier(), nn.Identity)
    assert_close(model(x), features, rtol=0, atol=0)
    model.reset_classifier(7)
    head = model.get_classifier()
    assert model.num_classes == head.out_features == 7
    assert_close(model.double()(x), features @ head.weight.T + head.bias)
    assert_close(create_model(spec, num_classes=0).num_classes, 0)


def test_out_indices_without_features_only_are_refused():
    with pytest.raises(ValueError, match="features_only=True"):
        create_model("regnety_400mf", out_indices=(1,))


def test_unknown_names_are_refused_with_near_ones():
    with pytest.raises(ValueError, match="Did you mean.*RegNetY-4"):
        create_model("regnety_4.1gf")


def test_drop_connect_drops_whole_samples_and_keeps_the_mean():
    spec = FAMILIES["effnet"]
    block = random_network(spec).s2.b2.train()
    assert block.has_skip
    block.drop_connect = 0.25
    x = torch.randn(1, 16, 8, 8).expand(4000, -1, -1, -1)
    torch.manual_seed(0)
    branch = block(x) - x
    size = branch.abs().amax((1, 2, 3))
    dropped = size < 1e-6
    assert 0.22 < dropped.float().mean() < 0.28
    block.drop_connect = 0.0
    whole = block(x) - x
    assert_close(branch[~dropped], whole[~dropped] / 0.75, rtol=1e-3, atol=1e-4)
    block.drop_connect = 0.25
    assert_close(block.eval()(x[:4])[0], block(x[:4])[3])
