"""Published self-supervised recipes against the tables of their papers; smoke recipes run."""

import json
import math

import pytest
import torch

from eyespot.data.distort import Distortion
from eyespot.data.multicrop import PRESETS
from eyespot.design.by_name import complexity, to_spec
from eyespot.models.taps import PUBLISHED_TAPS, Tap
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


STANDARD = ((2, 224, 0.14, 1.0), (6, 96, 0.05, 0.14))
FEW_SMALL = ((2, 224, 0.14, 1.0), (4, 96, 0.05, 0.14))
TWO = ((2, 224, 0.08, 1.0),)
SWAV_RED, IMAGENET_RED = 0.228, 0.229


def crops_of(recipe):
    return tuple((kind.count, kind.size_px, *kind.area) for kind in recipe.crops)


# crops, hidden width of the head, its norm, batch norms shared by, spread of red
SWAV_NETWORKS = {
    "resnet50_100ep": (STANDARD, 2048, True, 8, SWAV_RED),
    "resnet50_2x224_400ep": (TWO, 2048, True, 8, SWAV_RED),
    "resnet50_bs256_200ep": (STANDARD, 2048, True, 0, SWAV_RED),
    "resnet50w2_400ep": (FEW_SMALL, 8192, True, 8, SWAV_RED),
    "resnet50w4_400ep": (
        ((2, 224, 0.08, 1.0), (4, 96, 0.08, 0.14)), 8192, True, 8, SWAV_RED,
    ),
    "resnet50w5_400ep": (FEW_SMALL, 10240, False, 8, SWAV_RED),
    "rg_16gf_800ep": (STANDARD, 3024, False, 8, IMAGENET_RED),
    "rg_128gf_400ep": (STANDARD, 7392, False, 8, IMAGENET_RED),
}  # fmt: skip


@pytest.mark.parametrize("name", SWAV_NETWORKS)
def test_swavs_networks_have_the_published_heads_and_crops(name):
    crops, hidden, norm, group, red = SWAV_NETWORKS[name]
    recipe = get_recipe(f"swav/{name}")
    method = recipe.method
    assert crops_of(recipe) == crops
    assert {kind.distortion for kind in recipe.crops} == {Distortion()}  # strength 1, blur 0.5
    assert (method.hidden_dims, method.out_dim, method.head_norm) == ((hidden,), 128, norm)
    assert (recipe.sync_bn, recipe.sync_bn_ranks, recipe.std[0]) == (True, group, red)
    optimizer = recipe.optimizer
    assert (optimizer.name, optimizer.momentum, optimizer.adapt_all) == ("larc", 0.9, True)
    if name.startswith("rg_"):
        assert (method.normalize, method.prototypes, recipe.schedule.shape) == (
            "after", (3000,), "vissl",
        )  # fmt: skip
        assert recipe.epochs == int(name.split("_")[-1][:-2])
        widths = to_spec(recipe.model).widths
        assert widths[-1] == hidden
    else:
        assert (method.normalize, recipe.schedule.shape) == ("before", "swav")


