"""The plateau rule against a plain loop over whole lists of losses."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eyespot.optim.plateau import Plateau


def by_hand(losses, window, drop):
    factor, means = 1.0, []
    for first in range(0, len(losses) - window + 1, window):
        mean = sum(losses[first : first + window]) / window
        if means and mean >= min(means):
            factor *= drop
        means.append(mean)
    return factor


LOSSES = st.lists(st.integers(0, 40).map(lambda n: n / 8), max_size=60)  # whose sums are exact


@given(losses=LOSSES, window=st.integers(1, 7), drop=st.sampled_from([0.5, 0.1]))
def test_the_factor_falls_after_every_window_that_is_not_lower(losses, window, drop):
    plateau = Plateau(window, drop)
    for loss in losses:
        plateau.add_(torch.tensor(loss))
    assert plateau.factor.item() == pytest.approx(by_hand(losses, window, drop), rel=1e-12)


@given(losses=LOSSES, cut=st.integers(0, 60))
def test_its_state_is_all_it_needs(losses, cut):
    whole, first, second = Plateau(4), Plateau(4), Plateau(4)
    for loss in losses:
        whole.add_(torch.tensor(loss))
    for loss in losses[:cut]:
        first.add_(torch.tensor(loss))
    second.load_state_dict(first.state_dict())
    for loss in losses[cut:]:
        second.add_(torch.tensor(loss))
    for name, value in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], value), name


def test_a_loss_that_overflowed_is_left_out():
    plateau = Plateau(2)
    for loss in (2.0, 2.0, 1.0, float("inf"), float("nan"), 1.5):
        plateau.add_(torch.tensor(loss))
    assert (plateau.factor.item(), plateau.lowest.item()) == (1.0, 1.25)


def test_numbers_out_of_range_are_refused():
    with pytest.raises(ValueError, match="got 0 and 0.5"):
        Plateau(0)
    with pytest.raises(ValueError, match="between 0 and 1, got 3 and 1"):
        Plateau(3, 1.0)
