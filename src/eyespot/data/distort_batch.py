"""`distort` for whole batches, on whatever device they are: the same steps, in float32.

What happens to each view was drawn before, one view at a time (`multicrop.draw_colours`), so that
it does not depend on the batch. Brightness, contrast and saturation cut off to whole levels, as PIL
does; grey, blur and hue are not rounded. A step differs from `distort` by a level of 255, where
OpenCV rounds another grey by two, the hue by up to ten (OpenCV's HSV has 8 bits; here it is exact);
views differ by less than a level on average.

Shapes: N views of one size, h, w of a view.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, UInt8
from torch import Tensor

from eyespot.data.policies import Op

SLOTS = 7
"""Steps of a view at most: four of jitter in their order, grey, blur, solarize."""

_JITTER = ("brightness", "contrast", "saturation", "hue")
_LAST = ("grey", "blur", "solarize")
_CODES = {name: code for code, name in enumerate(_JITTER + _LAST, 1)}  # 0: nothing happens
_LUMA = (0.299, 0.587, 0.114)  # of R, G, B

Values = Float[Tensor, " n"]
Views = Float[Tensor, "n 3 h w"]


def encode_ops(ops: Sequence[Op]) -> Float32[np.ndarray, "7 2"]:
    """Write what `draw_distortion` drew as a code and a value for each slot."""
    table = np.zeros((SLOTS, 2), np.float32)
    jitter = [op for op in ops if op.name in _JITTER]
    for slot, (name, value) in enumerate(jitter):
        table[slot] = _CODES[name], value
    for name, value in ops[len(jitter) :]:
        table[len(_JITTER) + _LAST.index(name)] = _CODES[name], value
    return table


@torch.no_grad()
def distort_batch(
    images: UInt8[Tensor, "n 3 h w"], steps: Float32[Tensor, "n 7 2"]
) -> Float32[Tensor, "n 3 h w"]:
    """Apply to each view its own steps.

    Args:
        images: RGB.
        steps: Of each view, from `encode_ops`; on the CPU, so that no device is waited for.

    Returns:
        Values in 0..255, not all of them whole.
    """
    levels = images.to(torch.float32, memory_format=torch.contiguous_format)
    plan: list[tuple[Callable[[Tensor, Tensor], Tensor], Tensor, Tensor]] = []
    for slot in range(SLOTS):
        codes, values = steps[:, slot].unbind(1)
        for name, code in _CODES.items():
            rows = (codes == code).nonzero()[:, 0]
            if len(rows) and name == "blur":
                reach = math.ceil(3 * float(values[rows].max()))
                plan.append((partial(_blur, reach=reach), rows, values[rows]))
            elif len(rows):
                plan.append((_OPS[name], rows, values[rows]))
    if not plan:
        return levels
    counts = [len(rows) for _, rows, _ in plan]
    all_rows = torch.cat([rows for _, rows, _ in plan]).to(levels.device, non_blocking=True)
    all_values = torch.cat([values for _, _, values in plan]).to(levels.device, non_blocking=True)
    for (function, _, _), rows, values in zip(
        plan, torch.split(all_rows, counts), torch.split(all_values, counts), strict=True
    ):
        levels.index_copy_(0, rows, function(levels[rows], values))
    return levels


def _grey(levels: Views) -> Float[Tensor, "n 1 h w"]:
    red, green, blue = levels.unbind(1)
    return (_LUMA[0] * red + _LUMA[1] * green + _LUMA[2] * blue)[:, None]


def _brightness(levels: Views, factors: Values) -> Views:
    return levels.mul_(factors[:, None, None, None]).clamp_(0, 255).floor_()


def _contrast(levels: Views, factors: Values) -> Views:
    means = _grey(levels.mean((2, 3), keepdim=True)).add_(0.5).floor_()  # [N, 1, 1, 1]
    return levels.sub_(means).mul_(factors[:, None, None, None]).add_(means).clamp_(0, 255).floor_()


def _saturation(levels: Views, factors: Values) -> Views:
    grey = _grey(levels)
    return levels.sub_(grey).mul_(factors[:, None, None, None]).add_(grey).clamp_(0, 255).floor_()


def _hue(levels: Views, turns: Values) -> Views:
    """Turn by whole 256ths of the colour circle, as `adjust_hue` does."""
    greatest, least = levels.amax(1), levels.amin(1)  # [N, h, w]
    spread = greatest - least
    red, green, blue = levels.unbind(1)
    sixth = torch.where(
        greatest == red,
        green - blue,
        torch.where(greatest == green, 2 * spread + blue - red, 4 * spread + red - green),
    ).div_(spread.clamp(min=1e-6))
    sixth += ((turns * 256).round() * (6 / 256))[:, None, None]
    shown = []
    for offset in (5, 3, 1):  # how far each primary is from where it fades
        place = torch.remainder(sixth + offset, 6)
        shown.append(greatest - spread * torch.minimum(place, 4 - place).clamp_(0, 1))
    return torch.stack(shown, 1)


def _to_grey(levels: Views, _: Values) -> Views:
    return _grey(levels).expand_as(levels)


def _blur(levels: Views, sigmas: Values, reach: int) -> Views:
    """Gaussians of one length, each cut off beyond its own three standard deviations."""
    count, height, width = len(levels), *levels.shape[2:]
    steps = torch.arange(-reach, reach + 1, device=levels.device)
    taps = (-0.5 * (steps / sigmas[:, None]).square()).exp_()  # [N, taps]
    taps.masked_fill_(steps.abs() > (3 * sigmas).ceil_()[:, None], 0)
    taps = (taps / taps.sum(1, keepdim=True)).repeat_interleave(3, 0)[:, None]  # [3 N, 1, taps]
    planes = levels.reshape(1, 3 * count, height, width)
    planes = F.pad(planes, (reach, reach, reach, reach), mode="replicate")
    planes = F.conv2d(planes, taps[:, :, None], groups=3 * count)
    planes = F.conv2d(planes, taps[..., None], groups=3 * count)
    return planes.view(count, 3, height, width)


def _solarize(levels: Views, thresholds: Values) -> Views:
    return torch.where(levels < thresholds[:, None, None, None], levels, 255 - levels)


_OPS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "saturation": _saturation,
    "hue": _hue,
    "grey": _to_grey,
    "solarize": _solarize,
}
