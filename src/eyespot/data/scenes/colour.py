"""Colours of objects and their tones; red, green and blue run from 0 to 1."""

import math

from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.vocabulary import COLOUR_SPREAD, COLOURS

Rgb = tuple[float, float, float]


def oklch_to_rgb(lightness: float, chroma: float, hue_deg: float) -> Rgb:
    """Return the sRGB colour of an OKLCH colour, cut to what a screen can show.

    OKLab is Bjorn Ottosson's colour space (2020): equal steps look about equally far apart.
    """
    a = chroma * math.cos(math.radians(hue_deg))
    b = chroma * math.sin(math.radians(hue_deg))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        _encode(4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short),
        _encode(-1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short),
        _encode(-0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short),
    )


def _encode(linear: float) -> float:
    """The sRGB transfer curve."""
    linear = min(max(linear, 0.0), 1.0)
    return 12.92 * linear if linear <= 0.0031308 else 1.055 * linear ** (1 / 2.4) - 0.055


def draw_colour(stream: Stream, colour: str) -> Rgb:
    """Return one shade of the named colour, within its spread."""
    lightness, chroma, hue_deg = COLOURS[colour]
    by_lightness, by_chroma, by_hue = COLOUR_SPREAD
    return oklch_to_rgb(
        lightness + stream.between(-by_lightness, by_lightness),
        chroma * (1 + stream.between(-by_chroma, by_chroma)),
        hue_deg + stream.between(-by_hue, by_hue),
    )


def paint_over(rgb: Rgb, tone: str) -> tuple[Rgb, float]:
    """Return what a detail or a pattern is painted with on an object, and how thickly, 0 to 1.

    Args:
        rgb: The object's colour.
        tone: "shade" and "tint" make what is below darker and lighter (on black, shade is lighter);
            "ink" and "paper" are near black and near white; "pattern" is for stripes and dots.
    """
    dark, bright = max(rgb) < 0.35, min(rgb) > 0.8
    white, black = (0.98, 0.97, 0.94), (0.13, 0.13, 0.17)
    match tone:
        case "shade":
            return (white, 0.16) if dark else (black, 0.12 if bright else 0.26)
        case "tint":
            return (black, 0.04) if bright else (white, 0.12 if dark else 0.26)
        case "ink":
            return ((0.56, 0.56, 0.58), 1.0) if dark else (black, 1.0)
        case "paper":
            return ((0.7, 0.71, 0.74), 1.0) if bright else (white, 1.0)
        case "pattern":
            return (black, 0.4) if bright else (white, 0.85)
    raise ValueError(f"need shade, tint, ink, paper or pattern as a tone, got {tone!r}")
