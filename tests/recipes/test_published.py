"""Every published recipe against tables typed from the papers, and that each can be run."""

import inspect
import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from eyespot.design.by_name import to_spec
from eyespot.design.complexity import complexity
from eyespot.models.build import build
from eyespot.recipes import FAMILIES, epoch_images, find_recipe, get_recipe, list_recipes
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import OptimizerSettings, make_optimizer, rate_factor
from eyespot.tasks.recipe_files import recipe_from_dict, recipe_to_dict

# Table 2 of Early Convolutions: params in millions, minutes an epoch, errors after 100, 200 and 400
# epochs and after ImageNet-21k; the appendix: optimizer, rate and decay at a batch of 2048; train
# and test sizes; the batch of the recipe.
EARLY = """
resnet_50         25.6  3.4 22.5 21.2 20.7 21.6 sgd   2.54 2.4e-5 224 256 2048
resnet_101        44.5  5.5 20.3 19.1 18.5 19.2 sgd   2.54 2.4e-5 224 256 2048
resnet_152        60.2  7.7 19.5 18.4 17.7 18.2 sgd   2.54 2.4e-5 224 256 2048
resnet_200        64.7 10.7 19.5 18.3 17.6 17.7 sgd   2.54 2.4e-5 224 256 2048
regnety_1gf        9.6  3.1 23.2 22.2 21.5 -    sgd   2.54 2.4e-5 232 262 2048
regnety_4gf       22.4  7.6 19.4 18.3 17.9 18.4 sgd   2.54 2.4e-5 240 272 2048
regnety_16gf      72.3 17.9 17.1 16.4 16.3 15.6 sgd   2.54 2.4e-5 256 292 2048
regnety_32gf     128.6 35.1 16.2 15.9 15.9 15.0 sgd   2.54 2.4e-5 268 304 2048
regnetz_1gf       11.0  4.2 20.8 20.2 19.6 -    sgd   2.54 2.4e-5 232 -   2048
regnetz_4gf       28.1 12.9 17.4 16.9 16.6 -    sgd   2.54 2.4e-5 256 -   1024
regnetz_16gf      95.3 32.0 16.0 15.9 15.9 -    sgd   2.54 2.4e-5 272 -   512
regnetz_32gf     175.1 55.3 16.3 16.2 16.1 -    sgd   2.54 2.4e-5 284 -   256
efficientnet_b2    9.1  5.9 21.4 20.5 19.9 -    sgd   2.54 2.4e-5 260 298 2048
efficientnet_b4   19.3 19.4 18.5 17.8 17.5 -    sgd   2.54 2.4e-5 380 434 512
efficientnet_b5   30.4 41.7 17.3 17.0 17.0 -    sgd   2.54 2.4e-5 456 522 256
vit_p_1gf          4.8  2.6 33.2 29.7 27.7 -    adamw 1e-3 0.24   224 256 2048
vit_p_4gf         18.5  3.8 23.3 20.8 19.6 20.6 adamw 1e-3 0.24   224 256 2048
vit_p_18gf        86.6 11.5 19.9 18.4 17.9 16.4 adamw 1e-3 0.24   224 256 2048
vit_p_36gf       178.4 18.8 19.9 18.8 18.2 15.1 adamw 6e-4 0.28   224 256 2048
vit_c_1gf          4.6  2.7 28.6 26.1 24.7 -    adamw 1e-3 0.24   224 256 2048
vit_c_4gf         17.8  3.9 20.9 19.2 18.6 18.8 adamw 1e-3 0.24   224 256 2048
vit_c_18gf        81.6 11.4 18.4 17.5 17.0 15.1 adamw 1e-3 0.24   224 256 2048
vit_c_36gf       167.8 18.6 18.3 17.6 16.8 14.2 adamw 6e-4 0.28   224 256 2048
"""
EARLY_ROWS = [line.split() for line in EARLY.strip().splitlines()]
# Rates at 4096 and decays on ImageNet-21k.
IN21K = {"vit_p_36gf": (1.4e-3, 0.24), "vit_c_36gf": (1.4e-3, 0.24)}


def names_of(family):
    return {n.split("/")[1] for n in list_recipes() if n.startswith(family + "/")}


def without_smoke(family):
    return {name for name in names_of(family) if not name.endswith("smoke")}


def text_of(name):
    return inspect.getdoc(find_recipe(name))


def full_rate(recipe):
    """The highest rate that the optimizer really gets."""
    optimizer = make_optimizer(nn.Linear(2, 2), recipe.optimizer, recipe.batch_size)
    return optimizer.param_groups[0]["lr"]


