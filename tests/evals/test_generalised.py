"""gRefCOCO's scores against a count by hand and by every pairing."""

import itertools

import numpy as np
import pytest

from eyespot.evals.generalised import generalised_scores
from eyespot.evals.referring import Found


def iou(a, b):
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
    return common / (sum(areas) - common)


def exact_by_hand(boxes, wanted):
    """Whether some pairing of all boxes with all wanted ones overlaps enough everywhere."""
    return len(boxes) == len(wanted) and any(
        all(iou(a, b) >= 0.5 for a, b in zip(boxes, order, strict=True))
        for order in itertools.permutations(wanted)
    )


def test_the_three_scores_by_hand():
    cup, key = [0.0, 0, 10, 10], [20.0, 20, 40, 30]
    nothing = np.zeros((0, 4))
    truths = {
        "both": np.array([cup, key]),
        "one of two": np.array([cup, key]),
        "one too many": np.array([cup]),
        "missed": np.array([key]),
        "none, said so": nothing,
        "none, but a box": nothing,
    }
    found = {
        "both": Found(np.array([0.9, 0.1, 0.8]), np.array([key, [0.0, 0, 1, 1], cup])),
        "one of two": Found(np.array([0.9, 0.6]), np.array([cup, key])),
        "one too many": Found(np.array([0.9, 0.9]), np.array([cup, key])),
        "missed": Found(np.array([0.69]), np.array([key])),
        "none, said so": Found(np.array([0.5]), np.array([cup])),
        "none, but a box": Found(np.array([0.7]), np.array([cup])),
    }
    scores = generalised_scores(found, truths)
    assert scores == pytest.approx({"Pr@F1=1": 2 / 6, "N-acc": 1 / 2, "T-acc": 3 / 4})
    with pytest.raises(ValueError, match="need a prediction for every expression, got none for"):
        generalised_scores({}, truths)


def test_exact_finds_agree_with_every_pairing():
    rng = np.random.default_rng(0)
    truths, found, expected = {}, {}, []
    for number in range(400):
        corners = rng.uniform(0, 60, (rng.integers(0, 4), 2))
        wanted = np.concatenate([corners, corners + rng.uniform(20, 40, corners.shape)], axis=1)
        boxes = wanted + rng.uniform(-4, 4, wanted.shape)
        if rng.random() < 0.3:
            boxes = np.concatenate([boxes, rng.uniform([0, 0, 60, 60], [50, 50, 99, 99], (1, 4))])
        boxes = rng.permutation(boxes)
        scores = rng.uniform(0.6, 1, len(boxes))
        truths[number], found[number] = wanted, Found(scores, boxes)
        expected.append(exact_by_hand(boxes[scores >= 0.7].tolist(), wanted.tolist()))
    assert 0.1 < np.mean(expected) < 0.9
    assert generalised_scores(found, truths)["Pr@F1=1"] == pytest.approx(np.mean(expected))
