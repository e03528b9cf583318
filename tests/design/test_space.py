"""Points of a space: what they keep to, what they depend on, and what is no space."""

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.regnet import num_powers, regnet, regnet_widths
from eyespot.design.samplers import FloatRange, IntRange, ListOf, Value, draw
from eyespot.design.scaling import scale
from eyespot.design.space import (
    Constraints,
    NamedNetworks,
    RegNets,
    Scaling,
    Space,
    network_of,
    point_random,
    sample,
    sample_space,
)
from eyespot.design.spaces import get_space, list_spaces

LR = FloatRange(0.25, 5.0, "log_uniform", 1e-10)


@pytest.mark.parametrize("name", ["regnetx", "regnety-200mf", "cifar-regnety"])
def test_sampled_regnets_keep_to_every_constraint(name):
    space = get_space(name)
    for point in sample_space(space, 7, 5):
        numbers = {k: point.parameters[k] for k in ("w_0", "w_a", "w_m", "depth")}
        widths, _, powers = regnet_widths(**numbers)
        assert space.constraints.stages[0] <= len(widths) == powers <= space.constraints.stages[1]
        cost = complexity(point.spec)
        for what, (least, most) in (
            ("flops", space.constraints.flops),
            ("params", space.constraints.params),
            ("acts", space.constraints.acts),
        ):
            assert least <= getattr(cost, what) <= most
        built = regnet(
            **numbers,
            group_width=point.parameters["group_width"],
            bot_mul=point.parameters["bot_mul"],
            **space.network.fixed(),
        )
        assert point.spec == built


def test_every_shipped_space_can_be_sampled():
    for name in list_spaces():
        assert get_space(name).name == name
        if not name.startswith("regnet"):
            assert len(sample_space(get_space(name), 1, 3)) == 3


def test_the_default_ranges_are_the_published_ones():
    space = Space("r", network=RegNets(), constraints=Constraints(stages=(0, 0)))
    points = sample_space(space, 5, 400)
    drawn = {name: [p.parameters[name] for p in points] for name in space.samplers()}
    depths = [drawn["depth"].count(d) for d in range(12, 29)]
    assert sum(depths) == len(points)
    assert set(drawn["bot_mul"]) == {1.0}
    assert {value % 8 for value in drawn["w_0"] + drawn["group_width"]} == {0}
    for name, low, high in (("w_0", 8, 256), ("w_a", 8, 256), ("w_m", 2, 3)):
        assert low <= min(drawn[name]) <= max(drawn[name]) <= high
    assert 8 <= min(drawn["group_width"]) <= max(drawn["group_width"]) <= 128


def test_the_number_of_powers_is_that_of_the_widths():
    for name, entry in (("x", (24, 36.44, 2.49, 13)), ("z", (48, 14.5, 2.226, 28))):
        assert num_powers(*entry) == regnet_widths(*entry)[2] == 4, name
    with pytest.raises(ValueError, match="w_m > 1"):
        num_powers(8, 8.0, 1.0, 12)


@settings(max_examples=25)
@given(seed=st.integers(-(2**70), 2**70), index=st.integers(0, 8), more=st.integers(1, 5))
def test_a_point_depends_on_seed_and_index_alone(seed, index, more):
    space = Space("s", parameters={"lr": LR, "n": IntRange(0, 10**9)})
    points = sample_space(space, seed, index + more)
    assert points[: index + 1] == sample_space(space, seed, index + 1)
    rng = point_random(seed, index)
    again = {name: draw(sampler, rng) for name, sampler in space.samplers().items()}
    assert points[index].parameters == again
    assert [point.index for point in points] == list(range(index + more))


def test_another_seed_is_another_sample():
    space = Space("s", parameters={"lr": LR})
    first, second = (
        {point.parameters["lr"] for point in sample_space(space, seed, 50)} for seed in (1, 2)
    )
    assert not first & second


def test_streams_of_neighbouring_points_are_independent():
    firsts = [point_random(0, index).random() for index in range(2000)]
    assert stats.kstest(firsts, "uniform").pvalue > 1e-3
    assert abs(stats.pearsonr(firsts[:-1], firsts[1:]).statistic) < 0.06


def test_duplicates_are_skipped_until_the_space_is_used_up(monkeypatch):
    monkeypatch.setattr("eyespot.design.space.TRIES", 1000)
    space = get_space("cifar-epochs")
    drawn = sample(space, 3, 12)
    pairs = {(p.parameters["epochs"], p.parameters["seed"]) for p in drawn.points}
    assert len(pairs) == 12
    assert drawn.rejected == {"duplicate": drawn.draws - 12}
    with pytest.raises(ValueError, match=r"point 12 of 'cifar-epochs' .*: duplicate 1,000"):
        sample(space, 3, 13)


def test_rejections_are_counted_by_constraint():
    space = get_space("regnetx-200mf")
    drawn = sample(space, 1, 3)
    assert {"stages", "flops"} <= drawn.rejected.keys()
    redrawn = {"stages": 0, "flops": 0, "params": 0, "acts": 0}
    total = 0
    for index in range(3):
        rng = point_random(1, index)
        while True:
            total += 1
            numbers = {name: draw(s, rng) for name, s in space.samplers().items()}
            broken = network_of(space, numbers)[1]
            if not broken:
                break
            for reason in broken:
                redrawn[reason] += 1
    assert total == drawn.draws
    assert {k: v for k, v in redrawn.items() if v} == drawn.rejected