# batch, hidden width of the head, its norm, epsilon, first and peak rate, last over peak, warmup
# steps, batch norms shared by, crops
SEER = {
    "rg_8gf": (4096, 4096, True, 0.05, 0.15, 4.8, 1e-3, 8000, 32, FEW_SMALL),
    "rg_16gf": (4096, 4096, True, 0.05, 0.15, 4.8, 1e-3, 16000, 32, FEW_SMALL),
    "rg_32gf": (4096, 4096, True, 0.05, 0.15, 4.8, 1e-3, 8000, 64, FEW_SMALL),
    "rg_64gf": (4096, 8192, False, 0.05, 0.15, 4.8, 1e-3, 8000, 64, FEW_SMALL),
    "rg_128gf": (4096, 8192, False, 0.05, 0.15, 4.8, 1, 8000, 64, FEW_SMALL),
    "rg_128gf_stream": (4096, 8192, False, 0.05, 0.15, 4.8, 1, 8000, 64, FEW_SMALL),
    "rg_256gf": (8192, 8192, False, 0.05, 0.15, 9.6, 1e-3, 8000, 64, FEW_SMALL),
    "rg_10b": (
        7936, 8192, False, 0.03, 0.15, 9.3, 1e-3, 5500, 8,
        ((2, 160, 0.14, 1.0), (4, 96, 0.05, 0.14)),
    ),
}  # fmt: skip
# Of the design table: widths and depths.
TRUNKS = {
    "rg_8gf": ((168, 448, 896, 2016), (2, 4, 10, 1)),
    "rg_16gf": ((224, 448, 1232, 3024), (2, 4, 11, 1)),
    "rg_32gf": ((232, 696, 1392, 3712), (2, 5, 12, 1)),
    "rg_64gf": ((328, 984, 1968, 4920), (2, 5, 12, 1)),
    "rg_128gf": ((528, 1056, 2904, 7392), (2, 7, 17, 1)),
    "rg_128gf_stream": ((528, 1056, 2904, 7392), (2, 7, 17, 1)),
    "rg_256gf": ((746, 1492, 4103, 10444), (2, 7, 17, 1)),
    "rg_10b": ((2020, 4040, 11110, 28280), (2, 7, 17, 1)),
}


@pytest.mark.parametrize("name", SEER)
def test_seers_runs_have_the_papers_numbers(name):
    batch, hidden, norm, epsilon, first, peak, last, warmup, group, crops = SEER[name]
    recipe = get_recipe(f"seer/{name}")
    method = recipe.method
    assert isinstance(method, SwAV)
    spec = to_spec(recipe.model)
    assert (spec.widths, spec.depths) == TRUNKS[name]
    assert crops_of(recipe) == crops
    assert recipe.std == (IMAGENET_RED, 0.224, 0.225)
    assert recipe.passes == ("padded" if name == "rg_10b" else "sizes")
    assert (recipe.batch_size, recipe.sync_bn_ranks, recipe.epochs) == (batch, group, 1)
    assert (method.hidden_dims, method.head_norm, method.out_dim) == ((hidden, hidden), norm, 256)
    assert (method.epsilon, method.iters, method.prototypes) == (epsilon, 10, (16000,))
    assert (method.temperature, method.freeze_steps, method.normalize) == (0.1, 313, "after")
    optimizer = recipe.optimizer
    assert {optimizer.weight_decay, optimizer.norm_decay, optimizer.bias_decay} == {1e-5}
    assert (optimizer.name, optimizer.momentum, optimizer.adapt_all) == ("larc", 0.9, True)
    steps = sizes_of(recipe, seer.NUM_IMAGES, CPU).steps_per_epoch
    assert steps == seer.NUM_IMAGES // batch

    def rate(step):
        factor = rate_factor(recipe.schedule, step, steps_per_epoch=steps, epochs=1)
        return recipe.optimizer.lr * factor

    assert [rate(0), rate(steps)] == pytest.approx([first, peak * last])
    assert max(range(0, 20000, 100), key=rate) == pytest.approx(warmup, rel=0.02)
    assert 0.95 * peak < rate(warmup) <= peak
    assert recipe.optimizer.lr == pytest.approx(peak)
    if name.endswith("stream"):
        assert (recipe.schedule.shape, recipe.schedule.drop) == ("plateau", 0.5)


def rates_of(recipe, epochs):
    """The rates at the start of these epochs of ImageNet."""
    steps = sizes_of(recipe, IMAGENET, CPU).steps_per_epoch
    scale = recipe.batch_size / recipe.optimizer.lr_batch if recipe.optimizer.lr_batch else 1
    return [
        recipe.optimizer.lr * scale
        * rate_factor(recipe.schedule, epoch * steps, steps_per_epoch=steps, epochs=recipe.epochs)
        for epoch in epochs
    ]  # fmt: skip


