"""The learning rates of MDETR's runs, as factors of each group's base rate.

Paper: MDETR (arXiv 2104.12763), appendix, and its published code. Checked against its numbers.
"""

from typing import Literal, NamedTuple

from eyespot.optim.schedules import warmup

Shape = Literal[
    "step", "multistep", "linear_with_warmup", "all_linear_with_warmup", "flat_then_linear"
]


class Factors(NamedTuple):
    """Factors of the base rates.

    Attributes:
        main: Of the transformer, the heads and the backbone.
        text: Of the text encoder.
    """

    main: float
    text: float


def grounding_factors(
    step: int,
    *,
    shape: Shape,
    steps_per_epoch: int,
    total_steps: int,
    drop_epoch: int = 35,
    warmup_share: float = 0.01,
) -> Factors:
    """Return the factors of a step.

    Shapes: "step" drops tenfold every `drop_epoch` epochs. "multistep" halves at `drop_epoch` and
    every 50 epochs after it. "linear_with_warmup", the published default, is "step" but for the
    text encoder, which rises linearly from 0 over the warmup and falls linearly to 0 at the end.
    "all_linear_with_warmup" moves everything so. "flat_then_linear", of our own small recipes,
    rises over the warmup, stays, and falls linearly over the last quarter.

    The published code sets rates after each step, so that its step s + 1 has the rates of s here,
    and its very first step the base rates, without warmup.

    Args:
        step: Counted from 0.
        shape: Of the schedule.
        steps_per_epoch: Steps of one pass over the data.
        total_steps: Of the whole run.
        drop_epoch: See above.
        warmup_share: Share of the run that the warmup takes.

    Raises:
        ValueError: If a number is out of range.
    """
    if min(steps_per_epoch, total_steps, drop_epoch) < 1 or not 0 <= warmup_share < 1:
        raise ValueError(
            "need steps and drop_epoch of 1 or more and a warmup_share in [0, 1), got "
            f"{steps_per_epoch}, {total_steps}, {drop_epoch} and {warmup_share}"
        )
    epoch = step // steps_per_epoch
    length = round(warmup_share * total_steps)
    dropped = 0.1 ** (epoch // drop_epoch)
    match shape:
        case "step":
            return Factors(dropped, dropped)
        case "multistep":
            halvings = 0 if epoch < drop_epoch else 1 + (epoch - drop_epoch) // 50
            return Factors(0.5**halvings, 0.5**halvings)
        case "linear_with_warmup":
            return Factors(dropped, _rise_and_fall(step, length, length, total_steps))
        case "all_linear_with_warmup":
            factor = _rise_and_fall(step, length, length, total_steps)
            return Factors(factor, factor)
        case "flat_then_linear":
            factor = _rise_and_fall(step, length, total_steps * 3 // 4, total_steps)
            return Factors(factor, factor)


def _rise_and_fall(step: int, rise: int, fall: int, total: int) -> float:
    """A line from 0 to 1 over `rise` steps, and one from 1 at step `fall` to 0 at the end."""
    if step < fall:
        return warmup(step, rise, start=0.0)
    return max(0.0, (total - step) / max(1, total - fall))
