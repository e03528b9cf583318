"""A point of a sweep as a training run: `eyespot sweep SPACE --data DATA` runs this.

A point's parameters are a recipe's name, and fields of it: by the short names of the papers' plots
(lr, wd, epochs, batch_size, ...) or in full, as "pictures.size_px". Where `resolution` is "own", a
network is trained and tested at the sizes of its spec.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from eyespot.data.recognise import recognise
from eyespot.design.space import RegNets, Space, sample_space
from eyespot.design.space_files import point_to_dict
from eyespot.errors import RecipeError, unknown_name
from eyespot.recipes import get_recipe
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.recipe_files import recipe_from_dict, recipe_to_dict
from eyespot.tasks.run import Run, train
from eyespot.train.loop import StoppedByNonFiniteError
from eyespot.train.runs import summarize_runs

SHORT_NAMES = {
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "bn_wd": "optimizer.norm_decay",
    "ema_alpha": "average.alpha",
    "resolution": "pictures.size_px",
}
OWN_SIZES = "own"
_NOT_FIELDS = {"recipe", "data", "val", "workers", "experiment"}
_OF_NETWORKS = {"model", "scaling_strategy", "scaling_factor", *RegNets().samplers()}


def run(point: dict[str, Any]) -> dict[str, Any]:
    """Train the network of a point; go on with it if it was begun before.

    Returns:
        The errors in percent after each evaluation, `ema_error` where weights are averaged; NaN
        if the run diverged. And `evaluate_every` (epochs); `done`, the share of the steps; seconds
        an epoch, `epoch_time`, and those not spent on waiting for data, `epoch_fw_bw` (forward and
        backward pass, augmentation, optimizer); on a GPU `memory`, the most that tensors held at
        once, GB.

    Raises:
        RecipeError: If the point's parameters make no recipe, or it says no data.
    """
    parameters, out = point["parameters"], Path(point["out"])
    recipe = recipe_of(point, out)
    if not parameters.get("data"):
        raise RecipeError("need data to train on, got a point without; pass --data to the sweep")
    place = Run(
        str(parameters["data"]),
        out / "run",
        val=str(parameters.get("val", "")),
        workers=int(parameters.get("workers", 0)),
        log_every=50,
        keep_last=1,
    )
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    try:
        train(recipe, place)
    except StoppedByNonFiniteError:
        (begun,) = summarize_runs([place.out])["runs"]
        return {"error": math.nan, "done": begun["step"] / begun["steps"]}
    lines = [json.loads(line) for line in (place.out / "metrics.jsonl").open()]
    found = [line["evaluation"] for line in lines if "evaluation" in line]
    metrics: dict[str, Any] = {"error": [entry["error"] for entry in found]}
    if "average_error" in found[-1]:
        metrics["ema_error"] = [entry["average_error"] for entry in found]
    metrics |= {"evaluate_every": recipe.evaluate_every, "done": 1.0}
    metrics |= _seconds([line for line in lines if "time" in line], recipe.epochs)
    if torch.cuda.is_available():
        metrics["memory"] = torch.cuda.max_memory_allocated() / 1e9
    shutil.rmtree(place.out / "checkpoints")  # the weights stay
    return metrics


def _seconds(windows: Sequence[Mapping[str, Any]], epochs: int) -> dict[str, float]:
    """Return the mean seconds of an epoch's steps, with and without waiting for data.

    Args:
        windows: Lines of metrics.jsonl, each on the steps since the one before.
        epochs: Of the run.
    """
    steps = [0, *(window["step"] for window in windows)]
    whole, busy = 0.0, 0.0
    for first, window in zip(steps, windows, strict=False):
        seconds = (window["step"] - first) * window["time"]["seconds_per_step"]
        whole += seconds
        busy += seconds * (1 - window["time"]["data_wait"])
    return {"epoch_time": whole / epochs, "epoch_fw_bw": busy / epochs}


def check_space(space: Space, seed: int, *, data_here: bool) -> None:
    """Refuse a space whose first point cannot be trained, before anything of a sweep is written.

    Args:
        space: To be drawn from.
        seed: Of the sweep.
        data_here: Whether this machine must have the data; a cluster's head need not.

    Raises:
        RecipeError: As `recipe_of`.
        ValueError: If there is no such data.
    """
    point = point_to_dict(sample_space(space, seed, 1)[0])
    _recipe_of(point, "" if point["spec"] is None else "spec.json")
    if data_here and "data" in point["parameters"]:
        recognise(str(point["parameters"]["data"]))


def recipe_of(point: dict[str, Any], out: Path) -> ClassifyRecipe:
    """Return the recipe of a point; its network is written to `out` as a spec file.

    Norms and biases that the recipe decays as it does the weights are decayed by the point's `wd`
    as well; what it leaves undecayed stays so.

    Raises:
        RecipeError: If the point names no recipe, one of another task, or a field it has not.
    """
    if point["spec"] is None:
        return _recipe_of(point, "")
    out.mkdir(parents=True, exist_ok=True)
    path = out / "spec.json"
    path.write_text(json.dumps(point["spec"], indent=1), encoding="utf-8")
    return _recipe_of(point, str(path))


def _recipe_of(point: dict[str, Any], model: str) -> ClassifyRecipe:
    parameters = point["parameters"]
    if not parameters.get("recipe"):
        raise RecipeError(
            "need a recipe to train the points by, got a space without; pass --set recipe=NAME, "
            "such as classify/fashion_mnist"
        )
    recipe = get_recipe(parameters["recipe"])
    if not isinstance(recipe, ClassifyRecipe):
        raise RecipeError(
            "need a recipe of supervised classification to train the points by, got "
            f"{parameters['recipe']}"
        )
    plain = recipe_to_dict(recipe)
    fields = plain["recipe"]
    if model:
        fields["model"] = model
    of_network = _OF_NETWORKS | (point["spec"] or {}).keys()
    given = {
        SHORT_NAMES.get(name, name): value
        for name, value in parameters.items()
        if name not in _NOT_FIELDS and name not in of_network
    }
    for name, value in {**_with_decays(recipe, given), **_sizes(point, given)}.items():
        _set(fields, name, value)
    if "ema_alpha" in parameters:
        fields["average"]["form"] = "pycls"
    filled: ClassifyRecipe = recipe_from_dict(plain, f"point {point['index']}")
    return filled


def _with_decays(recipe: ClassifyRecipe, given: dict[str, Any]) -> dict[str, Any]:
    """Let the decays that are one number in the recipe stay one."""
    decay = recipe.optimizer.weight_decay
    if "optimizer.weight_decay" not in given or not decay:
        return given
    alike = [n for n in ("norm_decay", "bias_decay") if getattr(recipe.optimizer, n) == decay]
    return {f"optimizer.{name}": given["optimizer.weight_decay"] for name in alike} | given


def _sizes(point: dict[str, Any], given: dict[str, Any]) -> dict[str, int]:
    """Return the sizes of the network's own spec, if the point asks for them."""
    if given.get("pictures.size_px") != OWN_SIZES:
        return {}
    if point["spec"] is None:
        raise RecipeError(f"need a network for resolution: {OWN_SIZES}, got a point without")
    size, test_size = point["spec"]["image_size"], point["spec"]["test_size"]
    return {"pictures.size_px": size, "pictures.test_resize_px": test_size}


def _set(fields: dict[str, Any], name: str, value: Any) -> None:
    *folders, last = name.split(".")
    for folder in folders:
        fields = fields.get(folder, {})
    if last not in fields:
        raise RecipeError(unknown_name("field of the recipe", name, fields))
    fields[last] = value
