"""The scores of generalised expressions, against F1 by the best of all pairings, and by hand."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from eyespot.evals.grec import grec_scores
from eyespot.evals.referring import Found
from tests.evals.pairing import boxes, most_pairs

NONE = np.zeros((0, 4))


def best_f1(predicted, wanted):
    total = len(predicted) + len(wanted)
    return 2 * most_pairs(predicted, wanted) / total if total else 1.0


@st.composite
def expressions(draw):
    """Boxes on a grid, wide apart from each other, and predictions that are near some of them."""
    cells = draw(st.lists(st.integers(0, 5), unique=True, max_size=4))
    wanted = boxes(*([20 * cell, 0, 20 * cell + 8, 8] for cell in cells))
    near = st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))
    places = draw(st.lists(near, max_size=5))
    found = boxes(*([20 * c + x, y, 20 * c + x + 8, y + 8] for c, x, y in places))
    scores = draw(st.lists(st.sampled_from([0.2, 0.69, 0.7, 0.9]), min_size=5, max_size=5))
    return Found(np.array(scores[: len(found)]), found), wanted


@given(st.lists(expressions(), min_size=1, max_size=4))
def test_scores_are_those_of_every_pairing_tried(drawn):
    kept = [(found.boxes_xyxy_px[found.scores >= 0.7], wanted) for found, wanted in drawn]
    expected = {"Pr@F1=1": np.mean([best_f1(found, wanted) == 1 for found, wanted in kept])}
    quiet = [not len(found) for found, wanted in kept if not len(wanted)]
    spoken = [len(found) > 0 for found, wanted in kept if len(wanted)]
    expected |= {"N-acc": np.mean(quiet)} if quiet else {}
    expected |= {"T-acc": np.mean(spoken)} if spoken else {}
    predictions, truths = (dict(enumerate(side)) for side in zip(*drawn, strict=True))
    assert grec_scores(predictions, truths) == pytest.approx(expected)


def test_a_set_is_right_only_as_a_whole():
    two = boxes([0, 0, 8, 8], [20, 0, 28, 8])
    cases = {
        "all": (two, two),
        "one is missing": (two[:1], two),
        "one too many": (two, two[:1]),
        "twice the same": (two[[0, 0]], two),
        "nothing there and nothing said": (NONE, NONE),
        "nothing there": (two[:1], NONE),
        "nothing said": (NONE, two),
    }
    found = {name: Found(np.ones(len(said)), said) for name, (said, _) in cases.items()}
    wanted = {name: truth for name, (_, truth) in cases.items()}
    assert grec_scores(found, wanted) == pytest.approx(
        {"Pr@F1=1": 2 / 7, "N-acc": 1 / 2, "T-acc": 4 / 5}
    )
    assert "N-acc" not in grec_scores(found, {"all": two})


def test_the_nearest_two_are_paired_first_as_published():
    """Which leaves two others that do not overlap enough, though another pairing has none."""
    wanted = boxes([0, 0, 8, 8], [0, 0, 8, 6])
    found = boxes([0, 0, 8, 10], [0, 0, 8, 7])
    # IoU with the first 8/10 and 7/8, with the second 6/10 and 6/7: 7/8, then 6/10
    assert grec_scores({0: Found(np.ones(2), found)}, {0: wanted})["Pr@F1=1"] == 1
    strict = grec_scores({0: Found(np.ones(2), found)}, {0: wanted}, least_overlap=0.7)
    assert strict["Pr@F1=1"] == 0  # though 8/10 and 6/7 would do
    assert best_f1(found, wanted) == 1


def test_the_published_evaluator_compares_generalised_iou():
    """Shifted by 1.8 and 1.6 of 10 px: IoU 0.525, GIoU 0.483."""
    found = {0: Found(np.ones(1), boxes([1.8, 1.6, 11.8, 11.6]))}
    wanted = {0: boxes([0, 0, 10, 10])}
    assert grec_scores(found, wanted)["Pr@F1=1"] == 1
    assert grec_scores(found, wanted, criterion="giou")["Pr@F1=1"] == 0


def test_a_missing_prediction_is_named():
    with pytest.raises(ValueError, match="got none for 'it'"):
        grec_scores({}, {"it": NONE})
