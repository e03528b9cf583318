"""Scale a network: a type string and a factor become a wider, deeper, larger network.

Paper: Fast and Accurate Model Scaling (arXiv 2103.06877), sections 3 and 4. CNNs are rounded
exactly as pycls rounds them. ViTs follow the same split of flops; the paper does not cover them,
so their rounding is ours: see `scale_vit`.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from eyespot.design.complexity import Complexity, complexity
from eyespot.design.regnet import compatible_widths
from eyespot.design.specs import AnyNetSpec, EffNetSpec, Spec, ViTSpec, ViTStem
from eyespot.errors import unknown_name

PRESETS = {
    "d": "d",
    "w": "w",
    "r": "r",
    "dw": "dw",
    "dr": "dr",
    "wr": "wr",
    "dwr": "dwr",
    "dWr": "d1_w8_g8_r1",
}
"""The paper's strategies by name, as type strings; dWr is fast scaling at alpha 0.8."""

_ITEM = re.compile(r"([dwgr])(\d+(?:\.\d+)?)")


class Factors(NamedTuple):
    """By how much each dimension grows.

    Attributes:
        depth: Of every stage's depth.
        width: Of every width.
        group: Of every group width.
        resolution: Of the image's side.
    """

    depth: float
    width: float
    group: float
    resolution: float


@dataclass(frozen=True, slots=True)
class ScaleReport:
    """What was asked of a scaling and what rounding made of it.

    Attributes:
        strategy: The type string.
        factor: The factor s.
        asked: The exact growth of each dimension.
        before: Cost of the base network at its own size.
        after: Cost of the scaled network at its own size.
        notes: One sentence for each dimension that rounding or a limit changed noticeably.
    """

    strategy: str
    factor: float
    asked: Factors
    before: Complexity
    after: Complexity
    notes: tuple[str, ...]

    @property
    def flops_growth(self) -> float:
        """Flops after over flops before; equals the factor but for rounding."""
        return self.after.flops / self.before.flops


def strategy_weights(strategy: str) -> dict[str, float]:
    """Read a scaling strategy: a type string as pycls writes it, or "dWr", or "alpha=A".

    A string of the letters d, w, g, r gives each letter weight 1; group widths stay unless g is
    among them ("dwgr"). "d1_w8_g8_r1" gives each letter its number, and is what "dWr" means.
    "alpha=0.8" is the paper's fast scaling at that alpha: d and r get (1 - a) / 2, w and g get a.

    Raises:
        ValueError: If the string is none of these.
    """
    text = PRESETS.get(strategy, strategy)
    if text.startswith("alpha="):
        alpha = _alpha(text.removeprefix("alpha="))
        return {"d": (1 - alpha) / 2, "w": alpha, "g": alpha, "r": (1 - alpha) / 2}
    if set(text) <= set("dwgr"):
        return {letter: float(letter in text) for letter in "dwgr"}
    items = [_ITEM.fullmatch(item) for item in text.split("_")]
    if not all(items):
        raise ValueError(
            unknown_name("scaling strategy", strategy, PRESETS)
            + '; or a type string such as "d1_w8_g8_r1", or "alpha=0.8"'
        )
    weights = dict.fromkeys("dwgr", 0.0)
    weights.update({item[1]: float(item[2]) for item in items if item})
    return weights


def _alpha(text: str) -> float:
    try:
        alpha = float(text)
    except ValueError:
        alpha = math.nan
    if not 0 <= alpha <= 1:
        raise ValueError(f"need alpha in [0, 1], got {text!r}")
    return alpha


def scaling_factors(strategy: str, factor: float) -> Factors:
    """Split a flops factor s over the dimensions: d = s^(Wd/S), w = s^(Ww/2S) and so on.

    Args:
        strategy: As `strategy_weights` reads it; an empty one is the identity.
        factor: The factor s by which flops shall grow, above 0.

    Raises:
        ValueError: If the factor is not positive, or the strategy unknown.
    """
    if not (factor > 0 and math.isfinite(factor)):
        raise ValueError(f"need a scaling factor above 0, got {factor}")
    weights = strategy_weights(strategy)
    total = weights["d"] + weights["w"] + weights["r"] or weights["g"] / 2 or 1.0
    return Factors(
        depth=factor ** (weights["d"] / total),
        width=factor ** (weights["w"] / (2 * total)),
        group=factor ** (weights["g"] / (2 * total)),
        resolution=factor ** (weights["r"] / (2 * total)),
    )


