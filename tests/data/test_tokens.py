"""Tokens with exact characters, of the three kinds of vocabulary."""

import json

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given

from eyespot.data.scenes import SceneConfig, caption, make_scene, questions, referring
from eyespot.data.tokens import (
    Tokenizer,
    read_tokenizer,
    scenes_tokenizer,
    train_vocabulary,
    word_piece,
)
from eyespot.ops.spans import positive_rows

OURS = scenes_tokenizer()
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "red", "cup", "##s", ",", "a"]


def pieces(tokenizer, text):
    return [text[b:e] for b, e in tokenizer.encode(text).offsets if e > b]


def test_words_of_scenes_are_one_token_each():
    text = "A small matte red cup, left of two medium-sized butterflies."
    assert pieces(OURS, text) == [
        *("A", "small", "matte", "red", "cup", ",", "left", "of", "two"),
        *("medium", "-", "sized", "butterflies", "."),
    ]


def test_every_text_of_scenes_is_known():
    unknown = OURS.encode("漢").ids[1]
    for index in range(15):
        scene = make_scene(SceneConfig(), 5, index)
        texts = [caption(scene).text, *(q.text for q in questions(scene, count=3))]
        expression = referring(scene)
        for text in texts + ([expression.caption.text] if expression else []):
            encoded = OURS.encode(text)
            assert unknown not in encoded.ids
            assert len(encoded.ids) <= OURS.max_tokens
            assert "".join(pieces(OURS, text)) == text.replace(" ", "")


def test_other_words_are_spelled():
    text = "a Zebra's hat"
    assert "".join(pieces(OURS, text)) == "aZebra'shat"
    assert len(OURS.encode(text).ids) > 6


@given(st.text(max_size=60))
def test_offsets_are_characters_of_the_text_and_never_spaces(text):
    encoded = OURS.encode(text)
    assert len(encoded.ids) == len(encoded.offsets)
    for begin, end in encoded.offsets:
        assert 0 <= begin <= end <= len(text)
        if begin < end:
            assert not text[begin].isspace()
            assert not text[end - 1].isspace()


def test_what_does_not_fit_is_named():
    short = scenes_tokenizer(max_tokens=6)
    text = "a red cup, a blue star"
    encoded = short.encode(text, [(0, 9), (11, 22)])
    assert len(encoded.ids) == 6
    assert encoded.ids[-1] == OURS.encode(text).ids[-1]
    assert [text[b:e] for b, e in encoded.offsets if e > b] == ["a", "red", "cup", ","]
    assert encoded.dropped == ((11, 22),)
    assert short.fits("a red cup,")
    assert not short.fits(text)


def test_padding():
    batch = OURS.pad([OURS.encode("a red cup"), OURS.encode("cup")])
    assert batch.ids.shape == (2, 5)
    assert batch.pad_mask.tolist() == [[False] * 5, [False] * 3 + [True] * 2]
    assert batch.ids[1, 3:].tolist() == [OURS.pad_id] * 2
    with pytest.raises(ValueError, match="at least one caption"):
        OURS.pad([])


def test_a_definition_makes_the_same_tokenizer():
    again = Tokenizer(OURS.definition(), max_tokens=64)
    text = "Two big red circles right of a Rhinoceros"
    assert again.encode(text) == OURS.encode(text)


