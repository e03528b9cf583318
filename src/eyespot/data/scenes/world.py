"""What a scene is: plain data, drawn from (seed, index) before any pixel is.

Everything is measured in shares of the image side, x to the right and y down, so that one scene
looks the same at every size.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Int

from eyespot.data.scenes.colour import Rgb
from eyespot.data.scenes.stream import SPLITS
from eyespot.data.scenes.vocabulary import (
    COLOURS,
    COMPOSITIONS,
    MATERIALS,
    SHAPES,
    SIZES,
    allowed_colours,
)
from eyespot.errors import unknown_name

MAX_OBJECTS = 8
DIFFICULTIES = ("easy", "medium", "hard")


@dataclass(frozen=True)
class SceneConfig:
    """Which world the scenes come from.

    Attributes:
        image_size: Side of the square image in pixels.
        min_objects: Fewest objects of a scene.
        max_objects: Most objects of a scene, 8 at most.
        difficulty: "easy" objects stand apart on calm ground; "medium" ones hide up to half of each
            other; "hard" ones up to 65 % of each other, look alike more often, on busy ground.
        split: "train", "val" and "test" draw from streams that never meet.
        composition: "a" and "b" pair two thirds of the shapes with opposite halves of the colours,
            as in CLEVR-CoGenT; "all" pairs everything.
        shapes: Shapes that occur; fewer make a smaller world.
        colours: Colours that occur.
        sizes: Sizes that occur.
        materials: Materials that occur.
    """

    image_size: int = 160
    min_objects: int = 2
    max_objects: int = 6
    difficulty: Literal["easy", "medium", "hard"] = "medium"
    split: Literal["train", "val", "test"] = "train"
    composition: Literal["all", "a", "b"] = "all"
    shapes: tuple[str, ...] = SHAPES
    colours: tuple[str, ...] = tuple(COLOURS)
    sizes: tuple[str, ...] = tuple(SIZES)
    materials: tuple[str, ...] = MATERIALS

    def __post_init__(self) -> None:
        if not 1 <= self.min_objects <= self.max_objects <= MAX_OBJECTS:
            raise ValueError(
                f"need 1 <= min_objects <= max_objects <= {MAX_OBJECTS}, "
                f"got {self.min_objects} and {self.max_objects}"
            )
        if not 16 <= self.image_size <= 2048:
            raise ValueError(f"need an image_size of 16 to 2048 pixels, got {self.image_size}")
        for name, known in (
            ("difficulty", DIFFICULTIES),
            ("split", SPLITS),
            ("composition", COMPOSITIONS),
        ):
            if getattr(self, name) not in known:
                raise ValueError(f"need {name} from {known}, got {getattr(self, name)!r}")
        self._check_words()

    def _check_words(self) -> None:
        """Refuse words this world does not know, and shapes left without a colour."""
        for name, known in (
            ("shapes", SHAPES),
            ("colours", tuple(COLOURS)),
            ("sizes", tuple(SIZES)),
            ("materials", MATERIALS),
        ):
            words = getattr(self, name)
            for word in words:
                if word not in known:
                    raise ValueError(unknown_name(name[:-1], word, known))
            if not words or len(set(words)) < len(words):
                raise ValueError(f"need {name} without repeats, at least one, got {words}")
        bare = [shape for shape in self.shapes if not self.choices("colour", shape)]
        if bare:
            raise ValueError(
                f"need a colour for every shape of composition {self.composition!r}, "
                f"got none for {bare}; allow more colours or leave these shapes out"
            )

    def choices(self, attribute: str, shape: str) -> tuple[str, ...]:
        """Return the words the given attribute of an object of that shape may have."""
        if attribute == "colour":
            allowed = allowed_colours(shape, self.composition)
            return tuple(colour for colour in self.colours if colour in allowed)
        return {"shape": self.shapes, "size": self.sizes, "material": self.materials}[attribute]


@dataclass(frozen=True)
class SceneObject:
    """One object.

    Attributes:
        shape: Its name, one of SHAPES.
        colour: Its colour's name.
        size: "small", "medium" or "large".
        material: "matte", "shiny", "striped" or "dotted".
        x: Centre of the upright silhouette's extent.
        y: Centre of the upright silhouette's extent.
        side: Longer side of the upright silhouette.
        angle_deg: Clockwise turn.
        flipped: Whether mirrored left to right before it is turned.
        rgb: Its own shade of its colour, 0 to 1.
        visible: Share of the silhouette that no nearer object hides.
        box_xyxy_px: Tight extent of the visible mask, ends not included.
    """

    shape: str
    colour: str
    size: str
    material: str
    x: float
    y: float
    side: float
    angle_deg: float
    flipped: bool
    rgb: Rgb
    visible: float = 1.0
    box_xyxy_px: tuple[int, int, int, int] = (0, 0, 0, 0)


@dataclass(frozen=True)
class Backdrop:
    """The ground behind the objects.

    Attributes:
        pattern: "plain", "cloudy", "striped" or "checked".
        first: One of its two colours.
        second: The other.
        angle_deg: Direction of the pattern.
        period: Length of one repeat, a share of the image side.
        phase: Shift of the pattern, in repeats.
        noise: Strength of the uneven light, about a tenth.
        grain: Strength of the noise of single pixels.
        light_deg: Where the light falls off to.
    """

    pattern: str
    first: Rgb
    second: Rgb
    angle_deg: float
    period: float
    phase: float
    noise: float
    grain: float
    light_deg: float


@dataclass(frozen=True)
class Scene:
    """One scene; the same (config, seed, index) gives the same scene everywhere.

    Attributes:
        config: The world it comes from.
        seed: The first half of its name.
        index: The second half.
        objects: From the farthest to the nearest; an object's id is its place here.
        backdrop: The ground.
        overlaps: For each pair that overlaps (farther id, nearer id, shared area as a share of the
            smaller silhouette); shares under a thousandth are left out.
    """

    config: SceneConfig
    seed: int
    index: int
    objects: tuple[SceneObject, ...]
    backdrop: Backdrop
    overlaps: tuple[tuple[int, int, float], ...]

    @property
    def boxes_xyxy_px(self) -> Int[np.ndarray, "n 4"]:
        """Tight boxes of the visible masks, ends not included."""
        return np.array([thing.box_xyxy_px for thing in self.objects], dtype=np.int64)
