"""Text with phrases that know where they stand and which objects they mean."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Phrase:
    """A piece of a text.

    Attributes:
        text: The piece itself.
        span: Its first character in the text, and the one after its last.
        object_ids: The objects it means, ascending; none when it names what is not there.
    """

    text: str
    span: tuple[int, int]
    object_ids: tuple[int, ...]


@dataclass(frozen=True)
class Caption:
    """A text and its phrases, in the order they stand in it."""

    text: str
    phrases: tuple[Phrase, ...]


class Writer:
    """Builds a text from left to right and keeps the spans.

    Args:
        sentences: Whether to begin sentences with a capital letter and end the text with a mark.
    """

    def __init__(self, *, sentences: bool) -> None:
        self._text = ""
        self._marks: list[tuple[int, int, tuple[int, ...]]] = []
        self._sentences = sentences

    @property
    def stop(self) -> str:
        """What stands between two statements."""
        return ". " if self._sentences else "; "

    def say(self, text: str) -> None:
        """Add words that mean no object."""
        begins = self._sentences and (not self._text or self._text.endswith(". "))
        self._text += text[:1].upper() + text[1:] if begins else text

    def name(self, text: str, object_ids: frozenset[int]) -> None:
        """Add a phrase."""
        start = len(self._text)
        self.say(text)
        self._marks.append((start, len(self._text), tuple(sorted(object_ids))))

    def finish(self, mark: str = ".") -> Caption:
        """Return the text and its phrases."""
        text = self._text + (mark if self._sentences else "")
        return Caption(
            text,
            tuple(Phrase(text[start:stop], (start, stop), ids) for start, stop, ids in self._marks),
        )
