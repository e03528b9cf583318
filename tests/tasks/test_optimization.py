"""Schedules against pycls' check values, groups against Early Convolutions' rule."""

import math
from dataclasses import replace

import pytest
import torch

from eyespot.design.scaling import stem_layers
from eyespot.design.specs import ViTSpec
from eyespot.errors import RecipeError
from eyespot.models.build import create_model
from eyespot.tasks.classify import ClassifyRecipe
from eyespot.tasks.optimization import (
    OptimizerSettings,
    Schedule,
    base_rates,
    make_optimizer,
    rate_factor,
    set_rates_,
)
from eyespot.tasks.ranges import check_schedule
from eyespot.tasks.recipe_files import recipe_from_dict, recipe_to_dict

# Check values of the reference: base, schedule, epochs, {epoch: rate}.
REFERENCE = [
    (0.8, Schedule(), 100,
     {0: 0.08, 1: 0.22394473, 4: 0.65341362, 5: 0.79507534, 50: 0.4, 99: 0.00019738}),
    (0.001, Schedule(final=0.005), 400,
     {0: 0.0001, 1: 0.0002799957, 5: 0.00099961645, 200: 0.0005025, 399: 5.0153441e-06}),
    (2.0, Schedule("exponential", final=0.02), 100,
     {0: 0.2, 5: 1.6446803, 50: 0.28284271, 99: 0.04159582}),
]  # fmt: skip


@pytest.mark.parametrize("case", REFERENCE, ids=["cosine", "floor", "exponential"])
def test_rates_per_epoch_are_the_references(case):
    base, schedule, epochs, rates = case
    for epoch, expected in rates.items():
        for step in (epoch * 7, epoch * 7 + 6):  # constant inside an epoch of 7 steps
            factor = rate_factor(schedule, step, steps_per_epoch=7, epochs=epochs)
            assert base * factor == pytest.approx(expected, rel=2e-7, abs=5e-9)


def test_rates_per_step_pass_through_those_of_epochs():
    per_step = Schedule(per="step")
    for epoch in (0, 1, 5, 40, 99):
        fine = rate_factor(per_step, epoch * 10, steps_per_epoch=10, epochs=100)
        assert fine == pytest.approx(
            rate_factor(Schedule(), epoch * 10, steps_per_epoch=10, epochs=100)
        )
    assert rate_factor(per_step, 1, steps_per_epoch=10, epochs=100) > 0.1


def test_steps_need_milestones():
    drops = Schedule("steps", warmup_epochs=0, milestones=(30, 60, 90))
    factors = [rate_factor(drops, epoch, steps_per_epoch=1, epochs=100) for epoch in (29, 30, 60)]
    assert factors == pytest.approx([1.0, 0.1, 0.01])
    with pytest.raises(RecipeError, match="need milestones"):
        rate_factor(Schedule("steps"), 0, steps_per_epoch=1, epochs=100)


def test_a_vits_class_token_and_positions_are_decayed_and_its_norms_and_biases_are_not():
    model = create_model(ViTSpec(32, 64, 2, 2, stem=stem_layers(32, 8), image_size=32))
    settings = OptimizerSettings("adamw", lr=1e-3, weight_decay=0.24)
    decays = {
        param: group["weight_decay"]
        for group in make_optimizer(model, settings, 64).param_groups
        for param in group["params"]
    }
    for name, param in model.named_parameters():
        decayed = not (name.endswith("bias") or "norm" in name)
        assert decays[param] == (0.24 if decayed else 0.0), name
    assert len(decays) == len(list(model.parameters()))


def test_layer_norms_may_be_decayed_apart_from_batch_norms():
    model = create_model(ViTSpec(32, 64, 2, 2, stem=stem_layers(32, 8), image_size=32))
    settings = OptimizerSettings(norm_decay=1e-3, layer_norm_decay=2e-3)
    decays = {
        param: group["weight_decay"]
        for group in make_optimizer(model, settings, 64).param_groups
        for param in group["params"]
    }
    for kind, decay in ((torch.nn.BatchNorm2d, 1e-3), (torch.nn.LayerNorm, 2e-3)):
        found = {decays[p] for m in model.modules() if isinstance(m, kind) for p in m.parameters()}
        assert found == {decay}
    recipe = ClassifyRecipe(optimizer=settings)
    for each in (recipe, ClassifyRecipe()):
        assert recipe_from_dict(recipe_to_dict(each), "here") == each


