"""Numbers of recipes and runs that are out of their range, refused before anything is written."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eyespot.errors import RecipeError
from eyespot.tasks.optimization import OptimizerSettings, Schedule, rate_factor
from eyespot.tasks.pictures import Pictures

_FINE = 1 << 20  # steps an epoch, so that parts of epochs differ


class Within(NamedTuple):
    """A number and its range.

    Attributes:
        value: What a recipe says; NaN is in no range.
        low: Least.
        high: Greatest.
        below: What it must be less than; infinity is in no range.
    """

    value: float
    low: float
    high: float = math.inf
    below: float = math.inf


def check_ranges(numbers: Mapping[str, Within]) -> None:
    """Raise RecipeError for the first number that is out of its range, by its name."""
    for name, (value, low, high, below) in numbers.items():
        if not (low <= value <= high and value < below):
            most = f" to {high:g}" if high < math.inf else " or more"
            less = f", below {below:g}" if below < math.inf else ""
            raise RecipeError(f"need {name} of {low:g}{most}{less}, got {value:g}")


def check_widths(hidden_dims: Sequence[int], out_dim: int) -> None:
    """Raise RecipeError if a layer of a projector has no width."""
    check_ranges(
        {
            "method.hidden_dims": Within(min(hidden_dims, default=1), 1),
            "method.out_dim": Within(out_dim, 2),
        }
    )


def check_optimizer(settings: OptimizerSettings) -> None:
    """Raise RecipeError if a number of an optimizer is out of its range."""
    check_ranges(
        {
            "optimizer.lr": Within(settings.lr, 0),
            "optimizer.lr_batch": Within(settings.lr_batch, 0),
            "optimizer.weight_decay": Within(settings.weight_decay, 0),
            "optimizer.norm_decay": Within(settings.norm_decay, 0),
            "optimizer.layer_norm_decay": Within(settings.layer_norm_decay or 0, 0),
            "optimizer.bias_decay": Within(settings.bias_decay, 0),
            "optimizer.momentum": Within(settings.momentum, 0, below=1),
            "optimizer.clip": Within(settings.clip, 0),
            **{
                f"optimizer.betas[{i}]": Within(b, 0, below=1) for i, b in enumerate(settings.betas)
            },
        }
    )


def check_schedule(schedule: Schedule, epochs: int, *, watches_loss: bool = False) -> None:
    """Raise RecipeError if a schedule cannot be followed for so many epochs.

    Args:
        schedule: Of a recipe.
        epochs: Of the run.
        watches_loss: Whether the task looks at its losses, as "plateau" asks.
    """
    if schedule.shape == "plateau" and not (watches_loss and schedule.per == "step"):
        raise RecipeError(
            'need a pretraining, and per "step", for the schedule "plateau", got '
            + (f'per "{schedule.per}"' if watches_loss else "another task")
        )
    check_ranges(
        {
            "schedule.warmup_epochs": Within(schedule.warmup_epochs, 0),
            "schedule.warmup_start": Within(schedule.warmup_start, 0),
            "schedule.final": Within(schedule.final, 0),
            "schedule.drop": Within(schedule.drop, 0),
            "schedule.plateau_steps": Within(schedule.plateau_steps, 1),
            "schedule.wave_share": Within(schedule.wave_share, 1e-6, 1),
            "schedule.wave_peaks": Within(schedule.wave_peaks, 0),
        }
    )
    if schedule.shape == "plateau":
        check_ranges({"schedule.drop": Within(schedule.drop, 1e-6, below=1)})
    rate_factor(schedule, 0, steps_per_epoch=_FINE, epochs=epochs)


def check_pictures(pictures: Pictures) -> None:
    """Raise RecipeError if a number of the pictures is out of its range."""
    if len(pictures.mean) != 3 or len(pictures.std) != 3 or min(pictures.std) <= 0:
        raise RecipeError(
            "need three numbers for pictures.mean and three above 0 for pictures.std, got "
            f"{pictures.mean} and {pictures.std}"
        )
    check_ranges(
        {
            "pictures.size_px": Within(pictures.size_px, 1),
            "pictures.test_resize_px": Within(pictures.test_resize_px, 0),
            "pictures.pad_px": Within(pictures.pad_px, 0),
            "pictures.colours": Within(pictures.colours, 0, 2.5),
            "pictures.blur": Within(pictures.blur, 0, 1),
            "pictures.pca_std": Within(pictures.pca_std, 0),
        }
    )
