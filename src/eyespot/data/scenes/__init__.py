"""The built-in world: endless scenes with boxes, masks, captions, questions and labels.

Everything is a function of (config, seed, index); nothing is downloaded and nothing is stored.

    config = SceneConfig(image_size=160, split="train")
    scene = make_scene(config, seed=0, index=17)
    image, boxes = render(scene), scene.boxes_xyxy_px
    text = caption(scene)
"""

from eyespot.data.scenes.captions import caption
from eyespot.data.scenes.export import write_classes, write_grounding
from eyespot.data.scenes.grammar import Wording
from eyespot.data.scenes.labels import By, Labelled, class_names, classify
from eyespot.data.scenes.layout import make_scene
from eyespot.data.scenes.looks import Look, Reference
from eyespot.data.scenes.paint import render
from eyespot.data.scenes.programs import Program, Step, run_program
from eyespot.data.scenes.questions import ANSWERS, QUESTION_KINDS, Question, questions
from eyespot.data.scenes.referring import Expression, referring
from eyespot.data.scenes.relations import RELATIONS, SUPERLATIVES, relation
from eyespot.data.scenes.silhouettes import masks
from eyespot.data.scenes.text import Caption, Phrase
from eyespot.data.scenes.vocabulary import COLOURS, KINDS, MATERIALS, SHAPES, SIZES
from eyespot.data.scenes.world import Backdrop, Scene, SceneConfig, SceneObject

__all__ = [
    "ANSWERS",
    "COLOURS",
    "KINDS",
    "MATERIALS",
    "QUESTION_KINDS",
    "RELATIONS",
    "SHAPES",
    "SIZES",
    "SUPERLATIVES",
    "Backdrop",
    "By",
    "Caption",
    "Expression",
    "Labelled",
    "Look",
    "Phrase",
    "Program",
    "Question",
    "Reference",
    "Scene",
    "SceneConfig",
    "SceneObject",
    "Step",
    "Wording",
    "caption",
    "class_names",
    "classify",
    "make_scene",
    "masks",
    "questions",
    "referring",
    "relation",
    "render",
    "run_program",
    "write_classes",
    "write_grounding",
]