def check_early(recipe, *, lr, wd, optimizer, train_px, test_px):
    assert recipe.optimizer.name == optimizer
    assert full_rate(recipe) == pytest.approx(lr)
    assert recipe.optimizer.weight_decay == wd
    assert recipe.optimizer.norm_decay == recipe.optimizer.bias_decay == 0
    assert recipe.optimizer.momentum == 0.9
    assert recipe.optimizer.nesterov
    assert recipe.optimizer.betas == (0.9, 0.999)
    assert recipe.optimizer.clip == 0
    pictures = recipe.pictures
    assert (pictures.size_px, pictures.view, pictures.area) == (train_px, "crop", (0.08, 1.0))
    assert test_px is None or pictures.test_resize_px == test_px
    assert (pictures.policy, pictures.pca_std) == ("AutoAugment", 0.1)
    assert (recipe.mixup, recipe.cutmix, recipe.label_smoothing) == (0.8, 1.0, 0.1)
    average = recipe.average
    assert (average.form, average.alpha, average.period) == ("pycls", 1e-5, 32)
    for epoch, factor in ((0, 0.1), (200, 0.5025), (399, 0.0050153441)):
        got = rate_factor(recipe.schedule, epoch * 3 + 2, steps_per_epoch=3, epochs=400)
        assert got == pytest.approx(factor, rel=1e-6)
    assert recipe.num_classes == 0


@pytest.mark.parametrize("row", EARLY_ROWS, ids=lambda row: row[0])
def test_early_convolutions(row):
    name, params, minutes, *errors, optimizer, lr, wd, train_px, test_px, batch = row
    recipe = get_recipe(f"early_convolutions/{name}")
    check_early(
        recipe, lr=float(lr) * int(batch) / 2048, wd=float(wd), optimizer=optimizer,
        train_px=int(train_px), test_px=None if test_px == "-" else int(test_px),
    )  # fmt: skip
    assert (recipe.epochs, recipe.batch_size) == (400, int(batch))
    counted = complexity(to_spec(recipe.model)).params / 1e6
    assert counted == pytest.approx(float(params), abs=0.051)
    text = text_of(f"early_convolutions/{name}")
    assert f"top-1 error {', '.join(errors[:3])} % after 100, 200, 400 epochs" in text
    assert (f"{errors[3]} after ImageNet-21k" in text) == (errors[3] != "-")
    assert f"{float(minutes):g} minutes an epoch on 8 V100-32GB" in text


def test_every_row_of_early_convolutions_has_a_recipe_and_no_other():
    assert without_smoke("early_convolutions") == {row[0] for row in EARLY_ROWS}
    later = {row[0] for row in EARLY_ROWS if row[6] != "-"} | {"vit_p_72gf", "vit_c_72gf"}
    assert without_smoke("imagenet21k") == later
    assert without_smoke("finetune") == later | {"vit_c_72gf_384px"}


@pytest.mark.parametrize("row", [r for r in EARLY_ROWS if r[6] != "-"], ids=lambda row: row[0])
def test_imagenet21k_and_after(row):
    name, _, _, *errors, optimizer, lr, wd, train_px, test_px, _ = row
    high, decay = IN21K.get(name, (2 * float(lr), float(wd)))
    sizes = {"train_px": int(train_px), "test_px": int(test_px)}
    before = get_recipe(f"imagenet21k/{name}")
    check_early(before, lr=high, wd=decay, optimizer=optimizer, **sizes)
    assert (before.epochs, before.batch_size, before.start_from) == (90, 4096, "")
    after = get_recipe(f"finetune/{name}")
    check_early(after, lr=float(lr) / 10, wd=0.0, optimizer=optimizer, **sizes)
    assert (after.epochs, after.start_head) == (20, False)
    assert after.start_from
    assert before.model == after.model == get_recipe(f"early_convolutions/{name}").model
    assert f"top-1 error {errors[3]} %" in text_of(f"finetune/{name}")


@pytest.mark.parametrize(
    ("name", "size", "error"),
    [("vit_p_72gf", 224, 14.2), ("vit_c_72gf", 224, 13.6), ("vit_c_72gf_384px", 384, 12.6)],
)
def test_72gf(name, size, error):
    before = get_recipe(f"imagenet21k/{name.removesuffix('_384px')}")
    check_early(before, lr=1.2e-3, wd=0.15, optimizer="adamw", train_px=224, test_px=256)
    after = get_recipe(f"finetune/{name}")
    assert after.pictures.size_px == size
    assert f"top-1 error {error} %" in text_of(f"finetune/{name}")
    spec = to_spec(after.model)
    assert (spec.hidden_dim, spec.num_heads, spec.mlp_dim, spec.depth) == (1152, 18, 4608, 22)


