"""How a table of published rows becomes recipes: their functions, docstrings and smoke siblings."""

import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from eyespot.design.by_name import to_spec
from eyespot.design.zoo import own_name
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.pictures import Pictures

SMOKE_DATA = "scenes:size=32,count=64,val_count=32"
"""What a smoke recipe trains on, in seconds."""

# The smallest network of each kind, by how names begin.
_SMALLEST = {
    "RegNetX": "RegNetX-200MF",
    "RegNetY": "RegNetY-200MF",
    "RegNetZ": "RegNetZ-500MF",
    "ResNet-": "ResNet-50",
    "ResNeXt-": "ResNeXt-50",
    "EfficientNet-": "EfficientNet-B0",
    "ViT-P": "ViT-P-1.0GF",
    "ViT-C": "ViT-C-1.0GF",
}


@dataclass(frozen=True, slots=True)
class Published:
    """A published training run.

    Attributes:
        name: The network as its source prints it; in our spelling it names the recipe.
        about: The first line of the recipe's docstring.
        recipe: All its numbers.
        expect: The published error, and how far it was reproduced.
        cost: The published cost.
        options: Of the command line, beside --data and --out.
        notes: What is unsure, and what was chosen.
    """

    name: str
    about: str
    recipe: ClassifyRecipe
    expect: str
    cost: str
    options: str = ""
    notes: str = ""


def published_pictures(model: str, *, policy: str = "") -> Pictures:
    """Return ImageNet's augmentation at the sizes that a network was published with."""
    spec = to_spec(model)
    return Pictures(spec.image_size, spec.test_size, policy=policy)


def recipes_of(family: str, runs: Iterable[Published]) -> dict[str, Callable[[], ClassifyRecipe]]:
    """Return the functions of a family by name: every run's, and its smoke sibling's."""
    found = {}
    for run in runs:
        name = own_name(run.name)
        found[name] = _function(name, run.recipe, _text(f"{family}/{name}", run))
        found[f"{name}_smoke"] = smoke_sibling(family, name, run.recipe)
    return found


def smoke_sibling(family: str, name: str, recipe: ClassifyRecipe) -> Callable[[], ClassifyRecipe]:
    """Return the function NAME_smoke of a recipe."""
    return _function(f"{name}_smoke", smoke_of(recipe), _smoke_text(family, name))


def smoke_of(recipe: ClassifyRecipe) -> ClassifyRecipe:
    """Return the recipe for a few CPU steps at 32 px, with the smallest network of its kind.

    Optimizer, schedule, augmentation, mixing and average stay what they are.
    """
    kind = recipe.model.removeprefix("scaled:")
    model = next((small for start, small in _SMALLEST.items() if kind.startswith(start)), kind)
    return replace(
        recipe,
        model=model,
        epochs=2,
        batch_size=16,
        schedule=replace(recipe.schedule, warmup_epochs=min(1, recipe.schedule.warmup_epochs)),
        pictures=replace(recipe.pictures, size_px=32, test_resize_px=32),
        precise_bn=min(32, recipe.precise_bn),
        evaluate_every=1,
        eval_batch_size=16,
        start_from="",
    )


def _function(name: str, recipe: ClassifyRecipe, text: str) -> Callable[[], ClassifyRecipe]:
    def make() -> ClassifyRecipe:
        return recipe

    make.__name__ = make.__qualname__ = name
    make.__doc__ = text
    return make


def _text(full_name: str, run: Published) -> str:
    options = f" {run.options}" if run.options else ""
    header = [
        f"Run:     eyespot train {full_name} --data DIR --out DIR{options}",
        f"Expect:  {run.expect}",
        f"Cost:    {run.cost}",
    ]
    return "\n".join(
        [run.about, "", *header, *(["", textwrap.fill(run.notes, 96)] if run.notes else [])]
    )


def _smoke_text(family: str, name: str) -> str:
    return "\n".join(
        [
            f"A few CPU steps of {family}/{name} at 32 px: checks the wiring, not the accuracy.",
            "",
            f"Run:     eyespot train {family}/{name}_smoke --data {SMOKE_DATA} --out DIR",
            "Expect:  a finite loss",
            "Cost:    seconds on one CPU core",
        ]
    )


def per_cent(errors: Mapping[int, float]) -> str:
    """Return errors by epochs as a sentence's part."""
    listed = ", ".join(f"{error:.1f}" for error in errors.values())
    return f"top-1 error {listed} % after {', '.join(map(str, errors))} epochs"
