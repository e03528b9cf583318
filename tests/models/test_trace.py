"""An independent count: what operators say themselves, from the shapes they see on meta tensors.

The conventions are those of the papers' reference code: a flop is a multiply-add, a bias adds one
an output element; activations are the outputs of convolutions, linear layers, attention's two
products and max pools.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.models.build import build
from tests.models.networks import FAMILIES

NAMED = [
    "RegNetX-400MF", "RegNetY-400MF", "RegNetY-dWr-1.0GF", "RegNetZ-500MF", "RegNetZ-500MF-nohead",
    "ResNet-50", "ResNeXt-50", "ResNet-50-MSRA-stride1x1", "EfficientNet-B1", "CIFAR-ResNet-20",
    "CIFAR-Vanilla-20", "CIFAR-RegNetY-125MF", "ViT-P-1GF", "ViT-C-1GF", "ViT-P-1GF-pooled",
    "ViT-C-18GF", "ViT-P-1GF-384px", "scaled:EfficientNet-B0:dwr:2x",
]  # fmt: skip


class Counter(TorchDispatchMode):
    """Adds up multiply-adds and activations of every operator that runs."""

    def __init__(self):
        super().__init__()
        self.flops = self.acts = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        if name == "convolution":
            weight, bias = args[1], args[2]
            self.add(out, weight[0].numel(), bias is not None)
        elif name == "addmm":
            self.add(out, args[1].shape[1], True)
        elif name in ("mm", "bmm"):
            self.add(out, args[0].shape[-1], False)
        elif name.startswith("_scaled_dot_product") and "attention" in name:
            q, k = args[:2]
            scores = q.shape[0] * q.shape[1] * q.shape[2] * k.shape[2]
            self.flops += 2 * scores * q.shape[3]
            self.acts += scores + q.numel()
        elif name == "max_pool2d_with_indices":
            self.acts += out[0].numel()
        else:
            assert not any(part in name for part in ("conv", "mm", "matmul", "linear", "dot")), name
        return out

    def add(self, out, products, bias):
        self.flops += out.numel() * (products + bias)
        self.acts += out.numel()


def traced(spec, size):
    with torch.device("meta"):
        model = build(spec).eval()
        x = torch.empty(1, spec.in_chans, size, size)
    with torch.no_grad(), Counter() as counter:
        model(x)
    return sum(p.numel() for p in model.parameters()), counter.flops, counter.acts


@pytest.mark.parametrize("name", NAMED)
def test_named_networks_cost_what_the_closed_form_says(name):
    spec = zoo.spec(name)
    assert traced(spec, spec.image_size) == tuple(complexity(spec))


@pytest.mark.parametrize("spec", FAMILIES.values(), ids=FAMILIES)
def test_every_family_costs_what_the_closed_form_says(spec):
    assert traced(spec, spec.image_size) == tuple(complexity(spec))


@pytest.mark.parametrize("size", [33, 65, 97, 225])
@pytest.mark.parametrize("family", ["regnety", "regnetz", "resnet", "effnet", "cifar_resnet"])
def test_odd_sizes_cost_what_the_closed_form_says(family, size):
    spec = FAMILIES[family]
    assert traced(spec, size) == tuple(complexity(spec, size))