# Section 4 of Early Convolutions, rates and decays of AdamW and of SGD at 50 epochs.
STABILITY = """
regnety_1gf  3.8e-3 0.1  2.54 2.4e-5
regnety_4gf  3.8e-3 0.1  2.54 2.4e-5
regnety_16gf 3.8e-3 0.1  2.54 2.4e-5
vit_p_1gf    2.0e-3 0.20 1.9  1.3e-5
vit_p_4gf    2.0e-3 0.20 1.9  1.3e-5
vit_p_18gf   1.0e-3 0.24 1.1  1.2e-5
vit_c_1gf    2.5e-3 0.19 1.9  1.3e-5
vit_c_4gf    1.0e-3 0.24 1.3  2.2e-5
vit_c_18gf   1.0e-3 0.24 1.1  2.7e-5
"""


@pytest.mark.parametrize("line", STABILITY.strip().splitlines(), ids=lambda line: line.split()[0])
def test_optimizability(line):
    name, *numbers = line.split()
    for optimizer, lr, wd in (("adamw", *numbers[:2]), ("sgd", *numbers[2:])):
        recipe = get_recipe(f"optimizability/{name}_{optimizer}")
        peak = get_recipe(f"early_convolutions/{name}")
        check_early(
            recipe, lr=float(lr), wd=float(wd), optimizer=optimizer,
            train_px=peak.pictures.size_px, test_px=peak.pictures.test_resize_px,
        )  # fmt: skip
        assert (recipe.epochs, recipe.batch_size, recipe.model) == (50, 2048, peak.model)


# pycls' model zoo: train batch, test batch on 8 GPUs, rate, hours, top-1 and top-5 errors.
ZOO = """
RegNetX-200MF 1024 800 0.8 3.0 31.088 11.342
RegNetX-400MF 1024 800 0.8 4.2 27.382 9.076
RegNetX-600MF 1024 800 0.8 4.5 25.864 8.198
RegNetX-800MF 1024 800 0.8 5.9 24.846 7.592
RegNetX-1.6GF 1024 800 0.8 8.9 23.038 6.484
RegNetX-3.2GF 512 400 0.4 15.1 21.736 5.862
RegNetX-4.0GF 512 400 0.4 17.9 21.356 5.736
RegNetX-6.4GF 512 400 0.4 24.3 20.844 5.434
RegNetX-8.0GF 512 400 0.4 23.7 20.728 5.42
RegNetX-12GF 512 400 0.4 34.6 20.288 5.284
RegNetX-16GF 512 400 0.4 41.3 19.956 5.022
RegNetX-32GF 256 200 0.2 81.8 19.498 4.878
RegNetY-200MF 1024 800 0.8 3.3 29.658 10.378
RegNetY-400MF 1024 800 0.8 5.3 25.898 8.07
RegNetY-600MF 1024 800 0.8 5.3 24.54 7.28
RegNetY-800MF 1024 800 0.8 6.1 23.684 6.846
RegNetY-1.6GF 1024 800 0.8 10.3 22.066 6.134
RegNetY-3.2GF 512 400 0.4 17.0 21.074 5.454
RegNetY-4.0GF 512 400 0.4 17.5 20.64 5.336
RegNetY-6.4GF 512 400 0.4 27.2 20.11 5.1
RegNetY-8.0GF 512 400 0.4 29.3 20.052 5.06
RegNetY-12GF 512 400 0.4 36.9 19.67 4.856
RegNetY-16GF 256 200 0.2 50.8 19.608 4.944
RegNetY-32GF 256 200 0.2 79.4 19.066 4.568
ResNet-50 256 200 0.2 14.8 23.19 6.63
ResNet-101 256 200 0.2 24.0 21.414 5.792
ResNet-152 256 200 0.2 33.7 20.87 5.44
ResNeXt-50 256 200 0.2 22.1 21.884 6.062
ResNeXt-101 256 200 0.2 39.9 20.664 5.392
ResNeXt-152 256 200 0.2 57.6 20.386 5.318
EfficientNet-B0 256 200 0.4 8.8 24.92 7.814
EfficientNet-B1 256 200 0.4 13.2 24.068 7.228
EfficientNet-B2 256 200 0.4 16.4 23.518 6.968
EfficientNet-B3 256 200 0.4 26.4 22.47 6.514
EfficientNet-B4 128 104 0.2 57.1 21.374 5.808
EfficientNet-B5 64 48 0.1 122.6 21.674 6.238
"""
EFFICIENTNET_PX = {"B0": (224, 256), "B1": (240, 274), "B2": (260, 298), "B3": (300, 342),
                   "B4": (380, 434), "B5": (456, 522)}  # fmt: skip


