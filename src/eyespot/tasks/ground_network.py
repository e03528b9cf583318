"""The network of a grounding recipe: from names to a spec, a tokenizer, and starting weights."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from torch import nn

from eyespot.data.answers import CLEVR_WORDS, SCENES_WORDS, read_answer_words
from eyespot.data.grounding_sources import GroundingSource
from eyespot.data.tokens import Tokenizer, read_tokenizer, scenes_tokenizer, train_vocabulary
from eyespot.design.by_name import to_spec
from eyespot.errors import RecipeError
from eyespot.models.answer_heads import heads_for
from eyespot.models.bert import BertSizes
from eyespot.models.build import create_model
from eyespot.models.features import FeatureExtractor
from eyespot.models.grounder import GrounderSpec, ImageSize
from eyespot.models.masks import detector_of
from eyespot.models.mdetr import CLEVR_HEADS, GQA_HEADS, AnswerHead
from eyespot.models.roberta import Roberta, RobertaSizes
from eyespot.weights.load import load_weights
from eyespot.weights.text_encoders import load_text_encoder
from eyespot.weights.trunk import find_weights

_TEXT: dict[str, RobertaSizes] = {
    "roberta-base": RobertaSizes(),
    "roberta-large": RobertaSizes(dim=1024, num_layers=24, num_heads=16, ffn_dim=4096),
    "distilroberta-base": RobertaSizes(num_layers=6),
    "minilm-l6": BertSizes(dim=384, num_layers=6, ffn_dim=1536),
    "bert-base": BertSizes(),
    "small": BertSizes(dim=128, num_layers=1, num_heads=4, ffn_dim=256, num_positions=64),
}
_MAX_VOCABULARY = 8000
"""Most tokens of a vocabulary made of captions; rarer words are spelled."""


@dataclass(frozen=True, slots=True)
class Network:
    """The grounding network of a recipe; the defaults are MDETR-R101's.

    Attributes:
        backbone: Any network of `eyespot models`.
        backbone_weights: Its weights: a run's folder (of `eyespot train swav/...`,
            of `classify/...`), a file, or a name of `eyespot weights list`; "" for new
            ones, or those of `start_from`.
        frozen_norms: Its batch norms are fixed scales and shifts.
        padding: Of its strided convolutions; published EfficientNets: "tensorflow".
        last_map: Which of its maps is the last that is read.
        num_levels: How many maps are read.
        text: The text encoder; "small" is for the package's own vocabulary.
        text_weights: A folder or file of its weights, as Hugging Face names them; "" for new ones.
        text_dropout: Of the text encoder, in training.
        vocabulary: Its tokenizer.json, vocab.txt or folder; "" for the package's own; "captions",
            with a "small" encoder, for the words of the training captions.
        dim: Width of the transformer.
        num_heads: Of every attention.
        num_encoder_layers: Over image and text.
        num_decoder_layers: Of the queries.
        ffn_dim: Hidden width of the feed-forward nets.
        dropout: Of the transformer, in training.
        num_queries: Most boxes found.
        num_classes: Token positions plus one.
        alignment_dim: Width of the contrastive alignment; 0 for none.
        with_proposals: Queries begin at image tokens (`models.proposals`).
        with_is_final: The head of CLEVR-Ref+.
        with_masks: The segmentation head of PhraseCut.
        answers: Question answering heads: "none", "clevr", "scenes", or a vocabulary file such as
            gqa_answer2id_by_type.json (a head for each type) or gqa_answer2id.json (one for all).
        short_side_px: Of images outside of training.
        max_long_side_px: Likewise.
    """

    backbone: str = "ResNet-101"
    backbone_weights: str = ""
    frozen_norms: bool = True
    padding: Literal["symmetric", "tensorflow"] = "symmetric"
    last_map: int = -1
    num_levels: int = 1
    text: Literal[
        "roberta-base",
        "roberta-large",
        "distilroberta-base",
        "minilm-l6",
        "bert-base",
        "small",
    ] = "roberta-base"
    text_weights: str = ""
    text_dropout: float = 0.1
    vocabulary: str = ""
    dim: int = 256
    num_heads: int = 8
    num_encoder_layers: int = 6
    num_decoder_layers: int = 6
    ffn_dim: int = 2048
    dropout: float = 0.1
    num_queries: int = 100
    num_classes: int = 256
    alignment_dim: int = 64
    with_proposals: bool = False
    with_is_final: bool = False
    with_masks: bool = False
    answers: str = "none"
    short_side_px: int = 800
    max_long_side_px: int = 1333


def network_spec(network: Network, tokenizer: Tokenizer) -> GrounderSpec:
    """Return the spec that a recipe's network stands for.

    Raises:
        RecipeError: If its answers are neither known nor a file.
        ValueError: If the file of its answers is no vocabulary.
    """
    sizes = replace(_TEXT[network.text], dropout=network.text_dropout)
    if network.text == "small":
        sizes = replace(sizes, vocab_size=tokenizer.vocab_size)
    return GrounderSpec(
        replace(to_spec(network.backbone), num_classes=0),
        sizes,
        num_levels=network.num_levels,
        last_map=network.last_map,
        frozen_norms=network.frozen_norms,
        padding=network.padding,
        dim=network.dim,
        num_heads=network.num_heads,
        num_encoder_layers=network.num_encoder_layers,
        num_decoder_layers=network.num_decoder_layers,
        ffn_dim=network.ffn_dim,
        dropout=network.dropout,
        num_queries=network.num_queries,
        num_classes=network.num_classes,
        alignment_dim=network.alignment_dim,
        with_proposals=network.with_proposals,
        with_is_final=network.with_is_final,
        with_masks=network.with_masks,
        answer_heads=_answer_heads(network.answers),
        image=ImageSize(network.short_side_px, network.max_long_side_px),
    )


def _answer_heads(answers: str) -> tuple[AnswerHead, ...]:
    """The heads for what a recipe's network answers."""
    if answers == "none":
        return ()
    if answers == "clevr":
        return heads_for(CLEVR_WORDS.by_head(), like=CLEVR_HEADS)
    if answers == "scenes":
        return heads_for(SCENES_WORDS.by_head())
    if not Path(answers).is_file():
        raise RecipeError(
            'need --network.answers "none", "clevr", "scenes" or the file of a vocabulary, such as '
            f"gqa_answer2id_by_type.json, got {answers!r}: no such file"
        )
    return heads_for(read_answer_words(Path(answers)).by_head(), like=GQA_HEADS)


