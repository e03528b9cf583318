"""Small networks with weights at which every tensor tells, for the tests of this folder."""

import torch

from eyespot.design.specs import AnyNetSpec, EffNetSpec, ViTSpec, ViTStem
from eyespot.models.build import build

REGNETY = AnyNetSpec(
    (1, 2, 1, 1), (16, 24, 32, 48), (2,) * 4, (1.0,) * 4, (8,) * 4, stem_width=8, se_ratio=0.25,
    num_classes=5,
)  # fmt: skip
REGNETX = AnyNetSpec(
    (1, 2, 1, 1), (16, 24, 32, 48), (2,) * 4, (1.0,) * 4, (8,) * 4, stem_width=8, num_classes=5
)
RESNET = AnyNetSpec(
    (1, 2, 1, 1), (16, 24, 32, 48), (1, 2, 2, 2), (0.5,) * 4, (4,) * 4, stem="res_stem_in",
    stem_width=8, num_classes=5,
)  # fmt: skip
EFFNET = EffNetSpec(
    (1, 2, 1), (8, 16, 24), (1, 2, 2), (1.0, 6.0, 6.0), (3, 3, 5), stem_width=8, head_width=32,
    num_classes=5,
)  # fmt: skip
VIT = ViTSpec(
    32, 64, 2, 2, stem=ViTStem(proj_kernel=8, proj_stride=8), num_classes=5, image_size=32
)
VIT_C = ViTSpec(
    32, 64, 2, 2, stem=ViTStem((8, 16, 32), (3,) * 3, (2,) * 3, 1, 1), num_classes=5, image_size=32
)


def distinct(spec, seed=0):
    """Build a network whose tensors all differ from each other and from a fresh one's."""
    model = build(spec)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in model.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    return model


def randomise_(model, seed=0):
    """Draw weights and running statistics at which every layer matters and nothing blows up."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if not tensor.is_floating_point():
                continue
            noise = torch.randn(tensor.shape, generator=generator)
            if name.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.5)
            elif name.endswith("running_mean"):
                tensor.copy_(0.1 * noise)
            elif tensor.dim() > 1:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            else:
                tensor.copy_(0.1 * noise + name.endswith("weight"))
    return model.eval()


def same_weights(a, b):
    """Say whether two state dicts hold the same numbers under the same names."""
    return a.keys() == b.keys() and all(
        torch.equal(a[k], b[k]) for k in a if not k.endswith("num_batches_tracked")
    )