@pytest.mark.parametrize("line", ZOO.strip().splitlines(), ids=lambda line: line.split()[0])
def test_pycls(line):
    name, batch, test_batch, lr, hours, top1, top5 = line.split()
    recipe = get_recipe(f"pycls/{name}")
    decay = 1e-5 if name.startswith("Eff") else 5e-5
    per_128 = 0.2 if name.startswith("Eff") else 0.1
    sizes = EFFICIENTNET_PX.get(name.partition("-")[2], (224, 256))
    assert full_rate(recipe) == pytest.approx(float(lr))
    assert full_rate(replace(recipe, batch_size=128)) == pytest.approx(per_128)
    settings = OptimizerSettings(
        "sgd", float(lr), int(batch), decay, norm_decay=decay, bias_decay=decay
    )
    assert recipe == ClassifyRecipe(
        model=name, epochs=100, batch_size=int(batch), optimizer=settings,
        schedule=recipe.schedule, pictures=recipe.pictures, eval_batch_size=int(test_batch) // 8,
    )  # fmt: skip
    # Mixing, smoothing and averages are off by default, precise batch norm is on.
    assert (recipe.mixup, recipe.cutmix, recipe.label_smoothing) == (0, 0, 0)
    assert (recipe.average.form, recipe.precise_bn) == ("none", 8192)
    assert (recipe.schedule.shape, recipe.schedule.per) == ("cosine", "epoch")
    assert recipe.schedule.warmup_epochs == (5 if name.startswith("RegNet") else 0)
    assert recipe.schedule.final == 0
    assert (recipe.pictures.policy, recipe.pictures.pca_std) == ("", 0.1)
    assert (recipe.pictures.size_px, recipe.pictures.test_resize_px) == sizes
    text = text_of(f"pycls/{name}")
    assert f"top-1 error {top1} %, top-5 {top5} %" in text
    assert f"{float(hours):g} hours on 8 V100-16GB" in text


def test_pycls_has_the_whole_zoo():
    names = {line.split()[0].lower().replace("-", "_") for line in ZOO.strip().splitlines()}
    assert without_smoke("pycls") == names


# Fast and Accurate Model Scaling: params in millions, train px, decay, batch.
FAST = """
efficientnet_b0 5.3 224 1e-5 1024
efficientnet_b1 7.8 240 1e-5 1024
efficientnet_b4 19.3 380 1e-5 512
efficientnet_b5 30.4 456 1e-5 256
efficientnet_b0_fast_4x - 240 1e-5 1024
efficientnet_b0_fast_16x - 256 1e-5 1024
efficientnet_b0_uniform_4x - 284 1e-5 1024
regnety_500mf - 224 2e-5 1024
regnety_4gf 22.4 240 2e-5 1024
regnety_16gf 72.3 256 2e-5 1024
regnety_32gf 128.6 268 2e-5 512
regnetz_500mf - 224 2e-5 1024
regnetz_1gf 11.0 232 2e-5 1024
regnetz_4gf 28.1 256 2e-5 1024
regnetz_16gf 95.3 272 2e-5 512
regnetz_32gf 175.1 284 2e-5 256
"""


@pytest.mark.parametrize("line", FAST.strip().splitlines(), ids=lambda line: line.split()[0])
def test_fast_scaling(line):
    name, params, size, decay, batch = line.split()
    recipe = get_recipe(f"fast_scaling/{name}")
    spec = to_spec(recipe.model)
    if params != "-":
        assert complexity(spec).params / 1e6 == pytest.approx(float(params), abs=0.051)
    assert (recipe.pictures.size_px, recipe.batch_size) == (int(size), int(batch))
    assert full_rate(recipe) == pytest.approx(2.0 * int(batch) / 1024)
    settings = recipe.optimizer
    decays = (settings.weight_decay, settings.norm_decay, settings.bias_decay)
    assert decays == (float(decay), 0.0, float(decay))
    assert (recipe.epochs, recipe.label_smoothing, recipe.mixup, recipe.cutmix) == (
        100,
        0.1,
        0.2,
        0,
    )
    assert recipe.pictures.policy == "AutoAugment"
    assert recipe.average.form == "pycls"
    assert getattr(spec, "dropout", 0.0) == getattr(spec, "drop_connect", 0.0) == 0.0
    for epoch, rate in ((0, 0.2), (5, 1.6446803), (50, 0.28284271), (99, 0.04159582)):
        got = 2.0 * rate_factor(recipe.schedule, epoch, steps_per_epoch=1, epochs=100)
        assert got == pytest.approx(rate, rel=1e-6)


