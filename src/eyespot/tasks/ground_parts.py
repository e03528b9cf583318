"""The parts of a grounding recipe: rates, weights of the losses, the first phase."""

from dataclasses import dataclass

from eyespot.optim.grounding_rates import Shape


@dataclass(frozen=True, slots=True)
class Rates:
    """The optimizer, AdamW, and its rates.

    Attributes:
        lr: Of the transformer and the heads.
        lr_backbone: Of the backbone; 0 freezes it.
        lr_text: Of the text encoder; 0 freezes it.
        weight_decay: Of everything.
        clip: Greatest norm of the gradient.
        shape: Of the schedule (`optim.grounding_rates`).
        drop_epoch: When "step" and "multistep" drop.
        warmup_share: Share of the run that rates rise in.
    """

    lr: float = 1e-4
    lr_backbone: float = 1e-5
    lr_text: float = 5e-5
    weight_decay: float = 1e-4
    clip: float = 0.1
    shape: Shape = "linear_with_warmup"
    drop_epoch: int = 35
    warmup_share: float = 0.01


@dataclass(frozen=True, slots=True)
class Weights:
    """What each loss counts.

    Attributes:
        soft_token: Naming the tokens of a box; 0 leaves it out: the class head then
            learns "object" against "no object" alone, at weight 1, and phrases are found by
            alignment.
        uniform_tokens: Spread each box evenly over its tokens, as the paper describes, so that long
            phrases count no more than short ones; the published models count every token 1.
        box_l1: Distance of boxes.
        box_giou: Overlap of boxes.
        contrastive_align: Alignment of queries and tokens; 0 leaves it out.
        is_final: The head of CLEVR-Ref+.
        mask: Focal loss of masks.
        dice: Overlap of masks.
        no_object: Share of unmatched queries in the token loss.
        auxiliary: Whether earlier decoder layers learn too.
    """

    soft_token: float = 1.0
    uniform_tokens: bool = False
    box_l1: float = 5.0
    box_giou: float = 2.0
    contrastive_align: float = 1.0
    is_final: float = 1.0
    mask: float = 1.0
    dice: float = 1.0
    no_object: float = 0.1
    auxiliary: bool = True


@dataclass(frozen=True, slots=True)
class Words:
    """A first phase in which the backbone alone learns to name boxes by words (`losses.words`).

    Attributes:
        steps: Its length; 0 for none.
        lr: Its rate, falling linearly to a tenth.
    """

    steps: int = 0
    lr: float = 2e-3
