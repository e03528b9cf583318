"""The names of shapes, colours, sizes and materials, and which may go together."""

FIGURES = (
    "circle",
    "square",
    "triangle",
    "hexagon",
    "star",
    "cross",
    "ring",
    "heart",
    "crescent",
)
KINDS = {
    "shape": FIGURES,
    "household item": ("cup", "bottle", "key", "umbrella"),
    "building": ("house",),
    "plant": ("tree", "flower"),
    "food": ("mushroom", "apple"),
    "animal": ("fish", "bird", "butterfly"),
    "vehicle": ("car", "boat", "rocket"),
}
"""The kinds of shape, and the shapes of each."""

SHAPES = tuple(shape for shapes in KINDS.values() for shape in shapes)
KIND_OF = {shape: kind for kind, shapes in KINDS.items() for shape in shapes}

COLOURS = {
    "red": (0.59, 0.205, 26.0),
    "orange": (0.74, 0.165, 58.0),
    "yellow": (0.88, 0.165, 96.0),
    "green": (0.63, 0.160, 145.0),
    "cyan": (0.78, 0.115, 203.0),
    "blue": (0.54, 0.185, 261.0),
    "purple": (0.50, 0.185, 303.0),
    "pink": (0.77, 0.135, 355.0),
    "brown": (0.44, 0.080, 53.0),
    "black": (0.27, 0.010, 280.0),
    "white": (0.965, 0.006, 90.0),
}
"""Lightness, chroma and hue in degrees (OKLCH) of the middle of each colour."""

COLOUR_SPREAD = (0.025, 0.06, 5.0)
"""How far either way an object's colour may lie: lightness, share of the chroma, hue in degrees."""

SIZES = {"small": (0.160, 0.185), "medium": (0.240, 0.275), "large": (0.350, 0.400)}
"""The longer side of an upright object, as a share of the image side; each 1.27 times the last."""

MATERIALS = ("matte", "shiny", "striped", "dotted")

ATTRIBUTES = ("shape", "colour", "size", "material")

COMPOSITIONS = ("all", "a", "b")
_FIRST = ("red", "yellow", "cyan", "purple", "black")
_SECOND = ("orange", "green", "blue", "pink", "brown")
"""White goes with everything."""


def allowed_colours(shape: str, composition: str) -> tuple[str, ...]:
    """Return the colours a shape may have.

    As in CLEVR-CoGenT, of every three shapes one takes the first half of the colours in "a" and the
    second half in "b", one the other way round, and one takes any. White goes with every shape.
    """
    group = SHAPES.index(shape) % 3
    if composition == "all" or group == 2:
        return tuple(COLOURS)
    first = (composition == "a") == (group == 0)
    return (*(_FIRST if first else _SECOND), "white")
