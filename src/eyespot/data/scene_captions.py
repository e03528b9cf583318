"""The built-in world as a source of captions, expressions and questions, quick enough for one CPU.

`grounding_sources.GroundedScenes` writes what an annotation file would hold, masks included; this
source leaves them out unless asked, keeps the pictures it has drawn, mixes kinds of texts, and lets
a recipe choose every word of the world.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from eyespot.data.annotations import CaptionedImage, Region
from eyespot.data.draws import Draws
from eyespot.data.scene_samples import CONFIG_KEYS, parse_scenes
from eyespot.data.scenes import (
    Caption,
    Scene,
    SceneConfig,
    Wording,
    caption,
    make_scene,
    masks,
    questions,
    referring,
    render,
)
from eyespot.data.scenes.export import DATASET_NAME
from eyespot.ops import rle
from eyespot.ops.rle import RleMasks

_CHANGES = ("count", "val_count", "seed", "absent", "wording")
_TEXT_VIEW = 1 << 33  # the view whose draws choose the text

Split = Literal["train", "val", "test"]


@dataclass(frozen=True)
class ScenesSettings:
    """Which scenes, and how they are told.

    Attributes:
        world: Where they come from; its split is chosen by the source.
        count: Different scenes to train on.
        val_count: Scenes of each other split.
        seed: Names the world.
        referring_share: Share of texts that refer to one object; the others are captions.
        absent: Most things mentioned that are not there.
        wording: "plain" or "varied".
        questions: Kinds of questions (`scenes.QUESTION_KINDS`) that are asked, in place of all
            other texts; none for captions and expressions.
    """

    world: SceneConfig = field(default_factory=SceneConfig)
    count: int = 10_000
    val_count: int = 1_000
    seed: int = 0
    referring_share: float = 0.2
    absent: int = 0
    wording: Wording = "varied"
    questions: tuple[str, ...] = ()


def changed_scenes(settings: ScenesSettings, source: str) -> ScenesSettings:
    """Return settings with the changes that `scenes:KEY=VALUE,...` names, such as composition=b.

    Raises:
        ValueError: If a key is unknown, or says nothing here, or a value is out of range.
    """
    parsed = parse_scenes(source)
    keys = [item.partition("=")[0] for item in source.partition(":")[2].split(",") if item]
    world, changes = {}, {}
    for key in keys:
        if key in CONFIG_KEYS:
            world[CONFIG_KEYS[key]] = getattr(parsed.config, CONFIG_KEYS[key])
        elif key in _CHANGES:
            changes[key] = getattr(parsed, key)
        else:
            known = ", ".join((*CONFIG_KEYS, *_CHANGES))
            raise ValueError(f"need changes of a recipe's scenes of {known}, got {key}: {source}")
    return replace(settings, world=replace(settings.world, **world), **changes)


class SceneCaptions:
    """Scenes with a text each; the training split's texts are drawn afresh in every epoch.

    A scene in which no question of the wanted kinds can be asked is asked for its backdrop.

    Pictures are kept once drawn: 12 kB each at 64 px.

    Args:
        settings: Which scenes.
        split: "train", "val" or "test"; their scenes never meet.
        with_masks: Boxes come with their masks, and areas are the masks'.
    """

    def __init__(self, settings: ScenesSettings, split: Split, *, with_masks: bool = False) -> None:
        self.settings = settings
        self.split = split
        self.with_masks = with_masks
        self._runs: dict[int, RleMasks] = {}
        self._world = replace(settings.world, split=split)
        self._made: dict[int, tuple[Scene, UInt8[np.ndarray, "h w 3"]]] = {}

    def __len__(self) -> int:
        return self.settings.count if self.split == "train" else self.settings.val_count

    def image(self, index: int, record: CaptionedImage) -> UInt8[np.ndarray, "h w 3"]:
        """Return a scene's picture."""
        return self._scene(index)[1]

    def caption(self, index: int, epoch: int) -> CaptionedImage:
        """Return what is said about a scene in an epoch."""
        scene, _ = self._scene(index)
        settings = self.settings
        draws = Draws(settings.seed, epoch if self.split == "train" else 0, index, _TEXT_VIEW)
        number = draws.integer(1 << 31)
        if settings.questions:
            return self._ask(scene, index, number)
        if draws.coin(settings.referring_share):
            expression = referring(scene, draw=number, wording=settings.wording)
            if expression is not None:
                return self._record(scene, index, expression.caption, expression.target)
        absent = draws.integer(settings.absent + 1)
        told = caption(scene, draw=number, absent=absent, wording=settings.wording)
        return self._record(scene, index, told, None)

    def _ask(self, scene: Scene, index: int, number: int) -> CaptionedImage:
        """A question about a scene, its answer among the record's other keys."""
        wording = self.settings.wording
        asked = questions(
            scene, draw=number, count=1, wording=wording, kinds=self.settings.questions
        ) or questions(scene, draw=number, count=1, wording=wording, kinds=("backdrop",))
        (one,) = asked
        record = self._record(scene, index, Caption(one.text, one.phrases), None)
        about = {"answer": one.answer, "question_type": one.answer_type, "question_kind": one.kind}
        return replace(record, more={**record.more, **about})

    def _scene(self, index: int) -> tuple[Scene, UInt8[np.ndarray, "h w 3"]]:
        index = range(len(self))[index]
        if index not in self._made:
            scene = make_scene(self._world, self.settings.seed, index)
            self._made[index] = scene, render(scene)
        return self._made[index]

    def _masks(self, scene: Scene, index: int) -> RleMasks:
        if index not in self._runs:
            self._runs[index] = rle.encode(masks(scene))
        return self._runs[index]

    def _name(self, index: int) -> str:
        return f"scenes/{self.split}/{index}"

    def _record(
        self, scene: Scene, index: int, told: Caption, target: int | None
    ) -> CaptionedImage:
        """A scene's text as an annotation file would have it."""
        size, phrases = scene.config.image_size, told.phrases
        regions = []
        for one in sorted({one for phrase in phrases for one in phrase.object_ids}):
            area, drawn = None, {}
            if self.with_masks:
                mask = rle.take(self._masks(scene, index), np.array([one]))
                area = float(rle.area_px(mask)[0])
                drawn = {"segmentation": rle.to_coco(mask, compressed=False)[0]}
            left, top, right, bottom = map(float, scene.objects[one].box_xyxy_px)
            regions.append(
                Region(
                    (left, top, right - left, bottom - top),
                    tuple(phrase.span for phrase in phrases if one in phrase.object_ids),
                    (right - left) * (bottom - top) if area is None else area,
                    is_final=None if target is None else one == target,
                    more=drawn,
                )
            )
        more = {
            "dataset_name": DATASET_NAME,
            "tokens_negative": [list(p.span) for p in phrases if not p.object_ids],
            "tokens_positive_eval": [[list(p.span)] for p in phrases if p.object_ids],
        }
        return CaptionedImage(index, self._name(index), size, size, told.text, tuple(regions), more)
