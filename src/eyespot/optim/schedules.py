"""Learning rates and averaging rates as pure functions of how far a run has come.

Decay shapes (`cosine`, `restarts`, `linear`, `exponential`, `steps`) and `warmup` are factors of a
base rate, to be multiplied. Their time is the caller's: a step for rates that change every step, an
epoch for rates that stay the same within one (pycls). `swav_rate` and `vissl_rate` are rates, in
the two forms in which SwAV's own code and VISSL's warm up and decay; both change every step.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

SWITCH_MARGIN = 1e-6
"""How much VISSL adds to its progress before asking whether warmup is over."""


def cosine(time: int, total: int, *, final: float = 0.0) -> float:
    """Return half a cosine wave from 1 at time 0 down to `final` at time `total`.

    Paper: SGDR (arXiv 1608.03983), eq. 5, without restarts.

    Args:
        time: Steps or epochs done, from 0.
        total: All there are, in the same unit.
        final: Factor at the end.

    Raises:
        ValueError: If time lies outside 0 to total.
    """
    return (1 - final) * (1 + math.cos(math.pi * _progress(time, total))) / 2 + final


def restarts(
    time: int,
    total: int,
    *,
    share: float,
    wave: Literal["half", "full"],
    peaks: float | None,
    final: float = 0.0,
) -> float:
    """Return cosine waves of equal length, one after another.

    Paper: SGDR (arXiv 1608.03983), section 3, in the forms of SEER's code (VISSL). The last wave
    ends where the run does, whole or not.

    Args:
        time: Steps or epochs done, from 0.
        total: All there are, in the same unit.
        share: Of the run that a wave lasts, above 0 to 1.
        wave: "half" runs from the peak down to `final` and jumps to the next peak, "full" runs
            down and up again.
        peaks: What each peak is multiplied by to get the next one; None for the factor that one
            cosine over the whole run has where the wave begins.
        final: Lowest factor.

    Raises:
        ValueError: If time lies outside 0 to total, or the share outside 0 to 1.
    """
    if not 0 < share <= 1:
        raise ValueError(f"need waves of a share above 0 to 1 of the run, got {share:g}")
    waves = _progress(time, total) / share
    number = math.floor(waves + SWITCH_MARGIN)
    if number and time == total and abs(waves - number) < SWITCH_MARGIN:
        number -= 1  # the end of the last wave, no new one
    phase = max(0.0, waves - number) * (math.pi if wave == "half" else 2 * math.pi)
    if peaks is None:
        peak = final + (1 - final) * (1 + math.cos(math.pi * number * share)) / 2
    else:
        peak = peaks**number
    return final + (peak - final) * (1 + math.cos(phase)) / 2


def linear(time: int, total: int, *, final: float = 0.0) -> float:
    """Return a straight line from 1 at time 0 to `final` at time `total`; else as `cosine`."""
    return (1 - final) * (1 - _progress(time, total)) + final


def exponential(time: int, total: int, *, final: float) -> float:
    """Return final^(time / total), with `final` above 0; else as `cosine`.

    Paper: Fast and Accurate Model Scaling (arXiv 2103.06877) trains with rate 2 and final 0.02.

    Raises:
        ValueError: If `final` is not positive, or time lies outside 0 to total.
    """
    if not final > 0:
        raise ValueError(f"need a final factor above 0 for an exponential, got {final}")
    return float(final ** _progress(time, total))


def steps(time: int, milestones: Sequence[int], *, factor: float) -> float:
    """Return factor^n once n milestones are reached: at a milestone itself the rate has dropped.

    Args:
        time: Steps or epochs done, from 0.
        milestones: Times of the drops, in the same unit, rising.
        factor: Of each drop (usually 0.1).

    Raises:
        ValueError: If the milestones do not rise.
    """
    if any(a >= b for a, b in pairwise(milestones)):
        raise ValueError(f"need milestones that rise, got {list(milestones)}")
    return float(factor ** sum(time >= milestone for milestone in milestones))


def warmup(time: int, length: int, *, start: float = 0.1) -> float:
    """Return a straight line from `start` at time 0 to 1 at time `length`, and 1 from then on.

    Args:
        time: Steps or epochs done, from 0.
        length: Of the warmup, in the same unit; 0 for none.
        start: First factor (pycls: 0.1).
    """
    if time >= length:
        return 1.0
    return start * (1 - time / length) + time / length


def swav_rate(
    step: int, total_steps: int, *, warmup_steps: int, start: float, peak: float, final: float
) -> float:
    """Return SwAV's rate: up from `start` to `peak`, both included, then a cosine of its own.

    Paper: SwAV (arXiv 2006.09882), appendix A. The cosine is counted from the end of the warmup
    and begins at the peak, so the peak is used twice.

    Args:
        step: Steps done, from 0.
        total_steps: All there are.
        warmup_steps: How many of them warm up; 0 for none.
        start: Rate of the first step (batch of 4096: 0.3).
        peak: Highest rate (batch of 4096: 4.8).
        final: Where the cosine would arrive at total_steps (batch of 4096: 0.0048).

    Raises:
        ValueError: If step lies outside 0 to total_steps, or warmup is longer than that.
    """
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(f"need a warmup of 0 to {total_steps} steps, got {warmup_steps}")
    _progress(step, total_steps)
    if step < warmup_steps:
        return start + (peak - start) * step / max(warmup_steps - 1, 1)
    if step == warmup_steps:
        return peak
    wave = cosine(step - warmup_steps, total_steps - warmup_steps)
    return final + (peak - final) * wave


def vissl_rate(
    step: int, total_steps: int, *, warmup: float, start: float, peak: float, final: float
) -> float:
    """Return VISSL's rate: a line towards `peak`, then the part of one cosine over the whole run.

    Paper: SEER (arXiv 2103.01988), section 3. The cosine counts from step 0, so the rate after
    warmup lies a little below the peak.

    Args:
        step: Steps done, from 0.
        total_steps: All there are.
        warmup: Share of the run that warms up, in 0 to 1.
        start: Rate of the first step (SEER: 0.15).
        peak: Rate that the line would reach and the cosine would start from (SEER: 9.6).
        final: Where the cosine would arrive at total_steps (SEER: 0.0096).

    Raises:
        ValueError: If step lies outside 0 to total_steps, or warmup outside 0 to 1.
    """
    if not 0 <= warmup <= 1:
        raise ValueError(f"need a warmup of 0 to 1 of the run, got {warmup}")
    progress = _progress(step, total_steps)
    if progress + SWITCH_MARGIN <= warmup:
        share = progress / warmup
        return start * (1 - share) + peak * share
    return final + (peak - final) * cosine(step, total_steps)


def byol_momentum(step: int, total_steps: int, *, base: float = 0.996) -> float:
    """Return the share that BYOL's averaged network keeps of itself: from `base` up to 1.

    Paper: BYOL (arXiv 2006.07733), section 3.3.

    Args:
        step: Steps done, from 0.
        total_steps: All there are.
        base: Share at step 0.

    Raises:
        ValueError: If step lies outside 0 to total_steps.
    """
    return 1 - (1 - base) * cosine(step, total_steps)


def _progress(time: int, total: int) -> float:
    if not 0 <= time <= total or total < 1:
        raise ValueError(f"need a time from 0 to the total of 1 or more, got {time} of {total}")
    return time / total
