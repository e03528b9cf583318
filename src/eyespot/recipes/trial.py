"""A point of a sweep as a training run: `eyespot sweep SPACE --data DATA` runs this.

A point's parameters are a recipe's name, and fields of it: by the short names of the papers' plots
(lr, wd, epochs, batch_size, ...) or in full, as "pictures.size_px".
"""

import json
import math
import shutil
from pathlib import Path
from typing import Any

from eyespot.design.space import RegNets
from eyespot.errors import RecipeError, unknown_name
from eyespot.recipes import get_recipe
from eyespot.tasks.recipe_files import recipe_from_dict, recipe_to_dict
from eyespot.tasks.run import Run, train
from eyespot.train.loop import StoppedByNonFiniteError

SHORT_NAMES = {
    "optimizer": "optimizer.name",
    "lr": "optimizer.lr",
    "wd": "optimizer.weight_decay",
    "bn_wd": "optimizer.norm_decay",
    "ema_alpha": "average.alpha",
    "resolution": "pictures.size_px",
}
_NOT_FIELDS = {"recipe", "data", "val", "workers", "experiment"}
_OF_NETWORKS = {"model", "scaling_strategy", "scaling_factor", *RegNets().samplers()}


def run(point: dict[str, Any]) -> dict[str, Any]:
    """Train the network of a point; go on with it if it was begun before.

    Returns:
        The errors in percent after each evaluation, `ema_error` where weights are averaged; NaN
        if the run diverged.

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
    try:
        train(recipe, place)
    except StoppedByNonFiniteError:
        return {"error": math.nan}
    lines = [json.loads(line) for line in (out / "run" / "metrics.jsonl").open()]
    found = [line["evaluation"] for line in lines if "evaluation" in line]
    metrics = {"error": [entry["error"] for entry in found]}
    if "average_error" in found[-1]:
        metrics["ema_error"] = [entry["average_error"] for entry in found]
    shutil.rmtree(out / "run" / "checkpoints")  # the weights stay
    return metrics


def recipe_of(point: dict[str, Any], out: Path) -> Any:
    """Return the recipe of a point; its network is written to `out` as a spec file."""
    parameters = point["parameters"]
    plain = recipe_to_dict(get_recipe(parameters.get("recipe", "classify/fashion_mnist")))
    fields = plain["recipe"]
    if point["spec"] is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "spec.json").write_text(json.dumps(point["spec"], indent=1), encoding="utf-8")
        fields["model"] = str(out / "spec.json")
    of_network = _OF_NETWORKS | (point["spec"] or {}).keys()
    for name, value in parameters.items():
        if name not in _NOT_FIELDS and name not in of_network:
            _set(fields, SHORT_NAMES.get(name, name), value)
    if "ema_alpha" in parameters:
        fields["average"]["form"] = "pycls"
    return recipe_from_dict(plain, f"point {point['index']}")


def _set(fields: dict[str, Any], name: str, value: Any) -> None:
    *folders, last = name.split(".")
    for folder in folders:
        fields = fields.get(folder, {})
    if last not in fields:
        raise RecipeError(unknown_name("field of the recipe", name, fields))
    fields[last] = value