def test_fast_scaling_widths_are_the_scalers():
    fast = to_spec(get_recipe("fast_scaling/efficientnet_b0_fast_16x").model)
    assert fast.widths == (48, 72, 120, 240, 336, 584, 968)
    uniform = to_spec(get_recipe("fast_scaling/efficientnet_b0_uniform_4x").model)
    assert uniform.depths == (2, 3, 3, 5, 5, 6, 2)
    assert "about 21.7 %" in text_of("fast_scaling/efficientnet_b1")


@pytest.mark.parametrize("name", ["resnet_56", "regnety_125mf"])
def test_cifar(name):
    recipe = get_recipe(f"cifar/{name}")
    assert (recipe.epochs, recipe.batch_size, recipe.precise_bn) == (50, 1024, 1024)
    assert (recipe.label_smoothing, recipe.mixup, recipe.cutmix) == (0.1, 0.5, 0.0)
    assert (recipe.average.form, recipe.average.alpha) == ("pycls", 2.5e-4)
    assert recipe.optimizer.norm_decay == 0
    assert 0.25 <= full_rate(recipe) <= 5
    assert 5e-5 <= recipe.optimizer.weight_decay <= 1e-3
    pictures = recipe.pictures
    assert (pictures.view, pictures.pad_px, pictures.size_px) == ("pad", 4, 32)
    assert [255 * m for m in pictures.mean] == pytest.approx([125.3, 123.0, 113.9])
    assert [255 * s for s in pictures.std] == pytest.approx([63.0, 62.1, 66.7])


def classification():
    return [name for name, make in list_recipes().items() if isinstance(make(), ClassifyRecipe)]


MORE = r"(?:         .+\n)*"  # a line that goes on
HEADER = rf"\n\nRun:     eyespot train {{}} .*\n{MORE}Expect:  .+\n{MORE}Cost:    .+"


def test_linear_evaluations_have_headers():
    for name in names_of("linear"):
        assert re.search(HEADER.format(f"linear/{name}"), text_of(f"linear/{name}")), name


@pytest.mark.parametrize("family", FAMILIES)
def test_every_recipe_of_a_family_resolves(family):
    """It saves, has a header, and its network builds and takes its optimizer and sizes."""
    built = {}
    for name in classification():
        if not name.startswith(family + "/"):
            continue
        recipe = get_recipe(name)
        assert recipe_from_dict(recipe_to_dict(recipe, name), name) == recipe
        assert re.search(HEADER.format(re.escape(name)), text_of(name)), name
        spec = replace(to_spec(recipe.model), image_size=recipe.pictures.size_px)
        if spec not in built:
            with torch.device("meta"):
                built[spec] = build(spec)
        optimizer = make_optimizer(built[spec], recipe.optimizer, recipe.batch_size)
        grouped = sum(len(group["params"]) for group in optimizer.param_groups)
        assert grouped == len(list(built[spec].parameters()))
        images = epoch_images(name)
        if images and not name.endswith("smoke"):
            assert images // recipe.batch_size * recipe.epochs > 1000


def test_class_token_and_positions_are_decayed_and_norms_are_not():
    recipe = get_recipe("early_convolutions/vit_c_1gf")
    with torch.device("meta"):
        model = build(to_spec(recipe.model))
    optimizer = make_optimizer(model, recipe.optimizer, recipe.batch_size)
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, param in model.named_parameters():
        decayed = param.ndim > 1
        assert decay[id(param)] == (0.24 if decayed else 0.0), name
    resnet = get_recipe("pycls/resnet_50")
    with torch.device("meta"):
        model = build(to_spec(resnet.model))
    groups = make_optimizer(model, resnet.optimizer, resnet.batch_size).param_groups
    assert {group["weight_decay"] for group in groups} == {5e-5}


def test_epochs_have_as_many_images_as_published():
    assert epoch_images("early_convolutions/vit_c_4gf") == 1_281_167
    assert epoch_images("imagenet21k/vit_c_4gf") == 14_000_000
    assert epoch_images("cifar/resnet_56") == 50_000
    assert epoch_images("classify/smoke") is None
