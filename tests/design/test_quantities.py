"""Counts as people write them."""

import pytest

from eyespot.design.quantities import parse_count, short


@pytest.mark.parametrize(
    ("text", "value"),
    [("4G", 4e9), ("1.6GF", 1.6e9), ("50M", 5e7), ("12k", 12e3), ("2B", 2e9), ("1T", 1e12),
     ("4e9", 4e9), (" 7 ", 7.0), (4e9, 4e9), (15, 15.0), (".5g", 5e8)],
)  # fmt: skip
def test_reads(text, value):
    assert parse_count(text, "flops") == value


@pytest.mark.parametrize("text", ["", "G", "4X", "-4G", "0", "4 5", "nan", float("nan"), 0, -1.0])
def test_refuses_with_the_text(text):
    with pytest.raises(ValueError, match="need flops as a positive number"):
        parse_count(text, "flops")


def test_writes():
    values = [4.05e9, 28.1e6, 999_823_858, 999_400_000, 1.863e12, 12, 1.5]
    assert [short(value) for value in values] == [
        "4.05G", "28.1M", "1G", "999M", "1.86T", "12", "1.5",
    ]  # fmt: skip
