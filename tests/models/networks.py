"""One small network a family, for the tests of this folder."""

import torch

from eyespot.design.specs import AnyNetSpec, EffNetSpec, ViTSpec, ViTStem
from eyespot.models.build import build

STAGES = ((1, 2, 1, 1), (16, 24, 32, 48), (2,) * 4)
FAMILIES = {
    "regnetx": AnyNetSpec(*STAGES, (1.0,) * 4, (8,) * 4, stem_width=8, num_classes=5),
    "regnety": AnyNetSpec(
        *STAGES, (1.0,) * 4, (8,) * 4, stem_width=8, se_ratio=0.25, num_classes=5
    ),
    "regnetz": AnyNetSpec(
        *STAGES, (4.0,) * 4, (8,) * 4, stem_width=8, se_ratio=0.25, activation="silu",
        block="res_bottleneck_linear_block", head_width=40, num_classes=5,
    ),
    "resnet": AnyNetSpec(
        (1, 2, 1, 1), (16, 24, 32, 48), (1, 2, 2, 2), (0.5,) * 4, (4,) * 4, stem="res_stem_in",
        stem_width=8, num_classes=5,
    ),
    "resnet_stride_1x1": AnyNetSpec(
        (1, 2, 1, 1), (16, 24, 32, 48), (1, 2, 2, 2), (0.5,) * 4, (8, 12, 16, 24),
        stem="res_stem_in", stem_width=8, stride_1x1=True, num_classes=5,
    ),
    "cifar_resnet": AnyNetSpec(
        (1, 2, 1), (8, 16, 24), (1, 2, 2), (1.0,) * 3, (1,) * 3, block="res_basic_block",
        stem="res_stem_cifar", stem_width=8, num_classes=5, image_size=32,
    ),
    "cifar_vanilla": AnyNetSpec(
        (1, 2, 1), (8, 16, 24), (1, 2, 2), (1.0,) * 3, (1,) * 3, block="vanilla_block",
        stem="res_stem_cifar", stem_width=8, activation="gelu", num_classes=5, image_size=32,
    ),
    "effnet": EffNetSpec(
        (1, 2, 1), (8, 16, 24), (1, 2, 2), (1.0, 6.0, 6.0), (3, 3, 5), stem_width=8,
        head_width=32, drop_connect=0.2, dropout=0.2, num_classes=5,
    ),
    "vit_p": ViTSpec(
        32, 64, 2, 3, stem=ViTStem(proj_kernel=8, proj_stride=8), num_classes=5, image_size=32
    ),
    "vit_c": ViTSpec(
        32, 64, 2, 2, stem=ViTStem((8, 16, 32), (3,) * 3, (2,) * 3, 1, 1), num_classes=5,
        image_size=32,
    ),
    "vit_c_pooled": ViTSpec(
        32, 64, 2, 2, stem=ViTStem((8, 16), (3, 2), (2, 2), 1, 1, norm="layer"), pooling="mean",
        num_classes=5, image_size=32,
    ),
    "vit_p_norm_after": ViTSpec(
        32, 64, 2, 2, stem=ViTStem(proj_kernel=8, proj_stride=8, norm_after=True), num_classes=5,
        image_size=32,
    ),
}  # fmt: skip
CONVNETS = {name: spec for name, spec in FAMILIES.items() if not name.startswith("vit")}
VITS = {name: spec for name, spec in FAMILIES.items() if name.startswith("vit")}


def random_network(spec, seed=0):
    """Build a network with weights and running statistics at which every layer tells."""
    model = build(spec)
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
                tensor.copy_(0.1 * noise + float(name.endswith("weight")))
    return model


def images(spec, batch=2, size=None, seed=1):
    """Return noise of the spec's size."""
    size = size or min(spec.image_size, 64)
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, spec.in_chans, size, size, generator=generator)
