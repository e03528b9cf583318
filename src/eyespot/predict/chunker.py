"""The noun phrases of a sentence, with their exact characters, found by rules.

A phrase is a determiner, numbers, adjectives and nouns in a row; it ends before a verb, a
preposition, a conjunction or the next determiner. Closed classes of words are listed, verbs are
known by a list of those that captions use and by their endings. No model, no download.
"""

import re
from typing import NamedTuple

from eyespot.ops.spans import Span
from eyespot.predict.words import (
    ADJECTIVES,
    ARTICLES,
    CLOSED,
    DETERMINERS,
    DIRECTIONS,
    MARKINGS,
    NOUNS_IN_ED,
    NOUNS_IN_ING,
    PREPOSITIONS,
    PRONOUNS,
    QUANTITIES,
    VERBS,
)

_WORD = re.compile(r"\w+(?:['’\-]\w+)*['’]?|[^\w\s]")


class _Word(NamedTuple):
    text: str  # lower case
    begin: int
    end: int

    @property
    def is_word(self) -> bool:
        return self.text[0].isalnum() or self.text[0] == "_"


def noun_phrases(text: str) -> list[Span]:
    """Return the characters [begin, end) of every noun phrase, in order; they never overlap.

    Pronouns and words of place ("the left", "the front" before "of") are no phrases, since
    they name nothing that can be boxed.
    """
    words = [_Word(m[0].lower(), m.start(), m.end()) for m in _WORD.finditer(text)]
    phrases: list[Span] = []
    at = 0
    while at < len(words):
        stop = _phrase_end(words, at)
        if stop > at:
            phrases.append((words[at].begin, _last_character(words[stop - 1])))
            at = stop + _acts(words, stop)
        else:
            at = max(at + 1, _skip_place(words, at))
    return phrases


def _phrase_end(words: list[_Word], start: int, *, counted: bool = False) -> int:
    """Return the word after the phrase that begins at `start`; `start` itself if none does.

    After "a pair of" (`counted`) a word is a noun, even if it could be a verb.
    """
    if _skip_place(words, start) > start:
        return start
    at = start
    while at < len(words) and words[at].text in DETERMINERS:
        at += 1
    determined = at > start or counted
    if determined and _text(words, at) in QUANTITIES and _text(words, at + 1) == "of":
        inner = _phrase_end(words, at + 2, counted=True)
        if inner > at + 2:
            return inner
    first = at
    while at < len(words) and _continues(words, at, first, determined=determined):
        at += 1
    at = _without_tail(words, first, at, determined=determined)
    if at == first:
        return start
    if _text(words, at) == "with" and _text(words, at + 1) in MARKINGS:
        return at + 2
    return at


def _continues(words: list[_Word], at: int, first: int, *, determined: bool) -> bool:
    """Whether the word belongs to the phrase that begins at `first`, determiners left out."""
    text, before = words[at].text, _text(words, at - 1)
    if not words[at].is_word:
        return text == "," and at > first and _joins_adjectives(words, at)
    if text == "and" or text == "or":
        return at > first and _joins_adjectives(words, at)
    if text in DIRECTIONS:
        return _is_adjective_of_place(words, at, first, determined=determined)
    if text in CLOSED or text in PRONOUNS or text in PREPOSITIONS or text in DETERMINERS:
        return False
    if at > first and _stands_after_a_noun(words, at):
        return False
    if _is_verb(words, at):
        begins = at == first
        stands_for_a_noun = before == "one" and at - 1 > first  # "a black one jumping"
        return (begins and determined) or (
            not begins and before in ADJECTIVES and not stands_for_a_noun
        )
    return True


def _stands_after_a_noun(words: list[_Word], at: int) -> bool:
    """Whether a word that looks like an adjective or noun is none: "the giraffe closest to us"."""
    text, before = words[at].text, words[at - 1].text
    if text in ADJECTIVES:
        comparing = text.endswith("est") and _text(words, at + 1) in ("to", "from")
        return comparing and before not in ADJECTIVES
    return _acts(words, at)


