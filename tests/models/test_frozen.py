"""Frozen norms and TensorFlow's padding, by hand and against torch."""

import hypothesis.strategies as st
import torch
import torch.nn.functional as F
from hypothesis import given
from torch import nn
from torch.testing import assert_close

from eyespot.models.frozen import FrozenBatchNorm2d, SameConv2d, freeze_norms_, pad_as_tensorflow_


def norm(dtype=torch.float64):
    torch.manual_seed(0)
    made = nn.BatchNorm2d(3, eps=1e-3).to(dtype)
    with torch.no_grad():
        for value in (made.weight, made.bias, made.running_mean):
            value.normal_()
        made.running_var.uniform_(0.5, 2)
    return made


def test_frozen_norm_equals_batch_norm_at_eps_1e_5_in_training_too():
    plain = norm()
    frozen = FrozenBatchNorm2d(plain).train()
    x = torch.randn(2, 3, 4, 5, dtype=torch.float64)
    expected = F.batch_norm(
        x, plain.running_mean, plain.running_var, plain.weight, plain.bias, eps=1e-5
    )
    assert_close(frozen(x), expected)
    assert set(frozen.state_dict()) == {"weight", "bias", "running_mean", "running_var"}
    assert not list(frozen.parameters())


def test_all_norms_of_a_network_are_frozen():
    model = nn.Sequential(nn.Conv2d(3, 3, 1), norm(), nn.Sequential(norm(), nn.ReLU()))
    freeze_norms_(model)
    kinds = [type(m) for m in model.modules()]
    assert kinds.count(FrozenBatchNorm2d) == 2
    assert nn.BatchNorm2d not in kinds
    assert nn.ReLU in kinds  # activations stay


def tensorflow_padding(size, kernel, stride):
    """TensorFlow's documentation, "SAME" padding."""
    total = max(kernel - stride, 0) if size % stride == 0 else max(kernel - size % stride, 0)
    return total // 2, total - total // 2


@given(
    height=st.integers(1, 12), width=st.integers(1, 12),
    kernel=st.sampled_from([1, 3, 5]), stride=st.sampled_from([1, 2, 3]),
)  # fmt: skip
def test_padding_is_tensorflows(height, width, kernel, stride):
    torch.manual_seed(0)
    conv = SameConv2d(2, 3, kernel, stride=stride).double()
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    rows = tensorflow_padding(height, kernel, stride)
    columns = tensorflow_padding(width, kernel, stride)
    padded = F.pad(x, (*columns, *rows))
    expected = F.conv2d(padded, conv.weight, conv.bias, stride)
    found = conv(x)
    assert found.shape[-2:] == (-(-height // stride), -(-width // stride))
    assert_close(found, expected)


def test_only_strided_convolutions_change_and_keep_their_weights():
    model = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 4, 3, 2, 1, groups=2))
    weight = model[1].weight
    pad_as_tensorflow_(model)
    assert type(model[0]) is nn.Conv2d
    assert type(model[1]) is SameConv2d
    assert model[1].weight is weight
    assert model[1].groups == 2
