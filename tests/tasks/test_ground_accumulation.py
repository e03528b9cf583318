"""A step in parts has the gradients of the step as a whole; what is not finite is captured."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from eyespot.errors import RecipeError
from eyespot.recipes import ground
from eyespot.tasks import ground as task
from eyespot.tasks.run import Place, Run, prepare, train
from eyespot.train.loop import StoppedByNonFiniteError


def recipe(**changes):
    """Frozen norms, as batch statistics are a part's own; captions, expressions, and masks."""
    small = ground.smoke()
    network = replace(small.network, frozen_norms=True)
    scenes = replace(small.scenes, referring_share=0.5)
    settings = {"words": replace(small.words, steps=0), "scenes": scenes, "network": network}
    return replace(small, **{**settings, **changes})


def run(out):
    return Run("scenes", out, device="cpu", workers=0, log_every=1)


def double_step(made, out, monkeypatch):
    """The values and gradients of the first step, in float64."""
    exact = task.normalize_padded
    gradients = {}

    def keep(optimizer, loss, *, clip):
        gradients.update({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
        return torch.zeros(())

    with monkeypatch.context() as patch:
        patch.setattr(task, "normalize_padded", lambda *args: exact(*args).double())
        patch.setattr(task, "step_", keep)
        torch.manual_seed(0)
        prepared = prepare(made, run(out), Place(torch.device("cpu"), "none", 0, None))
        model = prepared.job.modules["model"].double()
        for module in prepared.job.modules.values():
            module.double()
        values = prepared.train_step(prepared.job, next(prepared.batches(0)))
    return values, gradients


MASKS = {"with_masks": True, "dim": 128, "with_proposals": False, "last_map": 4}


@pytest.mark.parametrize(
    ("changes", "steps"), [({}, 0), ({}, 4), (MASKS, 0)], ids=["boxes", "words", "masks"]
)
def test_parts_add_up_to_the_whole_in_float64(changes, steps, tmp_path, monkeypatch):
    whole = recipe(words=replace(ground.smoke().words, steps=steps))
    whole = replace(whole, network=replace(whole.network, **changes))
    values, gradients = double_step(whole, tmp_path / "a", monkeypatch)
    in_parts, other = double_step(replace(whole, accumulate=4), tmp_path / "b", monkeypatch)
    assert gradients.keys() == other.keys()
    assert len(gradients) > 20
    largest = max(float(gradient.abs().max()) for gradient in gradients.values())
    for name, gradient in gradients.items():
        assert_close(other[name], gradient, rtol=1e-7, atol=1e-12 * largest, msg=name)
    assert values.keys() == in_parts.keys()
    for name, value in values.items():
        assert float(in_parts[name]) == pytest.approx(float(value), rel=1e-6), name


def test_parts_that_do_not_divide_the_batch_are_refused(tmp_path):
    with pytest.raises(RecipeError, match="1 ranks and 3 parts share evenly, got 8"):
        train(recipe(accumulate=3), run(tmp_path))


def test_predictions_that_are_not_finite_stop_the_run_with_a_capture(tmp_path, monkeypatch):
    """The matcher never sees them, no weight has changed, and the step can be taken again."""
    made = recipe()
    real = task.build_grounder

    def broken(spec):
        model = real(spec)
        with torch.no_grad():
            model.class_embed.weight[0, 0] = float("nan")
        return model

    monkeypatch.setattr(task, "build_grounder", broken)
    with pytest.raises(StoppedByNonFiniteError, match="scores or boxes are not finite"):
        train(made, run(tmp_path / "a"))
    assert list((tmp_path / "a" / "captures").iterdir())


def test_gradients_are_clipped_to_the_recipes_norm(tmp_path, monkeypatch):
    """Plain descent at rate 1 moves the weights by the clipped gradient."""
    made = recipe()
    made = replace(made, rates=replace(made.rates, clip=0.5))
    prepared = prepare(made, run(tmp_path), Place(torch.device("cpu"), "none", 0, None))
    job, seen = prepared.job, []
    (optimizer,) = job.optimizers.values()

    def look(*_, **__):
        groups = optimizer.param_groups
        seen.append([p.grad.clone() for g in groups for p in g["params"] if p.grad is not None])

    monkeypatch.setattr(optimizer, "step", look)
    values = prepared.train_step(job, next(prepared.batches(0)))
    assert values["gradient_norm"] > 0.5
    norm = torch.stack([gradient.norm() for gradient in seen[0]]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-4)