def _acts(words: list[_Word], at: int) -> bool:
    """Whether a word after a noun is a verb: "a chef slices a tomato", "men repair the road"."""
    text, before = _text(words, at), _text(words, at - 1)
    if _text(words, at + 1) not in ARTICLES or not words[at].is_word:
        return False
    if text in CLOSED | PREPOSITIONS | DETERMINERS | PRONOUNS | ADJECTIVES or before in ADJECTIVES:
        return False
    return ("'" not in before and "’" not in before) and (_ends_in_s(text) or _ends_in_s(before))


def _ends_in_s(word: str) -> bool:
    return word.endswith("s") and not word.endswith(("ss", "us", "is"))


def _is_verb(words: list[_Word], at: int) -> bool:
    text, after = words[at].text, _text(words, at + 1)
    if text in ADJECTIVES:
        return False
    if text.endswith("ing") and len(text) > 4:
        return text not in NOUNS_IN_ING
    if text.endswith("ed") and len(text) > 4 and text not in NOUNS_IN_ED:
        return after in PREPOSITIONS or text in VERBS
    return text in VERBS


def _joins_adjectives(words: list[_Word], at: int) -> bool:
    """Whether "and" or a comma stands between two adjectives: "a black and white dog"."""
    follows = at + 1
    if words[at].text == "," and _text(words, follows) == "and":
        follows += 1
    return (
        words[at - 1].text in ADJECTIVES
        and _text(words, follows) in ADJECTIVES
        and follows + 1 < len(words)
        and words[follows + 1].is_word
        and _text(words, follows + 1) not in CLOSED | PREPOSITIONS | PRONOUNS
    )


def _is_adjective_of_place(words: list[_Word], at: int, first: int, *, determined: bool) -> bool:
    """Whether "left" is part of "the left cup" or "the farthest left cup", not of "left of"."""
    after = _text(words, at + 1)
    if after in ("", "of", "side", "and", "or", "corner", "edge") or after in CLOSED:
        return False
    opens = at == first and (determined or at == 0)  # "left zebra"
    follows = at > first and _text(words, at - 1) in ADJECTIVES | DIRECTIONS
    after_is_content = words[at + 1].is_word and after not in PREPOSITIONS | DETERMINERS | PRONOUNS
    return (opens or follows) and after_is_content


def _without_tail(words: list[_Word], first: int, stop: int, *, determined: bool) -> int:
    """Take words off the end that cannot end a phrase: adjectives alone stand for "things"."""
    while stop > first and words[stop - 1].text in (",", "and", "or"):
        stop -= 1
    named = any(words[i].text not in ADJECTIVES for i in range(first, stop))
    return stop if named or determined else first


def _skip_place(words: list[_Word], at: int) -> int:
    """Return the word after "the left of", "the top right corner of", "front of"; else `at`."""
    stop = at
    while _text(words, stop) in DETERMINERS:
        stop += 1
    if _text(words, stop) == "far" and _text(words, stop + 1) in DIRECTIONS:
        stop += 1
    places = stop
    while _text(words, stop) in DIRECTIONS:
        stop += 1
    if stop == places:
        return at
    if _text(words, stop) in ("side", "corner", "edge", "half", "part", "end", "hand"):
        stop += 1
        if _text(words, stop) == "side":
            stop += 1
    elif (
        stop < len(words)
        and words[stop].is_word
        and _text(words, stop) not in (CLOSED | PREPOSITIONS | DETERMINERS | PRONOUNS)
    ):
        return at
    return stop


def _text(words: list[_Word], at: int) -> str:
    return words[at].text if 0 <= at < len(words) else ""


def _last_character(word: _Word) -> int:
    """The end of a word without a closing quotation mark."""
    return word.end - (word.text[-1] in "'’" and not word.text.endswith(("s'", "s’")))
