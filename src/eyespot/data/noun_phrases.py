"""The phrase that an expression is about, found by rules: "the man" of "the man in a red hat".

The published data were made with a parser's tree: the root noun with its left modifiers. Here the
phrase ends before the first preposition, relative word, auxiliary, conjunction, participle or
comma that follows a word with meaning; without any it is the whole text.
"""

import re

from eyespot.data.captions import Span

_WORD = re.compile(r"[\w'’]+(?:-[\w'’]+)*|[,;:.?!()]")
_DETERMINERS = """
    a an the this that these those his her its their my your our some any all both each
"""
_PREPOSITIONS = """
    in on at of with without by near to from behind under underneath below beneath over above
    between next beside besides against along across around inside outside through toward towards
    for off up down into onto like as after before beyond within opposite
"""
_CONNECTING = """
    that which who whose whom where and or but while
    is are was were be being been has have had does do wears holds sits
    dressed seated covered parked located pictured shown made worn held filled
"""
_NOUNS_IN_ING = """
    building ceiling ring string king wing thing something anything painting drawing railing awning
    spring earring pudding icing lightning dressing topping clothing crossing wedding evening
    morning sling swing sibling duckling dumpling frosting piping opening landing stuffing dining
    living sleeping parking serving wrapping bedding flooring
"""
_NO_MEANING = frozenset(_DETERMINERS.split())
_ENDINGS = frozenset((_PREPOSITIONS + _CONNECTING).split())
_NOUNS = frozenset(_NOUNS_IN_ING.split())


def root_phrase(text: str) -> Span:
    """Return the characters of the phrase that a text is about.

    Whitespace and marks at its ends are left out; a text without a word gives its whole.
    """
    begin, end = None, None
    has_meaning = False
    for match in _WORD.finditer(text):
        word = match[0].lower()
        if has_meaning and _ends_phrase(word):
            break
        if not _is_word(word):
            continue
        begin = match.start() if begin is None else begin
        end = match.end()
        has_meaning = has_meaning or word not in _NO_MEANING
    if begin is None or end is None:
        return 0, len(text)
    return begin, end


def _ends_phrase(word: str) -> bool:
    if word in _ENDINGS or not _is_word(word):
        return True
    return word.endswith("ing") and len(word) > 4 and word not in _NOUNS


def _is_word(token: str) -> bool:
    return token[0].isalnum() or token[0] == "_"
