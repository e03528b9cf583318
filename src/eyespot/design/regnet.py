"""RegNet's rule: four numbers become the widths, depths and groups of every stage.

Paper: Designing Network Design Spaces (arXiv 2003.13678), section 3.3; rounding as in pycls.
"""

import math
from collections.abc import Sequence

from eyespot.design.specs import Activation, AnyNetBlock, AnyNetSpec, AnyNetStem

QUANTUM = 8
"""Every RegNet width is a multiple of this many channels."""


def regnet_widths(w_0: int, w_a: float, w_m: float, depth: int) -> tuple[list[int], list[int], int]:
    """Return the stage widths, the stage depths, and how many stages the parameters span.

    u_j = w_0 + w_a j is snapped to w_0 w_m^k and rounded to a multiple of 8; blocks of one width
    are one stage. The last number counts the k in use (max k + 1); it exceeds the number of stages
    when some k is skipped, and samplers reject such a network.

    Args:
        w_0: Width of the first block before rounding, a multiple of 8.
        w_a: Slope of the widths, channels a block.
        w_m: Ratio of one stage's width to the one before.
        depth: Blocks in all.

    Raises:
        ValueError: If a parameter is outside its range.
    """
    _need_parameters(w_0, w_a, w_m, depth)
    powers = [_power(w_0, w_a, w_m, j) for j in range(depth)]
    widths = [QUANTUM * round(w_0 * w_m**k / QUANTUM) for k in powers]
    stage_widths = sorted(set(widths))
    return stage_widths, [widths.count(width) for width in stage_widths], max(powers) + 1


def num_powers(w_0: int, w_a: float, w_m: float, depth: int) -> int:
    """Return how many stages the parameters span, max k + 1, as `regnet_widths` but in no time."""
    _need_parameters(w_0, w_a, w_m, depth)
    return _power(w_0, w_a, w_m, depth - 1) + 1


def _need_parameters(w_0: int, w_a: float, w_m: float, depth: int) -> None:
    if w_a < 0 or w_0 <= 0 or w_m <= 1 or depth < 1 or w_0 % QUANTUM:
        raise ValueError(
            "need w_a >= 0, w_m > 1, depth >= 1 and a positive w_0 divisible by 8, got "
            f"w_0={w_0}, w_a={w_a}, w_m={w_m}, depth={depth}"
        )


def _power(w_0: int, w_a: float, w_m: float, block: int) -> int:
    return round(math.log((w_0 + w_a * block) / w_0) / math.log(w_m))


def compatible_widths(
    widths: Sequence[int], bot_muls: Sequence[float], group_widths: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Return widths and group widths changed as little as needed for the groups to divide.

    Raises:
        ValueError: If a bottleneck multiplier is neither below 1 nor a whole number.
    """
    new_widths, new_groups = [], []
    for width, mul, group in zip(widths, bot_muls, group_widths, strict=True):
        if mul > 1 and mul != int(mul):
            raise ValueError(f"need a bottleneck multiplier below 1 or a whole number, got {mul}")
        inner = int(max(1, width * mul))
        fitted = int(min(group, inner))
        step = math.lcm(fitted, int(mul)) if mul > 1 else fitted
        inner = max(step, int(round(inner / step) * step))
        new_widths.append(int(inner / mul))
        new_groups.append(fitted)
    return new_widths, new_groups


def regnet(
    w_0: int,
    w_a: float,
    w_m: float,
    depth: int,
    group_width: int,
    *,
    bot_mul: float = 1.0,
    stride: int = 2,
    se_ratio: float = 0.0,
    block: AnyNetBlock = "res_bottleneck_block",
    stem: AnyNetStem = "simple_stem_in",
    stem_width: int = 32,
    activation: Activation = "relu",
    head_width: int = 0,
    num_classes: int = 1000,
    image_size: int = 224,
    test_size: int = 256,
) -> AnyNetSpec:
    """Return the network of RegNet parameters, as stages.

    Args:
        w_0: As in `regnet_widths`.
        w_a: As in `regnet_widths`.
        w_m: As in `regnet_widths`.
        depth: As in `regnet_widths`.
        group_width: Channels a group, in every stage that is wide enough.
        bot_mul: Bottleneck width over block width (1 in X and Y, 4 in Z).
        stride: Of every stage.
        se_ratio: As in `AnyNetSpec`, like all arguments that follow.
        block: Block type.
        stem: Stem type.
        stem_width: Stem width.
        activation: Non-linearity.
        head_width: Head width.
        num_classes: Classes.
        image_size: Training size, px.
        test_size: Test size, px.
    """
    widths, depths, _ = regnet_widths(w_0, w_a, w_m, depth)
    stages = len(widths)
    widths, groups = compatible_widths(widths, [bot_mul] * stages, [group_width] * stages)
    return AnyNetSpec(
        depths=tuple(depths),
        widths=tuple(widths),
        strides=(stride,) * stages,
        bot_muls=(bot_mul,) * stages,
        group_widths=tuple(groups),
        block=block,
        stem=stem,
        stem_width=stem_width,
        se_ratio=se_ratio,
        activation=activation,
        head_width=head_width,
        num_classes=num_classes,
        image_size=image_size,
        test_size=test_size,
    )