def scale(spec: Spec, strategy: str, factor: float) -> Spec:
    """Return the network scaled by a factor of flops.

    Args:
        spec: The base network.
        strategy: As `strategy_weights` reads it.
        factor: The factor s by which flops shall grow, above 0 (below 1 shrinks).

    Raises:
        ValueError: If the strategy or factor cannot be read, or the result is no network.
    """
    factors = scaling_factors(strategy, factor)
    match spec:
        case AnyNetSpec():
            return scale_anynet(spec, factors)
        case EffNetSpec():
            return scale_effnet(spec, factors)
        case ViTSpec():
            return scale_vit(spec, factors)


def scale_with_report(spec: Spec, strategy: str, factor: float) -> tuple[Spec, ScaleReport]:
    """Return the scaled network and what rounding did, as `scale`."""
    scaled = scale(spec, strategy, factor)
    asked = scaling_factors(strategy, factor)
    report = ScaleReport(
        strategy, factor, asked, complexity(spec), complexity(scaled), _notes(spec, scaled, asked)
    )
    return scaled, report


def _eights(value: float) -> int:
    return 8 * max(1, round(value / 8))


def _fours(value: float) -> int:
    return 4 * max(1, round(value / 4))


def _depths(depths: Sequence[int], factor: float) -> tuple[int, ...]:
    return tuple(max(1, round(depth * factor)) for depth in depths)


def _group_width(group: int, factor: float) -> int:
    scaled = max(1, round(group * factor))
    if scaled <= 2:
        return scaled
    return 4 if scaled <= 5 else 8 * round(scaled / 8)


def scale_anynet(spec: AnyNetSpec, factors: Factors) -> AnyNetSpec:
    """Scale stages and images; the stem's and head's widths stay (as in pycls)."""
    widths, groups = compatible_widths(
        [_eights(width * factors.width) for width in spec.widths],
        spec.bot_muls,
        [_group_width(group, factors.group) for group in spec.group_widths],
    )
    return replace(
        spec,
        depths=_depths(spec.depths, factors.depth),
        widths=tuple(widths),
        group_widths=tuple(groups),
        image_size=_fours(spec.image_size * factors.resolution),
        test_size=_fours(spec.test_size * factors.resolution),
    )


def scale_effnet(spec: EffNetSpec, factors: Factors) -> EffNetSpec:
    """Scale stages, stem, head and images."""
    return replace(
        spec,
        depths=_depths(spec.depths, factors.depth),
        widths=tuple(_eights(width * factors.width) for width in spec.widths),
        stem_width=_eights(spec.stem_width * factors.width),
        head_width=_eights(spec.head_width * factors.width),
        image_size=_fours(spec.image_size * factors.resolution),
        test_size=_fours(spec.test_size * factors.resolution),
    )


def scale_vit(spec: ViTSpec, factors: Factors) -> ViTSpec:
    """Scale blocks, token width, heads, MLP, stem and images.

    The rule is ours (the paper scales CNNs only). Depth: round(d x blocks), at least 1. Width: the
    head dimension stays, heads become round(w x heads), at least 1, and the hidden width is heads
    times head dimension; the MLP keeps its ratio to the hidden width, rounded to 8; the stem's
    channels grow by w, rounded to 8. Resolution: the nearest multiple of the patch size. Group
    factors mean nothing here. Flops a token grow as d w^2 and tokens as r^2, as in a CNN; attention
    scores grow as d w r^4, which the factor does not see.
    """
    head_dim = spec.hidden_dim // spec.num_heads
    heads = max(1, round(spec.num_heads * factors.width))
    hidden = heads * head_dim
    patch = spec.stem.patch_size
    stem = spec.stem
    if stem.channels and factors.width != 1:
        stem = replace(stem, channels=tuple(_eights(c * factors.width) for c in stem.channels))
    return replace(
        spec,
        depth=max(1, round(spec.depth * factors.depth)),
        hidden_dim=hidden,
        num_heads=heads,
        mlp_dim=_eights(spec.mlp_dim * hidden / spec.hidden_dim),
        stem=stem,
        image_size=patch * max(1, round(spec.image_size * factors.resolution / patch)),
        test_size=_fours(spec.test_size * factors.resolution),
    )


