"""Schedules against pycls' check values, groups against Early Convolutions' rule."""

import pytest
import torch

from eyespot.design.scaling import stem_layers
from eyespot.design.specs import ViTSpec
from eyespot.errors import RecipeError
from eyespot.models.build import create_model
from eyespot.tasks.optimization import (
    OptimizerSettings,
    Schedule,
    base_rates,
    make_optimizer,
    rate_factor,
    set_rates_,
)

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


@pytest.mark.parametrize("name", ["sgd", "adamw", "larc"])
def test_rates_reach_every_group(name):
    optimizer = make_optimizer(torch.nn.Linear(3, 2), OptimizerSettings(name, lr=0.5), 64)
    base = base_rates(optimizer)
    set_rates_(optimizer, base, 0.25)
    assert [group["lr"] for group in optimizer.param_groups] == [0.125] * len(base)


def test_a_rate_of_zero_is_refused():
    with pytest.raises(RecipeError, match=r"need lr above 0 .* got lr=0"):
        make_optimizer(torch.nn.Linear(3, 2), OptimizerSettings(lr=0.0), 64)
