"""The experiments of Early Convolutions: the paper's runs, and others in their place."""

import math
from collections import Counter

import pytest

from eyespot.design.by_name import to_spec
from eyespot.design.complexity import complexity
from eyespot.design.optimizability import EXPERIMENTS, optimizability
from eyespot.design.space import ListedPoints, Space, sample_space
from eyespot.design.space_files import space_from_dict, space_to_dict


def rows(name, models=()):
    return optimizability(name, models).network.rows


def test_the_papers_grid():
    """Appendix: 48 + 24 runs of lengths and optimizers, 64 pairs for nine models and two."""
    grid = Counter((row["experiment"], "ViT" in row["model"]) for row in rows("paper"))
    assert grid["length", True] == 48
    assert grid["length", False] == 24
    assert grid["lr_wd", True] == 6 * 2 * 64
    assert grid["lr_wd", False] == 3 * 2 * 64
    pairs = [row for row in rows("paper") if row["experiment"] == "lr_wd"]
    assert {row["epochs"] for row in pairs} == {50}
    for row in pairs:
        limits = {
            ("ViT", "adamw"): (2.5e-4, 8e-3, 0.02, 0.8),
            ("ViT", "sgd"): (0.1, 3.2, 4e-6, 1.2e-4),
            ("Reg", "adamw"): (1.25e-3, 4e-2, 0.0075, 0.24),
            ("Reg", "sgd"): (0.25, 8.0, 3e-6, 8e-5),
        }[row["model"][:3], row["optimizer"]]
        assert limits[0] <= row["lr"] <= limits[1]
        assert limits[2] <= row["wd"] <= limits[3]


def test_pairs_are_log_uniform_and_alike_for_all_models():
    pairs = [row for row in rows("paper") if row["experiment"] == "lr_wd"]
    one = [r["lr"] for r in pairs if (r["model"], r["optimizer"]) == ("ViT-P-1.0GF", "adamw")]
    two = [r["lr"] for r in pairs if (r["model"], r["optimizer"]) == ("ViT-C-18GF", "adamw")]
    assert one == two
    share = [math.log(lr / 2.5e-4) / math.log(32) for lr in one]
    assert sum(share) / len(share) == pytest.approx(0.5, abs=0.11)  # 3 sigma of 64 uniforms


def test_tuned_numbers_are_the_papers():
    """Table of the appendix: lr and weight decay of lengths and optimizers."""
    found = {
        (row["model"], row["optimizer"]): (row["lr"], row["wd"])
        for row in rows("paper")
        if row["experiment"] == "length"
    }
    assert found["ViT-P-1.0GF", "adamw"] == (2e-3, 0.2)
    assert found["ViT-P-18GF", "adamw"] == (1e-3, 0.24)
    assert found["ViT-P-18GF", "sgd"] == (1.1, 1.2e-5)
    assert found["ViT-C-1.0GF", "adamw"] == (2.5e-3, 0.19)
    assert found["ViT-C-4.0GF", "sgd"] == (1.3, 2.2e-5)
    assert found["ViT-C-18GF", "sgd"] == (1.1, 2.7e-5)
    assert found["RegNetY-dWr-16GF", "adamw"] == (3.8e-3, 0.1)
    assert found["RegNetY-dWr-1.0GF", "sgd"] == (2.54, 2.4e-5)


def test_small_networks_cost_alike():
    flops = [complexity(to_spec(name)).flops for name in EXPERIMENTS["small"].models]
    assert max(flops) / min(flops) < 1.05


def test_any_models_take_the_place_of_the_experiments():
    found = {row["model"] for row in rows("smoke", ("EfficientNet-B0", "ViT-P-10MF"))}
    assert found == {"EfficientNet-B0", "ViT-P-10MF"}
    with pytest.raises(ValueError, match="Did you mean"):
        rows("smoke", ("EfficientNet-B9",))
    with pytest.raises(ValueError, match="experiment 'smal'. Did you mean small"):
        optimizability("smal")


def test_listed_points_come_in_their_order_and_survive_a_file():
    space = optimizability("smoke")
    assert space_from_dict(space_to_dict(space)) == space
    points = sample_space(space, 5, 7)
    assert [point.parameters for point in points] == list(space.network.rows[:7])
    assert points[0].spec == to_spec(points[0].parameters["model"])
    with pytest.raises(ValueError, match="count of at most 24"):
        sample_space(space, 0, 25)
    with pytest.raises(ValueError, match="need a model in every row"):
        Space("mine", network=ListedPoints(({"lr": 0.1},)))


def test_runs_are_evaluated_along_the_way():
    """The paper's after every epoch; the small ones thrice, or at their end for a random pair."""
    assert {row["evaluate_every"] for row in rows("paper")} == {1}
    small = {(row["experiment"], row["epochs"]): row["evaluate_every"] for row in rows("small")}
    assert small == {("length", 3): 1, ("length", 6): 2, ("length", 12): 4, ("lr_wd", 3): 3}
