"""Captions to token numbers, with the exact characters of every token.

Three kinds of vocabulary are read: a `tokenizer.json`, the byte-level `vocab.json` + `merges.txt`
of RoBERTa, and the `vocab.txt` of BERT. A small one of our own is part of the package.

Shapes: B captions, K tokens.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

import tokenizers
import torch
from jaxtyping import Bool, Int
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from eyespot.ops.spans import Span

_ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
_BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
_PADS = ("<pad>", "[PAD]")


class EncodedCaption(NamedTuple):
    """The tokens of one caption.

    Attributes:
        ids: Numbers, the begin and end tokens included.
        offsets: Characters [begin, end) of each; begin = end for tokens without characters.
        dropped: Phrases that did not fit, wholly or in part.
    """

    ids: list[int]
    offsets: list[Span]
    dropped: tuple[Span, ...]


class TokenBatch(NamedTuple):
    """Captions as a padded batch.

    Attributes:
        ids: Padded numbers.
        pad_mask: True on padding.
        offsets: Characters of each token, for each caption, without padding.
    """

    ids: Int[Tensor, "b k"]
    pad_mask: Bool[Tensor, "b k"]
    offsets: list[list[Span]]


class Tokenizer:
    """Splits captions into tokens that know their characters.

    Args:
        definition: Content of a `tokenizer.json`.
        max_tokens: Longest caption in tokens, the begin and end tokens included.

    Raises:
        ValueError: If it is no definition, or has no padding token.
    """

    def __init__(self, definition: str, *, max_tokens: int) -> None:
        try:
            self._tokenizer = tokenizers.Tokenizer.from_str(definition)
        except Exception as error:  # noqa: BLE001  # the library raises nothing finer
            raise ValueError(f"need the content of a tokenizer.json, got: {error}") from None
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.max_tokens = max_tokens
        numbers = [self._tokenizer.token_to_id(name) for name in _PADS]
        known = [number for number in numbers if number is not None]
        if not known:
            raise ValueError(f"need a padding token named {' or '.join(_PADS)}, got neither")
        self.pad_id: int = known[0]

    @property
    def vocab_size(self) -> int:
        """Number of tokens, special ones included."""
        return int(self._tokenizer.get_vocab_size())

    def definition(self) -> str:
        """Return the content of a `tokenizer.json` that makes this tokenizer again."""
        return str(self._tokenizer.to_str())

    def encode(self, caption: str, phrases: Iterable[Span] = ()) -> EncodedCaption:
        """Return a caption's tokens; what is beyond `max_tokens` is left out and its phrases named.

        Args:
            caption: Any text.
            phrases: Characters [begin, end) that matter to the caller.
        """
        encoded = self._tokenizer.encode(caption)
        ids = list(encoded.ids)
        special = encoded.special_tokens_mask
        offsets = [
            (end, end) if mark else _trimmed(caption, begin, end)
            for (begin, end), mark in zip(encoded.offsets, special, strict=True)
        ]
        if len(ids) <= self.max_tokens:
            return EncodedCaption(ids, offsets, ())
        tail = next(n for n, mark in enumerate(reversed(special)) if not mark)
        keep = self.max_tokens - tail
        reach = max((end for _, end in offsets[:keep]), default=0)
        ids = ids[:keep] + ids[len(ids) - tail :]
        offsets = offsets[:keep] + [(reach, reach)] * tail
        return EncodedCaption(ids, offsets, tuple(p for p in phrases if p[1] > reach))

    def fits(self, caption: str) -> bool:
        """Say whether a caption has at most `max_tokens` tokens."""
        return len(self._tokenizer.encode(caption).ids) <= self.max_tokens

    def pad(self, captions: Sequence[EncodedCaption]) -> TokenBatch:
        """Batch encoded captions, padded to the longest.

        Raises:
            ValueError: If there is none.
        """
        if not captions:
            raise ValueError("need at least one caption to batch, got none")
        longest = max(len(caption.ids) for caption in captions)
        ids = torch.full((len(captions), longest), self.pad_id)
        pad_mask = torch.ones(len(captions), longest, dtype=torch.bool)
        for row, mask, caption in zip(ids, pad_mask, captions, strict=True):
            row[: len(caption.ids)] = torch.tensor(caption.ids)
            mask[: len(caption.ids)] = False
        return TokenBatch(ids, pad_mask, [caption.offsets for caption in captions])


def read_tokenizer(path: Path, *, max_tokens: int) -> Tokenizer:
    """Read a vocabulary: a `tokenizer.json`, a BERT `vocab.txt`, or a folder with one.

    A folder may instead hold RoBERTa's `vocab.json` and `merges.txt`.

    Args:
        path: The file or folder.
        max_tokens: As in `Tokenizer`.

    Raises:
        ValueError: If it is none of these.
        OSError: If a file cannot be read.
    """
    if path.is_dir():
        for name in ("tokenizer.json", "vocab.json", "vocab.txt"):
            if (path / name).is_file():
                return read_tokenizer(path / name, max_tokens=max_tokens)
        raise ValueError(
            f"need tokenizer.json, vocab.json with merges.txt, or vocab.txt in {path}, got none"
        )
    if path.suffix == ".txt":
        words = path.read_text(encoding="utf-8").splitlines()
        return Tokenizer(word_piece(words).to_str(), max_tokens=max_tokens)
    text = path.read_text(encoding="utf-8")
    try:
        content: Any = json.loads(text)
    except ValueError as error:
        raise ValueError(f"need a vocabulary of JSON, got {path}: {error}") from None
    if isinstance(content, dict) and "model" in content:
        return Tokenizer(text, max_tokens=max_tokens)
    merges = path.with_name("merges.txt")
    if not merges.is_file():
        raise ValueError(f"need merges.txt next to the byte-level vocabulary {path}, got none")
    return Tokenizer(_byte_level(content, merges).to_str(), max_tokens=max_tokens)


def scenes_tokenizer(*, max_tokens: int = 64) -> Tokenizer:
    """Return the tokenizer of the package's own small vocabulary, made from captions of `scenes`.

    It knows the words of that world as single tokens and spells all others; case is ignored.
    """
    text = resources.files("eyespot.data").joinpath("vocabularies/scenes.json").read_text("utf-8")
    return Tokenizer(text, max_tokens=max_tokens)


def word_piece(words: Sequence[str]) -> tokenizers.Tokenizer:
    """Return BERT's tokenizer of a vocabulary; case is ignored if no word has a capital.

    Raises:
        ValueError: If a special token of BERT is missing.
    """
    numbers = {word: number for number, word in enumerate(words)}
    missing = [name for name in _BERT_SPECIAL if name not in numbers]
    if missing:
        raise ValueError(f"need BERT's special tokens in a vocab.txt, missing {missing}")
    cased = any(word != word.lower() for word in words if not word.startswith("["))
    made = tokenizers.Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))  # noqa: S106
    return _as_bert(made, cased=cased)


def train_vocabulary(captions: Iterable[str], size: int) -> tokenizers.Tokenizer:
    """Make an uncased WordPiece vocabulary of the captions' most frequent words.

    Other words are spelled: every printable ASCII character is in it, whatever the captions hold.

    Args:
        captions: Texts to learn from.
        size: Most tokens; 140 of them are for spelling.

    Raises:
        ValueError: If there is no room for words.
    """
    letters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    pieces = [*_BERT_SPECIAL, *letters, *(f"##{letter}" for letter in letters)]
    if size <= len(pieces):
        raise ValueError(f"need room for more than {len(pieces)} tokens, got {size}")
    split = word_piece(pieces)
    counts: Counter[str] = Counter()
    for caption in captions:
        text = split.normalizer.normalize_str(caption)
        counts.update(word for word, _ in split.pre_tokenizer.pre_tokenize_str(text))
    frequent = sorted(counts, key=lambda word: (-counts[word], word))
    words = [word for word in frequent if word not in pieces]
    return word_piece([*pieces, *words[: size - len(pieces)]])


def _as_bert(made: tokenizers.Tokenizer, *, cased: bool) -> tokenizers.Tokenizer:
    made.normalizer = normalizers.BertNormalizer(lowercase=not cased)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    marks = [(name, made.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    if all(number is not None for _, number in marks):
        made.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=marks
        )
    made.add_special_tokens([name for name in _BERT_SPECIAL if made.token_to_id(name) is not None])
    return made


def _byte_level(numbers: dict[str, int], merges: Path) -> tokenizers.Tokenizer:
    """RoBERTa's tokenizer: cased, no space added in front, offsets without spaces."""
    missing = [name for name in _ROBERTA_SPECIAL[:4] if name not in numbers]
    if missing:
        raise ValueError(f"need RoBERTa's special tokens in its vocab.json, missing {missing}")
    lines = merges.read_text(encoding="utf-8").splitlines()
    pairs = [tuple(line.split(" ")) for line in lines if line and not line.startswith("#version")]
    wrong = [pair for pair in pairs if len(pair) != 2]
    if wrong:
        raise ValueError(f"need two pieces a line in {merges}, got {' '.join(wrong[0])!r}")
    made = tokenizers.Tokenizer(models.BPE(numbers, pairs))  # type: ignore[arg-type]
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    marks = [(name, numbers[name]) for name in ("<s>", "</s>")]
    made.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=marks)
    made.add_special_tokens([name for name in _ROBERTA_SPECIAL if name in numbers])
    return made


def _trimmed(caption: str, begin: int, end: int) -> Span:
    """Characters without whitespace at either side: whitespace belongs to no token."""
    while begin < end and caption[begin].isspace():
        begin += 1
    while begin < end and caption[end - 1].isspace():
        end -= 1
    return begin, end
