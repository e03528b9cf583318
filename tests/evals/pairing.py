"""Boxes on whole pixels, compared by counting pixels, and paired by trying every pairing."""

from itertools import permutations

import numpy as np


def boxes(*rows):
    return np.array(rows, float).reshape(-1, 4)


def plain_iou(a, b):
    """Of two boxes on whole pixels."""
    first, second = (
        {(x, y) for x in range(int(left), int(right)) for y in range(int(top), int(bottom))}
        for left, top, right, bottom in (a, b)
    )
    return len(first & second) / len(first | second)


def most_pairs(found, wanted):
    """How many pairs of IoU 0.5 or more the best pairing has."""
    small, large = sorted((found, wanted), key=len)
    return max(
        sum(plain_iou(a, b) >= 0.5 for a, b in zip(small, order, strict=False))
        for order in permutations(large, len(small))
    )
