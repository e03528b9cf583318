"""The rendered world as a labelled data set, named by a string: `scenes:size=96,count=5000`."""

from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from eyespot.data.samples import Sample
from eyespot.data.scenes import By, SceneConfig, Wording, class_names, classify, render
from eyespot.errors import unknown_name

CONFIG_KEYS = {
    "size": "image_size",
    "min_objects": "min_objects",
    "max_objects": "max_objects",
    "difficulty": "difficulty",
    "composition": "composition",
    "shapes": "shapes",
    "colours": "colours",
    "sizes": "sizes",
    "materials": "materials",
}
_WORDS = ("difficulty", "composition", "by", "text", "wording")
_LISTS = ("shapes", "colours", "sizes", "materials")

Text = Literal["caption", "referring", "question"]


@dataclass(frozen=True)
class SceneSource:
    """What a `scenes` string says.

    Args:
        config: The world; its split is set by `SceneSamples`.
        count: Scenes of the training split.
        val_count: Scenes of each other split.
        seed: Names the world.
        by: What makes a class: "shape", "colour" or "shape_colour"; read by `SceneSamples`.
        text: What is said about a scene; read by `grounding_sources.GroundedScenes`.
        absent: Things that are not there in each caption.
        wording: "plain" or "varied".
    """

    config: SceneConfig
    count: int = 10_000
    val_count: int = 1_000
    seed: int = 0
    by: By = "shape"
    text: Text = "caption"
    absent: int = 0
    wording: Wording = "varied"

    def split(self, name: str) -> tuple[SceneConfig, int]:
        """Return the world and the number of scenes of "train", "val" or "test"."""
        count = self.count if name == "train" else self.val_count
        return replace(self.config, split=name), count  # type: ignore[arg-type]  # it is checked


def parse_scenes(source: str) -> SceneSource:
    """Read `scenes` or `scenes:KEY=VALUE,...`.

    Keys: size (of the image in pixels), count, val_count, seed, by, text, absent, wording,
    min_objects, max_objects, difficulty, composition, and shapes, colours, sizes, materials as
    words joined by plus signs, `shapes=star+cup`; `SceneConfig` and `SceneSource` explain them.

    Raises:
        ValueError: If a key is unknown or a value out of range.
    """
    known = (*CONFIG_KEYS, *(one.name for one in fields(SceneSource) if one.name != "config"))
    settings: dict[str, Any] = {}
    _, _, listed = source.partition(":")
    for item in filter(None, listed.split(",")):
        key, _, value = item.partition("=")
        if key not in known:
            raise ValueError(unknown_name("key of scenes:KEY=VALUE,...", key, known))
        if key in _LISTS:
            settings[key] = tuple(value.split("+"))
        elif key in _WORDS:
            settings[key] = value
        elif value.isdecimal():
            settings[key] = int(value)
        else:
            raise ValueError(f"need a whole number of 0 or more for {key}, got {value!r}: {source}")
    for key, words in (("by", By), ("text", Text), ("wording", Wording)):
        if key in settings and settings[key] not in get_args(words):
            raise ValueError(
                f"need {key} from {', '.join(get_args(words))}, got {settings[key]!r}: {source}"
            )
    config = SceneConfig(
        **{CONFIG_KEYS[key]: settings.pop(key) for key in CONFIG_KEYS if key in settings}
    )
    scenes = SceneSource(config, **settings)
    if min(scenes.count, scenes.val_count) < 1:
        raise ValueError(f"need at least one scene in each split, got {source}")
    return scenes


class SceneSamples:
    """Rendered scenes with the class of their largest object as label.

    Splits draw from streams that never meet. Pixels are made on access.

    Args:
        source: What to render.
        split: "train", "val" or "test".

    Attributes:
        classes: Names of the classes, by label.
    """

    def __init__(self, source: SceneSource, split: str) -> None:
        self.source = source
        self.split = split
        self._config, self._count = source.split(split)
        self.classes = class_names(self._config, source.by)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Sample:
        index = range(len(self))[index]
        labelled = classify(self._config, self.source.seed, index, by=self.source.by)
        name = f"scenes/{self.split}/{index}"
        return Sample(render(labelled.scene), labelled.label, name)
