"""Numbers as people write them: 4G, 50M, 1.6GF."""

import re

_SUFFIX = {"": 1.0, "k": 1e3, "m": 1e6, "g": 1e9, "b": 1e9, "t": 1e12}
_NUMBER = re.compile(r"([0-9]*\.?[0-9]+(?:e[+-]?[0-9]+)?)\s*([kmgbt]?)f?", re.IGNORECASE)


def parse_count(text: str | float, what: str) -> float:
    """Read a positive count: a number, or text such as "4G", "1.6GF", "50M" or "4e9".

    Args:
        text: The number with an optional k, M, G (or B) or T.
        what: What is counted, for the message.

    Raises:
        ValueError: If it is no positive number.
    """
    if isinstance(text, int | float):
        text = repr(text)
    match = _NUMBER.fullmatch(text.strip())
    value = float(match[1]) * _SUFFIX[match[2].lower()] if match else 0.0
    if value <= 0:
        raise ValueError(f'need {what} as a positive number such as "4G" or "50M", got {text!r}')
    return value


def short(value: float) -> str:
    """Write a count with three digits and its suffix: 4.05G, 28.1M."""
    for size, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= 0.9995 * size:
            return f"{value / size:.3g}{suffix}"
    return f"{value:.3g}"
