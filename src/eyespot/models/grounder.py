"""A whole grounding network as plain data, and the module that it describes.

The data are stored in the header of a weights file, so that the file describes itself.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from jaxtyping import Bool, Float
from torch import Tensor

from eyespot.design.plain_data import fill, short
from eyespot.design.spec_files import spec_from_dict, spec_to_dict
from eyespot.design.specs import Spec, ViTSpec
from eyespot.errors import unknown_name
from eyespot.models.bert import Bert, BertSizes
from eyespot.models.build import build
from eyespot.models.features import FeatureExtractor
from eyespot.models.frozen import freeze_norms_, pad_as_tensorflow_
from eyespot.models.masks import SegmentingDetector
from eyespot.models.mdetr import AnswerHead, GroundingOutput, ModulatedDetector
from eyespot.models.roberta import Roberta, RobertaSizes
from eyespot.ops.detections import alignment_logits
from eyespot.ops.matching import at_least_float32

_TEXT_ENCODERS: dict[str, type[RobertaSizes]] = {"bert": BertSizes, "roberta": RobertaSizes}


@dataclass(frozen=True, slots=True)
class ImageSize:
    """How an image is resized before the network sees it, outside of training.

    Attributes:
        short_side_px: Its short side afterwards.
        max_long_side_px: Unless its long side were longer than this.
    """

    short_side_px: int = 800
    max_long_side_px: int = 1333


@dataclass(frozen=True)
class GrounderSpec:
    """All numbers of a grounding network; the defaults are MDETR's (arXiv 2104.12763).

    Attributes:
        backbone: Any network of the zoo; its classifier is left out.
        text: Sizes of the text encoder, a RoBERTa or a BERT.
        num_levels: How many of the backbone's maps the transformer reads, from the last on.
        last_map: Index of the last map that is used, among the backbone's `feature_info`.
        frozen_norms: Replace the backbone's batch norms by fixed scales and shifts.
        padding: Of the backbone's strided convolutions; published EfficientNets: "tensorflow".
        dim: Width of the transformer.
        num_heads: Of every attention.
        num_encoder_layers: Over image and text.
        num_decoder_layers: Of the queries.
        ffn_dim: Hidden width of the feed-forward nets.
        dropout: Of the transformer, in training.
        num_queries: Most boxes found.
        num_classes: Token positions that boxes can be aligned with, plus one.
        alignment_dim: Width of the contrastive alignment; 0 for none.
        with_proposals: Queries begin at image tokens (`models.proposals`).
        names_by: What says which tokens a query is about: the class head's soft tokens, or the
            contrastive alignment, for networks trained without the former.
        with_is_final: The head of CLEVR-Ref+.
        with_masks: A segmentation head.
        answer_heads: Question answering heads.
        image: How images are resized.
    """

    backbone: Spec
    text: RobertaSizes = field(default_factory=RobertaSizes)
    num_levels: int = 1
    last_map: int = -1
    frozen_norms: bool = True
    padding: Literal["symmetric", "tensorflow"] = "symmetric"
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
    names_by: Literal["soft_tokens", "alignment"] = "soft_tokens"
    with_is_final: bool = False
    with_masks: bool = False
    answer_heads: tuple[AnswerHead, ...] = ()
    image: ImageSize = field(default_factory=ImageSize)

    @property
    def max_tokens(self) -> int:
        """The longest caption, special tokens included, that every box can be aligned with."""
        return min(self.text.max_tokens, self.num_classes - 1)

    @property
    def side_multiple(self) -> int:
        """What the sides of a padded image must be multiples of, px."""
        return self.backbone.stem.patch_size if isinstance(self.backbone, ViTSpec) else 1


class DetectorBackbone(FeatureExtractor):
    """A network of the zoo that returns maps, finest first.

    Args:
        spec: Of the network.
        last_map: Index of the last map.
        num_maps: How many maps, the last one included.
        frozen_norms: As in `GrounderSpec`.
        padding: As in `GrounderSpec`.

    Raises:
        ValueError: If the network has fewer maps.
    """

    def __init__(
        self,
        spec: Spec,
        *,
        last_map: int,
        num_maps: int,
        frozen_norms: bool,
        padding: Literal["symmetric", "tensorflow"],
    ) -> None:
        network = build(spec)
        levels = len(network.feature_info)
        if not -levels <= last_map < levels or num_maps > last_map % levels + 1:
            raise ValueError(
                f"need maps among the {levels} of this backbone, got {num_maps} up to {last_map}"
            )
        last = last_map % levels
        super().__init__(network, range(last + 1 - num_maps, last + 1))
        if frozen_norms:
            freeze_norms_(self)
        if padding == "tensorflow":
            pad_as_tensorflow_(self)


def build_grounder(spec: GrounderSpec) -> ModulatedDetector | SegmentingDetector:
    """Build the network of a spec with freshly drawn weights.

    Raises:
        ValueError: If the numbers make no network.
    """
    num_maps = max(spec.num_levels, 4 if spec.with_masks else 1)
    backbone = DetectorBackbone(
        spec.backbone,
        last_map=spec.last_map,
        num_maps=num_maps,
        frozen_norms=spec.frozen_norms,
        padding=spec.padding,
    )
    dims = backbone.feature_info.channels()
    text = Bert(spec.text) if isinstance(spec.text, BertSizes) else Roberta(spec.text)
    detector = ModulatedDetector(
        backbone,
        dims[-1],
        text,
        spec.text.dim,
        dim=spec.dim,
        num_heads=spec.num_heads,
        num_encoder_layers=spec.num_encoder_layers,
        num_decoder_layers=spec.num_decoder_layers,
        ffn_dim=spec.ffn_dim,
        dropout=spec.dropout,
        num_queries=spec.num_queries,
        num_classes=spec.num_classes,
        alignment_dim=spec.alignment_dim or None,
        with_is_final=spec.with_is_final,
        answer_heads=spec.answer_heads,
        finer_dims=dims[-2 : -1 - spec.num_levels : -1],
        side_multiple=spec.side_multiple,
        with_proposals=spec.with_proposals,
    )
    if not spec.with_masks:
        return detector
    return SegmentingDetector(detector, spec.num_heads, dims[-4:])


def naming_logits(
    output: GroundingOutput, spec: GrounderSpec, text_pad_mask: Bool[Tensor, "b k"]
) -> Float[Tensor, "b q t"]:
    """Return the last layer's scores of every token for every query, "no object" last.

    Those of the class head, or of the alignment where the spec says that it names tokens.
    """
    logits = at_least_float32(output.logits[-1])
    if spec.names_by == "soft_tokens":
        return logits
    if output.query_embeddings is None or output.token_embeddings is None:
        raise ValueError("need alignment heads in a network whose spec names tokens by them")
    return alignment_logits(
        logits, output.query_embeddings[-1], output.token_embeddings, text_pad_mask
    )


def grounder_to_dict(spec: GrounderSpec) -> dict[str, Any]:
    """Return a spec as plain data for JSON."""
    kind = "bert" if isinstance(spec.text, BertSizes) else "roberta"
    return {
        **asdict(spec),
        "backbone": spec_to_dict(spec.backbone),
        "text": {"kind": kind, **asdict(spec.text)},
        "answer_heads": [head._asdict() for head in spec.answer_heads],
    }


def grounder_from_dict(data: object) -> GrounderSpec:
    """Return the spec of plain data.

    Raises:
        ValueError: If a field is unknown, missing, or of another type; it is named.
    """
    if not isinstance(data, Mapping) or "backbone" not in data:
        raise ValueError(f"need the spec of a grounding network, got {short(data)}")
    filled: dict[str, Any] = {**data, "backbone": spec_from_dict(data["backbone"])}
    text = data.get("text")
    if isinstance(text, Mapping):
        kind = str(text.get("kind"))
        if kind not in _TEXT_ENCODERS:
            raise ValueError(unknown_name("kind of text encoder", kind, _TEXT_ENCODERS))
        sizes = {name: value for name, value in text.items() if name != "kind"}
        filled["text"] = fill(_TEXT_ENCODERS[kind], sizes, f"{kind} text encoder")
    if isinstance(data.get("image"), Mapping):
        filled["image"] = fill(ImageSize, data["image"], "image size")
    heads = filled.pop("answer_heads", ())
    made: GrounderSpec = fill(GrounderSpec, filled, "grounding network")
    try:
        return replace(made, answer_heads=tuple(_answer_head(**head) for head in heads))
    except TypeError:
        raise ValueError(f"need answer heads with a name and num_answers, got {heads}") from None


def _answer_head(
    name: str, num_answers: int, *, hidden: bool = False, words: Sequence[str] = ()
) -> AnswerHead:
    return AnswerHead(name, num_answers, hidden, tuple(words))