def test_vocab_txt_is_read(tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    tokenizer = read_tokenizer(path, max_tokens=9)
    encoded = tokenizer.encode("A red, cups")
    assert encoded.ids == [2, 8, 4, 7, 5, 6, 3]
    assert encoded.offsets == [(0, 0), (0, 1), (2, 5), (5, 6), (7, 10), (10, 11), (0, 0)]
    assert tokenizer.pad_id == 0


def test_a_cased_vocabulary_keeps_case():
    cased = word_piece([*WORDS, "Red"])
    assert cased.encode("Red red RED").ids == [2, 9, 4, 1, 3]


def test_bert_equals_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the oracle is an extra")
    path = tmp_path / "vocab.txt"
    path.write_text("\n".join(WORDS) + "\n")
    oracle = transformers.BertTokenizerFast(vocab=str(path), do_lower_case=True)
    oracle = oracle if oracle.vocab_size == len(WORDS) else None
    if oracle is None:
        pytest.skip("this transformers reads vocabularies in another way")
    text = "A RED cup, cups é"
    found = oracle(text, return_offsets_mapping=True)
    mine = read_tokenizer(path, max_tokens=20).encode(text)
    assert mine.ids == found["input_ids"]
    assert mine.offsets[1:-1] == found["offset_mapping"][1:-1]


def byte_level_files(folder):
    """A byte-level vocabulary of single bytes and a few merges."""
    letters = "abcdefghijklmnopqrstuvwxyzABCĠ.,é'Ã©"
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *dict.fromkeys(letters), "re", "red", "Ġred"]
    (folder / "vocab.json").write_text(json.dumps({t: i for i, t in enumerate(tokens)}))
    (folder / "merges.txt").write_text("#version: 0.2\nr e\nre d\nĠ red\n")
    return tokens


def test_vocab_json_and_merges_are_read(tmp_path):
    tokens = byte_level_files(tmp_path)
    tokenizer = read_tokenizer(tmp_path, max_tokens=30)
    text = "red red café"
    encoded = tokenizer.encode(text)
    names = [tokens[i] for i in encoded.ids]
    assert names == ["<s>", "red", "Ġred", "Ġ", "c", "a", "f", "Ã", "©", "</s>"]
    assert encoded.offsets[1:-1] == [
        *((0, 3), (4, 7)),  # the space belongs to no token
        *((8, 8), (8, 9), (9, 10), (10, 11)),
        *((11, 12), (11, 12)),  # both bytes are the same character
    ]
    assert tokenizer.pad_id == 1


def test_byte_level_equals_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="the oracle is an extra")
    byte_level_files(tmp_path)
    vocab = json.loads((tmp_path / "vocab.json").read_text())
    merges = [("r", "e"), ("re", "d"), ("Ġ", "red")]
    try:
        oracle = transformers.RobertaTokenizerFast(vocab=vocab, merges=merges)
    except TypeError:
        oracle = transformers.RobertaTokenizerFast(
            str(tmp_path / "vocab.json"), str(tmp_path / "merges.txt")
        )
    for text in ("red red café", "red  red", " red.", "a,red"):
        found = oracle(text, return_offsets_mapping=True)
        mine = read_tokenizer(tmp_path, max_tokens=60).encode(text)
        assert mine.ids == found["input_ids"]
        own = [o for o in mine.offsets if o[1] > o[0]]
        theirs = [tuple(o) for o in found["offset_mapping"] if o[1] > o[0]]
        assert own == theirs


def test_rows_of_a_span():
    text = "a red cup left of a blue star"
    row = positive_rows([[(0, 9)]], OURS.encode(text).offsets, 12)[0]
    assert torch.nonzero(row).flatten().tolist() == [1, 2, 3]


def test_a_vocabulary_of_own_captions():
    made = train_vocabulary(["The Cat sat.", "the cat ran"], 150)
    tokenizer = Tokenizer(made.to_str(), max_tokens=20)
    assert len(tokenizer.encode("the cat sat ran").ids) == 6
    assert tokenizer.vocab_size == 144
    with pytest.raises(ValueError, match="got 100"):
        train_vocabulary(["a"], 100)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", "need a vocabulary of JSON"),
        ("tokenizer.json", '{"model": 3}', "need the content of a tokenizer.json"),
        ("vocab.json", '{"a": 1}', "need merges.txt next to"),
        ("vocab.txt", "a\nb", "BERT's special tokens"),
    ],
)
def test_bad_files_are_explained(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=message):
        read_tokenizer(tmp_path / name, max_tokens=10)
    if name == "vocab.json":
        (tmp_path / "merges.txt").write_text("a b c\n")
        with pytest.raises(ValueError, match="special tokens"):
            read_tokenizer(tmp_path, max_tokens=10)


def test_an_empty_folder_is_explained(tmp_path):
    with pytest.raises(ValueError, match="need tokenizer.json"):
        read_tokenizer(tmp_path, max_tokens=10)