def _mean_growth(before: Sequence[float], after: Sequence[float]) -> float:
    """Geometric mean of the growth of a list."""
    logs = [math.log(b / a) for a, b in zip(before, after, strict=True)]
    return math.exp(sum(logs) / len(logs))


def _notes(base: Spec, scaled: Spec, asked: Factors) -> tuple[str, ...]:
    """Say which dimensions rounding moved by more than 2%."""
    if isinstance(base, ViTSpec) and isinstance(scaled, ViTSpec):
        got = {
            "depth": scaled.depth / base.depth,
            "width": scaled.hidden_dim / base.hidden_dim,
        }
    elif not isinstance(base, ViTSpec) and not isinstance(scaled, ViTSpec):
        got = {
            "depth": sum(scaled.depths) / sum(base.depths),
            "width": _mean_growth(base.widths, scaled.widths),
        }
        if isinstance(base, AnyNetSpec) and isinstance(scaled, AnyNetSpec):
            got["group"] = _mean_growth(base.group_widths, scaled.group_widths)
    got["resolution"] = scaled.image_size / base.image_size
    return tuple(
        f"{name}: asked x{want:.3f}, rounded to x{got[name]:.3f}"
        for name, want in asked._asdict().items()
        if name in got and abs(got[name] / want - 1) > 0.02
    )


def stem_layers(hidden_dim: int, patch_size: int = 16) -> ViTStem:
    """Return the convolutional stem of Early Convolutions for a hidden width and patch size.

    Paper: arXiv 2106.14881, section 4: 3x3 convolutions that either halve the map and double the
    channels or keep both, then a 1x1 projection. Up to a hidden width of 512 each layer halves and
    the last has the hidden width; above, the channels end at 512 and every layer between the first
    and the last is followed by one that keeps the map (the paper's 18GF and 36GF stem, since
    matching the widest networks would need an absurdly large one).

    Raises:
        ValueError: If the patch size is not a power of two above 1, or too large for the width.
    """
    halvings = patch_size.bit_length() - 1
    last = min(hidden_dim, 512)
    if patch_size < 2 or patch_size != 1 << halvings or last >> (halvings - 1) < 1:
        raise ValueError(
            "need a patch size that is a power of two above 1 and no larger than twice the hidden "
            f"width, got patch size {patch_size} and hidden width {hidden_dim}"
        )
    channels, strides = [], []
    for i in range(halvings):
        channels.append(last >> (halvings - 1 - i))
        strides.append(2)
        if hidden_dim > 512 and 0 < i < halvings - 1:
            channels.append(channels[-1])
            strides.append(1)
    return ViTStem(tuple(channels), (3,) * len(channels), tuple(strides), 1, 1)


def matched_stem(spec: ViTSpec) -> ViTSpec:
    """Return the convolutional-stem twin of a patchify ViT: new stem, fewer blocks, equal flops.

    Paper: arXiv 2106.14881, section 4: the stem costs about one block, so one block goes. Here the
    number of blocks is the one whose flops come nearest to the patchify twin's, which gives the
    paper's networks at 1, 4, 18, 36 and 72 GF.

    Raises:
        ValueError: If the network has a convolutional stem already, its patch size has no such
            stem, or the stem alone costs more than the network.
    """
    if spec.stem.channels:
        raise ValueError("need a ViT with a patchify stem, got one with a convolutional stem")
    target = complexity(spec).flops
    twin = replace(spec, stem=stem_layers(spec.hidden_dim, spec.stem.patch_size))
    extra = complexity(twin).flops - target
    per_block = complexity(replace(spec, depth=spec.depth + 1)).flops - target
    removed = max(0, round(extra / per_block))
    if removed >= spec.depth:
        raise ValueError(
            f"need a ViT that costs more than its stem, got {spec.depth} blocks where the stem "
            f"costs {removed}; use more blocks"
        )
    return replace(twin, depth=spec.depth - removed)