@pytest.mark.parametrize("epochs", [100, 200, 400, 800, 1000])
def test_simclrs_runs_have_vissls_numbers(epochs):
    recipe = get_recipe(f"simclr/resnet50_{epochs}ep")
    assert (recipe.epochs, recipe.batch_size, recipe.sync_bn_ranks) == (epochs, 4096, 8)
    assert crops_of(recipe) == TWO
    assert recipe.crops[0].distortion == Distortion()
    method = recipe.method
    assert (method.hidden_dims, method.out_dim, method.head_norm) == ((2048,), 128, False)
    assert (method.temperature, recipe.precision) == (0.1, "float32")
    first, after, last = rates_of(recipe, (0, 10, epochs))
    whole = 4.8 * (1 + math.cos(math.pi * 10 / epochs)) / 2  # the cosine counts from step 0
    assert (first, after, last) == pytest.approx((0.6, whole, 0.0), abs=1e-9)
    optimizer = recipe.optimizer
    assert {optimizer.weight_decay, optimizer.norm_decay, optimizer.bias_decay} == {1e-6}
    assert (optimizer.name, optimizer.momentum, optimizer.adapt_all) == ("larc", 0.9, True)


def test_mocos_run_has_vissls_numbers():
    recipe = get_recipe("moco/resnet50_200ep")
    assert (recipe.epochs, recipe.batch_size, recipe.sync_bn, recipe.zero_init) == (
        200, 256, False, True,
    )  # fmt: skip
    assert crops_of(recipe) == TWO
    assert recipe.crops[0].distortion == Distortion(0.4, 0.4, 0.4, 0.1)
    method = recipe.method
    assert (method.hidden_dims, method.out_dim, method.temperature) == ((2048,), 128, 0.2)
    assert (method.queue, method.momentum, method.shuffle) == (65536, 0.999, True)
    assert rates_of(recipe, (0, 119, 120, 160, 199)) == pytest.approx(
        [0.03, 0.03, 0.003, 0.0003, 0.0003]
    )
    optimizer = recipe.optimizer
    assert {optimizer.weight_decay, optimizer.norm_decay, optimizer.bias_decay} == {1e-4}
    assert (optimizer.name, optimizer.momentum, optimizer.nesterov) == ("sgd", 0.9, True)
    assert PRESETS["moco_v2"][0].area == (0.2, 1.0)  # its authors'


def test_byols_run_has_the_papers_numbers():
    recipe = get_recipe("byol/resnet50_1000ep")
    assert (recipe.epochs, recipe.batch_size, recipe.sync_bn, recipe.sync_bn_ranks) == (
        1000, 4096, True, 0,
    )  # fmt: skip
    assert crops_of(recipe) == ((1, 224, 0.08, 1.0), (1, 224, 0.08, 1.0))
    first, second = (kind.distortion for kind in recipe.crops)
    assert first == Distortion(0.4, 0.4, 0.2, 0.1, blur_probability=1.0)
    assert second == Distortion(0.4, 0.4, 0.2, 0.1, blur_probability=0.1, solarize_probability=0.2)
    method = recipe.method
    assert (method.hidden_dim, method.out_dim, method.momentum) == (4096, 256, 0.996)
    assert rates_of(recipe, (0, 10, 1000)) == pytest.approx([0.0, 3.2, 0.0], abs=1e-9)
    optimizer = recipe.optimizer
    assert (optimizer.weight_decay, optimizer.norm_decay, optimizer.bias_decay) == (1.5e-6, 0, 0)
    assert not optimizer.adapt_all


# epochs, crops
DEEPCLUSTER = {
    "resnet50_800ep": (800, STANDARD),
    "resnet50_400ep": (400, ((2, 160, 0.08, 1.0), (4, 96, 0.05, 0.14))),
    "resnet50_2x224_400ep": (400, TWO),
}


@pytest.mark.parametrize("name", DEEPCLUSTER)
def test_deepclusters_runs_have_the_papers_numbers(name):
    epochs, crops = DEEPCLUSTER[name]
    recipe = get_recipe(f"deepcluster/{name}")
    assert (recipe.epochs, recipe.batch_size, crops_of(recipe)) == (epochs, 4096, crops)
    method = recipe.method
    assert (method.prototypes, method.iters, method.temperature) == ((3000, 3000, 3000), 10, 0.1)
    assert (method.hidden_dims, method.out_dim) == ((2048,), 128)
    assert recipe.optimizer == get_recipe("swav/resnet50_800ep").optimizer
    assert rates_of(recipe, (0, 10, epochs)) == pytest.approx([0.3, 4.8, 0.0048])