@pytest.mark.parametrize("name", ["sgd", "adamw", "larc"])
def test_rates_reach_every_group(name):
    optimizer = make_optimizer(torch.nn.Linear(3, 2), OptimizerSettings(name, lr=0.5), 64)
    base = base_rates(optimizer)
    set_rates_(optimizer, base, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125] * len(base)


def test_a_rate_of_zero_is_refused():
    with pytest.raises(RecipeError, match=r"need lr above 0 .* got lr=0"):
        make_optimizer(torch.nn.Linear(3, 2), OptimizerSettings(lr=0.0), 64)


def test_swavs_and_vissls_shapes_are_their_rates_over_the_peak():
    """The reference's values: 4 epochs of 10 steps, one of warmup."""
    swav = Schedule("swav", warmup_epochs=1, warmup_start=0.3 / 4.8, final=0.001, per="step")
    vissl = Schedule("vissl", warmup_epochs=1, warmup_start=0.6 / 4.8, final=0.001, per="step")
    for step in range(40):
        if step < 10:
            own = 0.3 + (4.8 - 0.3) * step / 9
        else:
            own = 0.0048 + (4.8 - 0.0048) * (1 + math.cos(math.pi * (step - 10) / 30)) / 2
        assert 4.8 * rate_factor(swav, step, steps_per_epoch=10, epochs=4) == pytest.approx(own)
        whole = 0.0048 + (4.8 - 0.0048) * (1 + math.cos(math.pi * step / 40)) / 2
        theirs = 0.6 + (4.8 - 0.6) * step / 10 if step < 10 else whole
        assert 4.8 * rate_factor(vissl, step, steps_per_epoch=10, epochs=4) == pytest.approx(theirs)
    with pytest.raises(RecipeError, match='need per "step"'):
        rate_factor(Schedule("swav"), 0, steps_per_epoch=10, epochs=4)


def test_waves_and_the_plateaus_constant_come_after_a_warmup():
    waves = Schedule(
        "restarts", warmup_epochs=1, warmup_start=0.0, wave_share=0.5, wave_peaks=0.2, per="step"
    )
    rates = [rate_factor(waves, i, steps_per_epoch=10, epochs=4) for i in range(41)]
    half = [(1 + math.cos(math.pi * i / 20)) / 2 for i in range(20)]
    assert rates[:10] == pytest.approx([i / 10 * half[i] for i in range(10)])
    assert rates[10:20] == pytest.approx(half[10:])
    assert rates[20:40] == pytest.approx([0.2 * factor for factor in half])
    one = replace(waves, wave_peaks=0.0)  # peaks on one cosine over the run
    assert rate_factor(one, 20, steps_per_epoch=10, epochs=4) == pytest.approx(0.5)
    flat = Schedule("plateau", warmup_epochs=1, warmup_start=0.0, per="step")
    rates = [rate_factor(flat, i, steps_per_epoch=10, epochs=4) for i in (0, 5, 10, 39)]
    assert rates == pytest.approx([0, 0.5, 1, 1])


@pytest.mark.parametrize(
    ("schedule", "watches", "sentence"),
    [
        (Schedule("plateau", per="step"), False, "need a pretraining"),
        (Schedule("plateau"), True, 'got per "epoch"'),
        (Schedule("plateau", per="step", drop=1.0), True, "schedule.drop of 1e-06 or more, below"),
        (Schedule("plateau", per="step", plateau_steps=0), True, "plateau_steps of 1 or more"),
        (Schedule("restarts", wave_share=1.5), False, "wave_share of 1e-06 to 1, got 1.5"),
    ],
)
def test_schedules_that_cannot_be_followed_are_refused(schedule, watches, sentence):
    with pytest.raises(RecipeError, match=sentence):
        check_schedule(schedule, 10, watches_loss=watches)


def test_a_run_may_end_inside_an_epoch():
    """13 steps with 5 an epoch: the last step's rate is next to none."""
    schedule = Schedule("swav", warmup_epochs=0, per="step")
    rates = [rate_factor(schedule, i, steps_per_epoch=5, epochs=13 / 5) for i in range(13)]
    assert rates[-1] == pytest.approx((1 + math.cos(math.pi * 12 / 13)) / 2)


def test_larc_adapts_norms_and_biases_unless_told_not_to():
    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    for adapt_all in (True, False):
        settings = OptimizerSettings("larc", lr=1.0, adapt_all=adapt_all)
        groups = make_optimizer(model, settings, 8).param_groups
        assert {group["name"]: group["adapt"] for group in groups} == {
            "main": True, "norm": adapt_all, "bias": adapt_all,
        }  # fmt: skip
