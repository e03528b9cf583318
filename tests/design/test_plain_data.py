from dataclasses import dataclass, field
from typing import Literal

import pytest

from eyespot.design.plain_data import fill


@dataclass(frozen=True)
class Round:
    name: Literal["round"] = "round"
    radius: float = 1.0


@dataclass(frozen=True)
class Square:
    name: Literal["square"] = "square"
    side: float = 1.0


@dataclass(frozen=True)
class Drawing:
    shape: Round | Square = field(default_factory=Round)


def test_the_name_of_a_part_says_which_dataclass_it_is():
    assert fill(Drawing, {"shape": {"name": "square", "side": 3}}, "Drawing") == Drawing(
        Square(side=3.0)
    )
    assert fill(Drawing, {"shape": {"name": "round"}}, "Drawing") == Drawing()
    assert fill(Drawing, {"shape": Square()}, "Drawing") == Drawing(Square())


@pytest.mark.parametrize(
    ("shape", "sentence"),
    [
        ({"name": "sqare"}, "unknown shape 'sqare'. Did you mean square"),
        ({"side": 3}, "need a mapping with a name of round, square for shape"),
        (3, "need a mapping with a name of round, square for shape, got 3"),
        ({"name": "round", "side": 3}, "unknown field of shape 'side'"),
    ],
)
def test_a_part_that_is_none_of_them_is_refused(shape, sentence):
    with pytest.raises(ValueError, match=sentence):
        fill(Drawing, {"shape": shape}, "Drawing")
