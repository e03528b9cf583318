"""Question answering heads for a vocabulary."""

from collections.abc import Mapping, Sequence

from eyespot.models.mdetr import AnswerHead

_YES_OR_NO = ("no", "yes")


def heads_for(
    words: Mapping[str, Sequence[str]], like: Sequence[AnswerHead] = ()
) -> tuple[AnswerHead, ...]:
    """Return heads that say these words.

    Args:
        words: For each head its words in class order; "no" and "yes" make a yes or no head.
        like: Heads whose order of queries and hidden layers are taken over if they have the same
            names; else heads have the order of `words`, and no hidden layers.
    """
    known = {head.name: head for head in like}
    if known.keys() != words.keys():
        known = {name: AnswerHead(name, 0) for name in words}
    return tuple(
        head._replace(
            num_answers=1 if tuple(words[name]) == _YES_OR_NO else len(words[name]),
            words=tuple(words[name]),
        )
        for name, head in known.items()
    )
