"""Published MDETR checkpoints as grounders of ours.

Paper: MDETR (arXiv 2104.12763); files: Zenodo record 4721981. The network is read from the shapes
of the tensors; the settings that a checkpoint carries beside them are not looked at.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from eyespot.data.answers import CLEVR_WORDS, read_answer_words
from eyespot.data.tokens import Tokenizer, read_tokenizer
from eyespot.design.by_name import to_spec
from eyespot.design.specs import AnyNetSpec, EffNetSpec, Spec
from eyespot.errors import WeightsError
from eyespot.models.answer_heads import heads_for
from eyespot.models.grounder import GrounderSpec, ImageSize, build_grounder
from eyespot.models.mdetr import CLEVR_HEADS, GQA_HEADS, GQA_UNIFIED_HEADS, AnswerHead
from eyespot.models.roberta import RobertaSizes
from eyespot.weights.files import read_file
from eyespot.weights.grounders import LoadedGrounder
from eyespot.weights.key_maps import to_ours
from eyespot.weights.layouts import recognise

_BODY = "backbone.0.body."
_POSITION_IDS = "embeddings.position_ids"
_CLEVR_QUERIES = 25
_EFFICIENTNETS = ("EfficientNet-B3", "EfficientNet-B5")


@dataclass(frozen=True)
class ImportedGrounder:
    """A published network, and what was chosen on the way."""

    loaded: LoadedGrounder
    notes: tuple[str, ...]


def import_mdetr(
    path: Path,
    vocabulary: Path,
    *,
    answers: Path | None = None,
    average: bool = True,
    num_heads: int = 8,
) -> ImportedGrounder:
    """Read a published checkpoint: all of it or nothing.

    Args:
        path: The checkpoint.
        vocabulary: RoBERTa's tokenizer.json, or a folder with it or with vocab.json and merges.txt.
        answers: What the answer heads of a GQA network say: gqa_answer2id_by_type.json, or
            gqa_answer2id.json of one with a single head. CLEVR's are known.
        average: Take the averaged weights if the file has them; the published numbers are theirs.
        num_heads: Of the transformer, which shapes do not tell; 8 in all published networks.

    Raises:
        WeightsError: If the file is damaged, or not a checkpoint of this kind; what does not fit is
            named.
        OSError: If a file cannot be read.
    """
    state, notes = _state_dict(read_file(path).tree, path, average=average)
    tensors, spec, more = translate_mdetr(state, num_heads=num_heads)
    tokenizer = read_tokenizer(vocabulary, max_tokens=spec.max_tokens)
    if tokenizer.vocab_size > spec.text.vocab_size:
        raise WeightsError(
            f"need the vocabulary of {spec.text.vocab_size} tokens that this network was trained "
            f"with, got {tokenizer.vocab_size} in {vocabulary}"
        )
    spec = replace(spec, answer_heads=_worded(spec.answer_heads, answers))
    if spec.answer_heads and not spec.answer_heads[0].words:
        more += ("its answer heads say numbers; give --answers to know their words",)
    return ImportedGrounder(_built(tensors, spec, tokenizer), (*notes, *more))


def translate_mdetr(
    state_dict: Mapping[str, Tensor], *, num_heads: int = 8
) -> tuple[dict[str, Tensor], GrounderSpec, tuple[str, ...]]:
    """Return tensors under our names, the network they are of, and notes.

    Raises:
        WeightsError: If a tensor is missing, left over, or of another shape.
    """
    prefix = "detr." if any(key.startswith("detr.") for key in state_dict) else ""
    notes = []
    tensors: dict[str, Tensor] = {}
    body: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        inner = key.removeprefix(prefix)
        if key.endswith(_POSITION_IDS):
            notes.append(f"left out {key}, a list of numbers that old transformers saved")
        elif inner.startswith(_BODY):
            body[inner.removeprefix(_BODY)] = value
        else:
            tensors[key] = value
    if not body:
        raise WeightsError(f"need a published MDETR, got no tensor that starts with {_BODY}")
    renamed = to_ours(recognise(body.keys()), body)
    if renamed.unknown or renamed.heads:
        left = [*renamed.unknown, *renamed.heads]
        raise WeightsError(f"need a published backbone, got {', '.join(left[:5])} in it too")
    tensors |= {f"{prefix}backbone.body.{key}": v for key, v in renamed.weights.items()}
    spec = _spec(tensors, prefix, body, num_heads)
    _check(tensors, spec)
    return tensors, spec, tuple(notes)


def _state_dict(tree: Any, path: Path, *, average: bool) -> tuple[dict[str, Tensor], list[str]]:
    """The model or its average, from a checkpoint."""
    if not isinstance(tree, dict):
        raise WeightsError(f"need a checkpoint in {path}, got a {type(tree).__name__}")
    ema, model = tree.get("model_ema"), tree.get("model", tree)
    chosen = ema if average and isinstance(ema, dict) else model
    note = "took the averaged weights, model_ema, whose results are published"
    if chosen is model:
        note = "took model; the file has no averaged weights" if average else "took model"
    if not isinstance(chosen, dict) or not all(isinstance(v, Tensor) for v in chosen.values()):
        raise WeightsError(f"need a state dict as model or model_ema in {path}, got neither")
    return {str(key): value for key, value in chosen.items()}, [note]


def _spec(
    tensors: Mapping[str, Tensor], prefix: str, body: Mapping[str, Tensor], num_heads: int
) -> GrounderSpec:
    """The network of some tensors, from their names and shapes."""
    inner = {key.removeprefix(prefix): value.shape for key, value in tensors.items()}
    try:
        align = inner.get("contrastive_align_projection_image.weight", (0,))[0]
        queries = inner["query_embed.weight"][0]
        text = "transformer.text_encoder."
        clevr = queries == _CLEVR_QUERIES
        backbone = _backbone(body)
        return GrounderSpec(
            backbone,
            RobertaSizes(
                vocab_size=inner[f"{text}embeddings.word_embeddings.weight"][0],
                dim=inner[f"{text}embeddings.word_embeddings.weight"][1],
                num_layers=_count(inner, f"{text}encoder.layer."),
                num_heads=max(1, inner[f"{text}embeddings.word_embeddings.weight"][1] // 64),
                ffn_dim=inner[f"{text}encoder.layer.0.intermediate.dense.weight"][0],
                num_positions=inner[f"{text}embeddings.position_embeddings.weight"][0],
            ),
            padding="symmetric" if isinstance(backbone, AnyNetSpec) else "tensorflow",
            dim=inner["query_embed.weight"][1],
            num_heads=num_heads,
            num_encoder_layers=_count(inner, "transformer.encoder.layers."),
            num_decoder_layers=_count(inner, "transformer.decoder.layers."),
            ffn_dim=inner["transformer.encoder.layers.0.linear1.weight"][0],
            num_queries=queries,
            num_classes=inner["class_embed.weight"][0],
            alignment_dim=align,
            with_is_final="isfinal_embed.weight" in inner,
            with_masks=bool(prefix),
            answer_heads=_answer_heads(inner),
            image=ImageSize(320, 480) if clevr else ImageSize(),
        )
    except KeyError as error:
        raise WeightsError(f"need a published MDETR, got no tensor {error}") from None


def _count(shapes: Mapping[str, Any], start: str) -> int:
    """How many numbered parts there are under a name."""
    numbers = {key.removeprefix(start).split(".")[0] for key in shapes if key.startswith(start)}
    return len(numbers)


def _answer_heads(shapes: Mapping[str, Any]) -> tuple[AnswerHead, ...]:
    if "answer_head.weight" in shapes:
        return _sized(GQA_UNIFIED_HEADS, shapes)
    if "answer_cat_head.weight" in shapes:
        return _sized(GQA_HEADS, shapes)
    return _sized(CLEVR_HEADS, shapes) if "answer_binary_head.weight" in shapes else ()


def _worded(heads: tuple[AnswerHead, ...], answers: Path | None) -> tuple[AnswerHead, ...]:
    """The heads with their words, of a file or CLEVR's own.

    Raises:
        WeightsError: If they are not the words of these heads.
    """
    if answers is None:
        known = heads_for(CLEVR_WORDS.by_head(), like=CLEVR_HEADS)
        return known if known == _with_words_of(heads, known) else heads
    worded = heads_for(read_answer_words(answers).by_head(), like=heads)
    if worded != _with_words_of(heads, worded):
        raise WeightsError(
            f"need the words of answer heads {_listed(heads) or 'none'}, got {_listed(worded)} in "
            f"{answers}"
        )
    return worded


def _with_words_of(
    heads: tuple[AnswerHead, ...], others: tuple[AnswerHead, ...]
) -> tuple[AnswerHead, ...]:
    words = {head.name: head.words for head in others}
    return tuple(head._replace(words=words.get(head.name, ())) for head in heads)


def _listed(heads: tuple[AnswerHead, ...]) -> str:
    return ", ".join(f"{head.name or 'all'} of {head.num_answers}" for head in heads)


def _sized(heads: tuple[AnswerHead, ...], shapes: Mapping[str, Any]) -> tuple[AnswerHead, ...]:
    """The heads with as many answers as the tensors have."""
    sized = []
    for head in heads:
        name = f"answer_{head.name}_head" if head.name else "answer_head"
        last = f"{name}.layers.2.weight" if head.hidden else f"{name}.weight"
        sized.append(head._replace(num_answers=shapes[last][0]))
    return tuple(sized)


def _backbone(body: Mapping[str, Tensor]) -> Spec:
    """The spec of a torchvision ResNet or timm EfficientNet without its classifier."""
    if "conv_stem.weight" in body:
        return _efficientnet(body)
    depths = tuple(
        len({key.split(".")[1] for key in body if key.startswith(f"layer{stage}.")})
        for stage in range(1, 5)
    )
    basic = "layer1.0.conv3.weight" not in body
    last = "conv2" if basic else "conv3"
    widths = tuple(body[f"layer{stage}.0.{last}.weight"].shape[0] for stage in range(1, 5))
    inner = tuple(body[f"layer{stage}.0.conv1.weight"].shape[0] for stage in range(1, 5))
    return AnyNetSpec(
        depths=depths,
        widths=widths,
        strides=(1, 2, 2, 2),
        bot_muls=tuple(i / w for i, w in zip(inner, widths, strict=True)),
        group_widths=(1,) * 4 if basic else inner,
        block="res_basic_block" if basic else "res_bottleneck_block",
        stem="res_stem_in",
        stem_width=body["conv1.weight"].shape[0],
        num_classes=0,
    )


def _efficientnet(body: Mapping[str, Tensor]) -> Spec:
    stem = body["conv_stem.weight"].shape[0]
    depths = tuple(
        len({m[1] for m in (re.match(rf"blocks\.{n}\.(\d+)\.", key) for key in body) if m})
        for n in range(7)
    )
    for name in _EFFICIENTNETS:
        spec = to_spec(name)
        if isinstance(spec, EffNetSpec) and (spec.stem_width, spec.depths) == (stem, depths):
            return replace(spec, num_classes=0)
    raise WeightsError(
        f"need {' or '.join(_EFFICIENTNETS)} as published, got a stem of {stem} channels and "
        f"depths {depths}"
    )


def _check(tensors: Mapping[str, Tensor], spec: GrounderSpec) -> None:
    """Compare names and shapes with the network's, exactly."""
    with torch.device("meta"):
        own = build_grounder(spec).state_dict()
    wrong = {
        "missing": [key for key in own if key not in tensors],
        "not used": [key for key in tensors if key not in own],
        "of another shape": [
            f"{key} (needs {list(own[key].shape)}, got {list(value.shape)})"
            for key, value in tensors.items()
            if key in own and own[key].shape != value.shape
        ],
    }
    for what, names in wrong.items():
        if names:
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise WeightsError(f"need a published MDETR, got {what}: {', '.join(names[:5])}{more}")


def _built(
    tensors: Mapping[str, Tensor], spec: GrounderSpec, tokenizer: Tokenizer
) -> LoadedGrounder:
    with torch.device("meta"):
        model = build_grounder(spec)
    model.load_state_dict({k: v.clone() for k, v in tensors.items()}, assign=True)
    return LoadedGrounder(model.requires_grad_(False).eval(), spec, tokenizer)
