"""Published self-supervised recipes against the tables of their papers; smoke recipes run."""

import json

import pytest
import torch

from eyespot.design.by_name import complexity
from eyespot.recipes import byol, deepcluster, get_recipe, moco, seer, simclr, swav
from eyespot.tasks import run as running
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.optimization import rate_factor
from eyespot.tasks.recipe_files import recipe_from_dict, recipe_to_dict
from eyespot.tasks.run import Run
from eyespot.tasks.selfsup import sizes_of

IMAGENET = 1_281_167
FAMILIES = {"swav": swav, "seer": seer, "simclr": simclr, "moco": moco, "byol": byol,
            "deepcluster": deepcluster}  # fmt: skip
ALL = [f"{family}/{name}" for family, module in FAMILIES.items() for name in module.RECIPES]
CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ALL)
def test_every_recipe_can_be_run_saved_and_explained(name):
    recipe = get_recipe(name)
    images = seer.NUM_IMAGES if name.startswith("seer/rg") else IMAGENET
    sizes = sizes_of(recipe, 60_000 if "fashion" in name else images, CPU)
    assert sizes.total_steps == (recipe.steps or recipe.epochs * sizes.steps_per_epoch)
    saved = json.loads(json.dumps(recipe_to_dict(recipe, name)))
    assert recipe_from_dict(saved, "a file") == recipe
    family, _, short = name.partition("/")
    words = FAMILIES[family].RECIPES[short].__doc__
    assert all(word in words for word in ("Run: ", "Expect: ", "Cost: "))
    assert f"{family}/{short}" in words


# epochs, batch, views, rates (peak, first, last), warmup epochs, frozen steps, queue, its start
SWAV = {
    "resnet50_100ep": (100, 4096, 8, 4.8, 0.3, 0.0048, 10, 313, 0, 0),
    "resnet50_200ep": (200, 4096, 8, 4.8, 0.3, 0.0048, 10, 313, 0, 0),
    "resnet50_400ep": (400, 4096, 8, 4.8, 0.3, 0.0048, 10, 313, 0, 0),
    "resnet50_800ep": (800, 4096, 8, 4.8, 0.3, 0.0048, 10, 313, 0, 0),
    "resnet50_2x224_400ep": (400, 4096, 2, 4.8, 0.3, 0.0048, 10, 313, 0, 0),
    "resnet50_bs256_200ep": (200, 256, 8, 0.6, 0.6, 0.0006, 0, 5005, 3840, 15),
    "resnet50_bs256_400ep": (400, 256, 8, 0.6, 0.6, 0.0006, 0, 5005, 3840, 15),
    "resnet50w2_400ep": (400, 4096, 6, 4.8, 0.3, 0.0048, 10, 313, 0, 0),
    "resnet50w4_400ep": (400, 2560, 6, 4.8, 0.3, 0.0048, 10, 313, 2560, 0),
    "resnet50w5_400ep": (400, 1536, 6, 4.8, 0.3, 0.0048, 10, 313, 1536, 0),
}


@pytest.mark.parametrize("name", SWAV)
def test_swavs_runs_have_the_papers_numbers(name):
    epochs, batch, views, peak, first, last, warmup, frozen, queue, start = SWAV[name]
    recipe = get_recipe(f"swav/{name}")
    sizes = sizes_of(recipe, IMAGENET, CPU)
    method = recipe.method
    assert (recipe.epochs, recipe.batch_size, sizes.num_views) == (epochs, batch, views)
    assert (method.freeze_steps, method.queue, method.queue_epoch) == (frozen, queue, start)
    assert (method.temperature, method.epsilon, method.iters, method.prototypes) == (
        0.1, 0.05, 3, (3000,),
    )  # fmt: skip
    decays = {recipe.optimizer.weight_decay, recipe.optimizer.norm_decay}
    assert decays | {recipe.optimizer.bias_decay} == {1e-6}
    rates = [
        recipe.optimizer.lr
        * rate_factor(recipe.schedule, step, steps_per_epoch=sizes.steps_per_epoch, epochs=epochs)
        for step in (0, warmup * sizes.steps_per_epoch, sizes.total_steps)
    ]
    assert rates == pytest.approx([first, peak, last])


# batch, hidden width of the head, its norm, epsilon, first and peak rate, warmup steps, of a node
SEER = {
    "rg_256gf": (8192, 8192, False, 0.05, 0.15, 9.6, 8000, 64),
    "rg_10b": (7936, 8192, False, 0.03, 0.15, 9.3, 5500, 8),
    "rg_16gf": (4096, 4096, True, 0.05, 0.15, 4.8, 16000, 32),
}


@pytest.mark.parametrize("name", SEER)
def test_seers_runs_have_the_papers_numbers(name):
    batch, hidden, norm, epsilon, first, peak, warmup, group = SEER[name]
    recipe = get_recipe(f"seer/{name}")
    method = recipe.method
    assert isinstance(method, SwAV)
    assert (recipe.batch_size, recipe.sync_bn_ranks, recipe.epochs) == (batch, group, 1)
    assert (method.hidden_dims, method.head_norm, method.out_dim) == ((hidden, hidden), norm, 256)
    assert (method.epsilon, method.iters, method.prototypes) == (epsilon, 10, (16000,))
    assert recipe.optimizer.weight_decay == 1e-5
    steps = sizes_of(recipe, seer.NUM_IMAGES, CPU).steps_per_epoch
    assert steps == seer.NUM_IMAGES // batch

    def rate(step):
        factor = rate_factor(recipe.schedule, step, steps_per_epoch=steps, epochs=1)
        return recipe.optimizer.lr * factor

    assert [rate(0), rate(steps)] == pytest.approx([first, peak / 1000])
    assert max(range(0, 20000, 100), key=rate) == pytest.approx(warmup, rel=0.02)
    assert 0.95 * peak < rate(warmup) < peak
    assert recipe.optimizer.lr == pytest.approx(peak)


def test_the_wide_networks_have_the_published_sizes():
    for name, millions in (("resnet50w2", 94), ("resnet50w4", 375), ("resnet50w5", 586)):
        model = get_recipe(f"swav/{name}_400ep").model
        assert complexity(model).params / 1e6 - 1000 * 2048 / 1e6 * int(name[-1]) == pytest.approx(
            millions, rel=0.01
        )


SMOKE = [name for name in ALL if name.endswith("smoke")]


@pytest.mark.parametrize("name", SMOKE)
def test_smoke(name, tmp_path):
    run = Run("scenes:count=64,val_count=32,size=48", tmp_path / "run", workers=0)
    outcome = running.train(get_recipe(name), run)
    assert outcome.finished
    assert 0 <= outcome.metrics["knn_error"] <= 100
