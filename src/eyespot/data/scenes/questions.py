"""Questions about a scene, with the program that answers them.

The answer is drawn before the question wherever it can be, so that the words of a question say
little about its answer.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from eyespot.data.scenes import asking_ones as ones
from eyespot.data.scenes import asking_sets as sets
from eyespot.data.scenes.backdrop import PATTERNS
from eyespot.data.scenes.drafts import Draft
from eyespot.data.scenes.grammar import Wording, Words
from eyespot.data.scenes.programs import Program, run_program
from eyespot.data.scenes.relations import RELATIONS
from eyespot.data.scenes.stream import Stream
from eyespot.data.scenes.text import Phrase
from eyespot.data.scenes.vocabulary import COLOURS, KINDS, MATERIALS, SHAPES, SIZES
from eyespot.data.scenes.world import MAX_OBJECTS, Scene
from eyespot.errors import unknown_name

ANSWERS = {
    "binary": ("no", "yes"),
    "count": tuple(str(number) for number in range(MAX_OBJECTS + 1)),
    "attr": (*SIZES, *COLOURS, *MATERIALS),
    "obj": SHAPES,
    "cat": tuple(KINDS),
    "rel": RELATIONS,
    "global": PATTERNS,
}
"""Every answer of each answer type: CLEVR's yes or no, counts and attributes, and GQA's others."""

_ASKERS = {
    "exist": (sets.exist, "binary"),
    "exist_two": (sets.exist_two, "binary"),
    "exist_related": (sets.exist_related, "binary"),
    "count": (sets.count, "count"),
    "count_related": (sets.count_related, "count"),
    "count_same": (sets.count_same, "count"),
    "compare_counts": (sets.compare_counts, "binary"),
    "compare_attributes": (ones.compare, "binary"),
    "query_colour": (ones.query("colour"), "attr"),
    "query_size": (ones.query("size"), "attr"),
    "query_material": (ones.query("material"), "attr"),
    "query_shape": (ones.query("shape"), "obj"),
    "query_kind": (ones.query("kind"), "cat"),
    "stands": (ones.stands, "binary"),
    "which_way": (ones.which_way, "rel"),
    "backdrop": (ones.backdrop, "global"),
}
QUESTION_KINDS = tuple(_ASKERS)


@dataclass(frozen=True)
class Question:
    """A question and its answer.

    Attributes:
        text: The question.
        phrases: Its phrases and the objects they mean.
        program: The steps that answer it.
        answer: One of `ANSWERS[answer_type]`.
        answer_type: "binary", "count", "attr", "obj", "cat", "rel" or "global".
        kind: What is asked, one of `QUESTION_KINDS`.
    """

    text: str
    phrases: tuple[Phrase, ...]
    program: Program
    answer: str
    answer_type: str
    kind: str


def questions(
    scene: Scene,
    *,
    draw: int = 0,
    count: int = 5,
    wording: Wording = "varied",
    kinds: Sequence[str] = QUESTION_KINDS,
) -> tuple[Question, ...]:
    """Return questions of different kinds about the scene.

    Args:
        scene: The scene.
        draw: Number of the set; the same number gives the same questions.
        count: How many at most; fewer when the scene does not allow as many kinds.
        wording: "plain" always takes the first word for a thing, "varied" any.
        kinds: What may be asked, of `QUESTION_KINDS`.

    Raises:
        ValueError: If a kind is unknown.
    """
    for kind in kinds:
        if kind not in _ASKERS:
            raise ValueError(unknown_name("kind of question", kind, QUESTION_KINDS))
    stream = Stream("question", scene.config.split, scene.seed, scene.index, draw)
    words = Words(stream, wording)
    found: list[Question] = []
    for kind in stream.shuffled(kinds):
        if len(found) == count:
            break
        ask, answer_type = _ASKERS[kind]
        draft = Draft(scene, stream, words)
        if ask(draft):
            text, program = draft.writer.finish("?"), tuple(draft.steps)
            answer = run_program(program, scene)
            found.append(Question(text.text, text.phrases, program, answer, answer_type, kind))
    return tuple(found)
