"""The design functions for whoever has a name, a spec.json or a spec."""

from pathlib import Path

from eyespot.design import complexity as counting
from eyespot.design import zoo
from eyespot.design.budget import Budget, fit_budget
from eyespot.design.complexity import Complexity
from eyespot.design.quantities import parse_count
from eyespot.design.scaling import scale as scale_by
from eyespot.design.spec_files import read_spec
from eyespot.design.specs import Spec

Model = str | Path | Spec
"""A name as `list_models` prints it or in lower case, the path of a spec.json or of weights that
name their network (.safetensors), or a spec."""


def to_spec(model: Model) -> Spec:
    """Return the spec of a name or of a spec.json, or the spec itself.

    Raises:
        ValueError: If the name is unknown or the file is no spec.
        OSError: If the file cannot be read.
    """
    if isinstance(model, Path) or (
        isinstance(model, str) and model.endswith((".json", ".safetensors"))
    ):
        return read_spec(Path(model))
    return zoo.spec(model) if isinstance(model, str) else model


def complexity(model: Model, image_size: int | None = None) -> Complexity:
    """Count params, flops (multiply-adds) and activations of one image, building nothing.

    Args:
        model: A name, the path of a spec.json, or a spec.
        image_size: Side of the image, px; the network's own training size when not given.

    Raises:
        ValueError: If the name is unknown, or the size is none of the network's.
    """
    return counting.complexity(to_spec(model), image_size)


def count_budgets(**limits: str | float | None) -> list[Budget]:
    """Return budgets of params, flops or acts: numbers or text such as "4G"; None for none."""

    def budget(name: str, limit: str | float) -> Budget:
        return Budget(
            name, parse_count(limit, name), lambda s: getattr(counting.complexity(s), name)
        )

    return [budget(name, limit) for name, limit in limits.items() if limit is not None]


def scale(
    model: Model,
    strategy: str = "dWr",
    *,
    factor: float | None = None,
    flops: str | float | None = None,
    params: str | float | None = None,
    acts: str | float | None = None,
) -> Spec:
    """Scale a network by a factor of its flops, or to the largest one within budgets.

    Paper: Fast and Accurate Model Scaling (arXiv 2103.06877), section 4.

    Args:
        model: A name, the path of a spec.json, or a spec.
        strategy: As `scaling.strategy_weights` reads it: "dWr", "dwr", "d1_w8_g8_r1", "alpha=0.5".
        factor: Grow flops by this factor.
        flops: At most so many multiply-adds, a number or text such as "4G".
        params: At most so many parameters, likewise.
        acts: At most so many activations, likewise.

    Raises:
        ValueError: If there is neither a factor nor a budget, or both, or nothing fits.
    """
    spec = to_spec(model)
    budgets = count_budgets(params=params, flops=flops, acts=acts)
    if (factor is None) == (not budgets):
        raise ValueError("need a factor, or one or more budgets (flops, ...), and not both")
    if factor is None:
        return fit_budget(spec, strategy, budgets).spec
    return scale_by(spec, strategy, factor)