def test_linear_evaluations_have_the_published_numbers():
    vissl, swav_s = get_recipe("linear/vissl"), get_recipe("linear/swav")
    assert (vissl.epochs, vissl.batch_size, vissl.rates, vissl.weight_decay) == (
        28, 256, (0.01,), 5e-4,
    )  # fmt: skip
    assert (vissl.schedule.milestones, vissl.schedule.drop) == ((8, 16, 24), 0.1)
    assert (vissl.nesterov, vissl.momentum, vissl.norm, vissl.taps) == (
        True, 0.9, "published", ("published",),
    )  # fmt: skip
    assert (swav_s.epochs, swav_s.batch_size, swav_s.rates, swav_s.weight_decay) == (
        100, 256, (0.3,), 1e-6,
    )  # fmt: skip
    assert (swav_s.nesterov, swav_s.momentum, swav_s.norm, swav_s.taps) == (
        False, 0.9, "no", ("pool",),
    )  # fmt: skip
    assert (swav_s.schedule.shape, swav_s.schedule.per, swav_s.schedule.final) == (
        "cosine", "epoch", 0.0,
    )  # fmt: skip
    assert vissl.area == swav_s.area == (0.08, 1.0)
    # VISSL's taps of res4, res5; the average of res5 comes with both.
    grids = {
        "RegNetY-8.0GF": ((3, 3), (6, 1)), "RegNetY-16GF": ((3, 3), (4, 1)),
        "RegNetY-32GF": ((7, 1), (3, 1)), "RegNetY-64GF-seer": ((5, 1), (2, 1)),
        "RegNetY-128GF-seer": ((3, 1), (2, 1)), "RegNetY-256GF-seer-vissl": ((2, 1), (1, 2)),
    }  # fmt: skip
    for name, (third, fourth) in grids.items():
        assert PUBLISHED_TAPS[name] == (Tap("s3", third), Tap("s4", fourth), Tap("pool"))
    assert [str(tap) for tap in PUBLISHED_TAPS["ResNet-50"]] == [
        "stem.af@k10s10p4", "s1@k16s8p0", "s2@k13s5p0", "s3@k8s3p0", "s4@k6s1p0",
    ]  # fmt: skip


def test_fine_tuning_on_inaturalist_has_the_published_numbers():
    recipe = get_recipe("transfer/inaturalist")
    optimizer = recipe.optimizer
    assert (recipe.epochs, recipe.batch_size, optimizer.lr, optimizer.lr_batch) == (
        24, 256, 0.1, 256,
    )  # fmt: skip
    assert (recipe.schedule.milestones, recipe.schedule.drop) == ((7, 14, 21), 0.1)
    assert (optimizer.weight_decay, optimizer.norm_decay, optimizer.nesterov) == (0, 0, True)


def test_the_wide_networks_have_the_published_sizes():
    for name, millions in (("resnet50w2", 94), ("resnet50w4", 375), ("resnet50w5", 586)):
        model = get_recipe(f"swav/{name}_400ep").model
        assert complexity(model).params / 1e6 - 1000 * 2048 / 1e6 * int(name[-1]) == pytest.approx(
            millions, rel=0.01
        )


SMOKE = [name for name in ALL if name.endswith("smoke")]


@pytest.mark.parametrize(
    "name",
    [n if n == "swav/smoke" else pytest.param(n, marks=pytest.mark.slow) for n in SMOKE],
)
def test_smoke(name, tmp_path):
    run = Run("scenes:count=64,val_count=32,size=48", tmp_path / "run", workers=0)
    outcome = running.train(get_recipe(name), run)
    assert outcome.finished
    assert 0 <= outcome.metrics["knn_error"] <= 100