def network_tokenizer(network: Network, captions: GroundingSource) -> Tokenizer:
    """Return the tokenizer of a recipe's network.

    Args:
        network: Of the recipe.
        captions: What it is trained on.

    Raises:
        RecipeError: If its vocabulary is not the text encoder's.
    """
    sizes = _TEXT[network.text]
    most = min(sizes.max_tokens, network.num_classes - 1)
    if not network.vocabulary:
        if network.text != "small":
            raise RecipeError(
                f"need --network.vocabulary for the text encoder {network.text!r}: the folder of "
                "its tokenizer.json, of vocab.json and merges.txt, or of vocab.txt"
            )
        return scenes_tokenizer(max_tokens=most)
    if network.vocabulary == "captions":
        if network.text != "small":
            raise RecipeError(
                "need --network.text small for a vocabulary of the captions' words, got "
                f"{network.text!r}, which has one of its own"
            )
        texts = (captions.caption(i, 0).caption for i in range(len(captions)))
        return Tokenizer(train_vocabulary(texts, _MAX_VOCABULARY).to_str(), max_tokens=most)
    tokenizer = read_tokenizer(Path(network.vocabulary), max_tokens=most)
    if network.text != "small" and tokenizer.vocab_size > sizes.vocab_size:
        raise RecipeError(
            f"need a vocabulary of at most {sizes.vocab_size} tokens for {network.text!r}, got "
            f"{tokenizer.vocab_size} in {network.vocabulary}"
        )
    return tokenizer


def own_parts(network: Network) -> tuple[str, ...]:
    """Return the starts of the names of tensors that depend on weights the recipe names."""
    backbone = ("backbone.", "input_proj.", "finer_proj.", "level_embed.")
    text = ("transformer.text_encoder.", "transformer.resizer.")
    return (backbone if network.backbone_weights else ()) + (text if network.text_weights else ())


def load_parts_(model: nn.Module, network: Network) -> list[str]:
    """Load the weights of backbone and text encoder that the recipe names; return notes.

    Raises:
        WeightsError: If they do not fit; the network is unchanged where they do not.
    """
    detector, notes = detector_of(model), []
    if network.backbone_weights:
        backbone = detector.backbone
        assert isinstance(backbone, FeatureExtractor)
        plain = create_model(
            replace(to_spec(network.backbone), num_classes=0),
            features_only=True,
            out_indices=backbone.out_indices,
        )
        found = find_weights(network.backbone_weights)
        report = load_weights(plain, found.path, head="drop")
        own = backbone.state_dict()
        backbone.load_state_dict({k: v for k, v in plain.state_dict().items() if k in own})
        notes.append(f"backbone: {len(report.loaded)} tensors from {network.backbone_weights}")
        notes += [f"backbone: {note}" for note in (*found.notes, *report.notes)]
    if network.text_weights:
        text = detector.transformer.text_encoder
        assert isinstance(text, Roberta)
        notes += load_text_encoder(text, Path(network.text_weights))
    return notes