def test_nothing_fits_says_what_rejected(monkeypatch):
    monkeypatch.setattr("eyespot.design.space.TRIES", 500)
    space = Space("tiny", network=RegNets(), constraints=Constraints(flops=(0, 1000)))
    with pytest.raises(ValueError, match=r"none of 500 draws for point 0 of 'tiny'.*flops \d+"):
        sample_space(space, 1, 1)
    fields = {"hidden_dim": Value((100,))}
    space = Space("vit", network=NamedNetworks(Value(("ViT-P-4GF",)), fields))
    with pytest.raises(ValueError, match=r"network 500; the last is no network: .*6 heads"):
        sample_space(space, 1, 1)


@pytest.mark.parametrize("stages", [(0, 0), (6, 6), (2, 2)])
def test_a_skipped_power_is_no_regnet(stages):
    # u = 8, 208: k = 0 and round(log2 26) = 5, so two widths where six powers are spanned.
    numbers = {"w_0": 8, "w_a": 200.0, "w_m": 2.0, "depth": 2, "group_width": 8, "bot_mul": 1.0}
    space = Space("r", network=RegNets(), constraints=Constraints(stages=stages))
    assert network_of(space, numbers) == (None, ["stages"])
    # u = 8, 16: k = 0, 1, two widths of two powers.
    spec, broken = network_of(space, numbers | {"w_a": 8.0})
    assert broken == ([] if stages in ((0, 0), (2, 2)) else ["stages"])
    assert spec is None or spec.widths == (8, 16)


def test_any_stage_count_and_any_limit_can_be_off():
    space = Space("r", network=RegNets(), constraints=Constraints(stages=(2, 0)))
    counts = {len(point.spec.depths) for point in sample_space(space, 1, 200)}
    assert min(counts) == 2
    assert max(counts) > 4
    loose = Space("r", network=RegNets(), constraints=Constraints(flops=(1e9, 0)))
    assert min(complexity(p.spec).flops for p in sample_space(loose, 1, 20)) >= 1e9


def test_fields_of_a_named_network_are_sampled_and_made_compatible():
    space = Space(
        "anynet",
        network=NamedNetworks(
            Value(("RegNetX-400MF",)),
            {
                "depths": ListOf(4, IntRange(1, 16, "log_uniform")),
                "widths": ListOf(4, IntRange(8, 1024, "log_uniform", 8)),
                "bot_muls": ListOf(4, FloatRange(0.25, 1.0, "power2_uniform", 0.25)),
                "group_widths": ListOf(4, IntRange(1, 32, "power2_uniform")),
            },
        ),
    )
    for point in sample_space(space, 1, 50):
        assert point.spec.depths == point.parameters["depths"]
        for width, drawn in zip(point.spec.widths, point.parameters["widths"], strict=True):
            assert abs(width - drawn) <= 64
        stages = zip(point.spec.widths, point.spec.bot_muls, point.spec.group_widths, strict=True)
        assert all(round(w * b) % g == 0 for w, b, g in stages)


def test_models_and_scaling_can_be_sampled():
    space = Space(
        "scaled",
        network=NamedNetworks(Value(("RegNetY-4GF", "EffNet-B0"))),
        scaling=Scaling(Value(("dWr", "w")), FloatRange(0.5, 4.0, "log_uniform", 0.001)),
    )
    points = sample_space(space, 1, 20)
    assert len({(p.parameters["model"], p.parameters["scaling_strategy"]) for p in points}) == 4
    for point in points:
        numbers = point.parameters
        base = zoo.spec(numbers["model"])
        wanted = scale(base, numbers["scaling_strategy"], numbers["scaling_factor"])
        assert point.spec == wanted


def test_the_lr_of_a_paper_space_is_log_uniform():
    points = sample_space(get_space("lrwd-vit-adamw"), 1, 500)
    logs = [math.log(p.parameters["lr"] / 2.5e-4) / math.log(32) for p in points]
    assert stats.kstest(logs, "uniform").pvalue > 1e-3
    assert {p.spec for p in points} == {zoo.spec("ViT-C-4GF")}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Space("s"), "need a network or at least one parameter"),
        (lambda: Constraints(flops=(2.0, 1.0)), r"need flops as \[least, most\].*got \[2.0, 1.0\]"),
        (lambda: Constraints(stages=(1, 2, 3)), "need stages as"),
        (
            lambda: Space("s", network=RegNets(), parameters={"depth": LR}),
            "need each parameter once, got depth twice",
        ),
        (
            lambda: Space("s", parameters={"lr": LR}, scaling=Scaling(Value(("d",)), LR)),
            "need a network where there is a scaling",
        ),
        (lambda: NamedNetworks(Value(("ResNet-51",))), "unknown model 'ResNet-51'"),
        (
            lambda: NamedNetworks(Value(("ResNet-50",)), {"wdiths": LR}),
            "need fields that ResNet-50 has, got 'wdiths'",
        ),
        (lambda: get_space("regnetw"), "unknown space 'regnetw'. Did you mean regnet"),
        (lambda: sample_space(get_space("cifar-lrwd"), 1, 0), "need at least 1 point, got 0"),
    ],
)
def test_what_is_no_space_is_refused(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_constraints_can_be_changed_in_place():
    space = replace(get_space("regnetx"), constraints=Constraints(flops=(3.9e9, 4e9)))
    (point,) = sample_space(space, 1, 1)
    assert 3.9e9 <= complexity(point.spec).flops <= 4e9
