"""The curve over scores, against every threshold counted by hand and every pairing tried."""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given

from eyespot.evals.score_curve import MIN_SCORES, PhraseBoxes, score_curve
from tests.evals.pairing import boxes, most_pairs


@st.composite
def phrases(draw):
    """Boxes on a grid, wide apart from each other, and boxes that are near some of them."""
    cells = draw(st.lists(st.integers(0, 4), unique=True, max_size=3))
    wanted = boxes(*([20 * cell, 0, 20 * cell + 8, 8] for cell in cells))
    near = st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2))
    places = draw(st.lists(near, max_size=4))
    found = boxes(*([20 * c + x, y, 20 * c + x + 8, y + 8] for c, x, y in places))
    scores = draw(st.lists(st.sampled_from([0.001, 0.3, 0.4, 0.7, 1]), min_size=4, max_size=4))
    return PhraseBoxes(np.array(scores[: len(found)], float), found, wanted)


@given(st.lists(phrases(), min_size=1, max_size=4))
def test_every_point_is_what_counting_gives(drawn):
    assume(any(len(p.truths_xyxy_px) for p in drawn))
    curve = score_curve(drawn)
    assert len(curve.min_scores) <= 200
    for place in (0, 59, 60, 100, 139, 140, 198):
        least = curve.min_scores[place]
        shown = [p.boxes_xyxy_px[p.scores >= least] for p in drawn]
        pairs = sum(most_pairs(s, p.truths_xyxy_px) for s, p in zip(shown, drawn, strict=True))
        count, wanted = (sum(map(len, x)) for x in (shown, [p.truths_xyxy_px for p in drawn]))
        assert curve.recall[place] == pytest.approx(pairs / wanted)
        assert curve.precision[place] == pytest.approx(pairs / count if count else 1)
        mean = (1 / curve.recall[place] + 1 / curve.precision[place]) / 2 if pairs else np.inf
        assert curve.f1[place] == pytest.approx(1 / mean)
        quiet = [not len(s) for s, p in zip(shown, drawn, strict=True) if not len(p.truths_xyxy_px)]
        if quiet:
            assert curve.absent_not_found[place] == pytest.approx(np.mean(quiet))
        else:
            assert curve.absent_not_found is None
    assert curve.f1[curve.best()] == max(curve.f1)


def test_the_best_threshold_is_the_middle_of_those_that_are_equally_good():
    """Right at 0.8, wrong at 0.4, so from above 0.4 to 0.8: 0.405, 0.41, ..., 0.8."""
    here, elsewhere = [0, 0, 8, 8], [20, 0, 28, 8]
    phrase = PhraseBoxes(np.array([0.4, 0.8]), boxes(elsewhere, here), boxes(here))
    curve = score_curve([phrase])
    assert MIN_SCORES[curve.best()] == pytest.approx(0.605)
    assert curve.f1[curve.best()] == 1


def test_each_box_takes_the_nearest_that_is_free():
    """The better one is nearest to the first truth, the other has IoU 6/8 with the second."""
    phrase = PhraseBoxes(
        np.array([0.6, 0.9]), boxes([0, 0, 8, 8], [0, 0, 8, 9]), boxes([0, 0, 8, 10], [0, 0, 8, 6])
    )
    curve = score_curve([phrase])
    assert curve.recall[100] == 1
    assert curve.recall[150] == 1 / 2
    twice = phrase._replace(truths_xyxy_px=phrase.truths_xyxy_px[:1])
    assert score_curve([twice]).precision[100] == 1 / 2


def test_phrases_without_any_box_are_refused():
    absent = PhraseBoxes(np.array([0.5]), boxes([0, 0, 8, 8]), boxes())
    with pytest.raises(ValueError, match="got none in 1 phrases"):
        score_curve([absent])
