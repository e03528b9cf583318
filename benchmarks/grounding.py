"""How fast is our MDETR beside the same network put together from transformers' parts?

A training step (forward, matching, all losses, backward, clip, AdamW), one picture with eight
texts, and eight pictures with one text, in float32; ours in bfloat16 besides, as `precision` has
it. The rival is `plain_mdetr.py`: eager attention, losses layer by layer, nothing encoded once for
several; it steps with AdamW as torch has it, and fused, as ours and transformers' Trainer have it.

Run:  python benchmarks/grounding.py [--size 320] [--turns 7] [--device cpu] [--quick]
"""

import argparse
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
from common import Contestants, Record, rates, take_turns
from plain_mdetr import PlainMdetr, match, plain_loss
from torch import Tensor, nn

from eyespot.design.by_name import to_spec
from eyespot.losses.grounding import GroundingTargets, grounding_losses, weighted_total
from eyespot.models.grounder import GrounderSpec, build_grounder
from eyespot.models.mdetr import ImageFeatures, ModulatedDetector
from eyespot.ops.matching import match_queries

TOKENS, TEXTS, BOXES = 24, 8, 6


class Inputs(NamedTuple):
    """A batch of nothing in particular."""

    images: Tensor
    real: Tensor  # True where there is no padding
    ids: Tensor
    real_text: Tensor
    boxes: list[Tensor]
    maps: list[Tensor]


def draw(batch: int, size: int, device: str) -> Inputs:
    """Draw images, captions, and what they name."""
    noise = torch.Generator().manual_seed(1)
    boxes = 0.2 + 0.4 * torch.rand(batch, BOXES, 4, generator=noise)
    maps = torch.zeros(batch, BOXES, 256)
    for box in range(BOXES):
        maps[:, box, 1 + 3 * box : 4 + 3 * box] = 1
    images = torch.randn(batch, 3, size, size, generator=noise)
    return Inputs(
        images.to(device),
        torch.ones(batch, size, size, dtype=torch.bool, device=device),
        torch.randint(5, 50000, (batch, TOKENS), generator=noise).to(device),
        torch.ones(batch, TOKENS, dtype=torch.bool, device=device),
        list(boxes.to(device)),
        list(maps.to(device)),
    )


def our_loss(model: nn.Module, inputs: Inputs) -> Tensor:
    """Our losses of a batch."""
    output = model(inputs.images, ~inputs.real, inputs.ids, ~inputs.real_text)
    counts = [len(boxes) for boxes in inputs.boxes]
    targets = GroundingTargets(torch.cat(inputs.boxes), torch.cat(inputs.maps), counts)
    losses, _ = grounding_losses(
        output.logits,
        output.boxes_cxcywh,
        targets,
        num_boxes=sum(counts),
        query_embeddings=output.query_embeddings,
        token_embeddings=output.token_embeddings,
    )
    return weighted_total(losses)


def their_loss(model: nn.Module, inputs: Inputs) -> Tensor:
    """The rival's losses of a batch."""
    output = model(inputs.images, inputs.real, inputs.ids, inputs.real_text)
    return plain_loss(output, inputs.boxes, inputs.maps)


def step(
    model: nn.Module,
    loss_of: Callable[[nn.Module, Inputs], Tensor],
    inputs: Inputs,
    optimizer: torch.optim.Optimizer,
    *,
    fused: bool,
    dtype: torch.dtype = torch.float32,
) -> Callable[[], None]:
    """A training step; steps of one network share its optimizer."""
    (group,) = optimizer.param_groups

    def call() -> None:
        optimizer.zero_grad()
        with torch.autocast(inputs.images.device.type, dtype, enabled=dtype != torch.float32):
            loss = loss_of(model, inputs)
        loss.backward()
        nn.utils.clip_grad_norm_(group["params"], 0.1)
        group["fused"] = fused
        optimizer.step()

    return call


def adamw(model: nn.Module) -> torch.optim.Optimizer:
    """Return the optimizer of what is trained."""
    params = [p for p in model.parameters() if p.requires_grad]
    return torch.optim.AdamW(params, lr=1e-4, weight_decay=1e-4)


def one_picture(ours: ModulatedDetector, theirs: PlainMdetr, inputs: Inputs) -> Contestants:
    """One picture, TEXTS texts."""
    images, real = inputs.images[:1], inputs.real[:1]

    @torch.inference_mode()
    def our_call() -> object:
        image = ours.encode_image(images, ~real)
        text = ours.encode_text(inputs.ids, ~inputs.real_text)
        return ours.decode(ours.fuse(_repeated(image, TEXTS), text, ~inputs.real_text))

    @torch.inference_mode()
    def their_call() -> object:
        pictures = images.expand(TEXTS, -1, -1, -1), real.expand(TEXTS, -1, -1)
        return theirs(*pictures, inputs.ids, inputs.real_text)

    return {
        "eyespot": our_call,
        "eyespot, bfloat16": _in_bfloat16(our_call, inputs),
        "transformers' parts": their_call,
    }


def _in_bfloat16(call: Callable[[], object], inputs: Inputs) -> Callable[[], object]:
    def cast() -> object:
        with torch.autocast(inputs.images.device.type, torch.bfloat16):
            return call()

    return cast


def one_text(ours: ModulatedDetector, theirs: PlainMdetr, inputs: Inputs) -> Contestants:
    """TEXTS pictures, one text."""
    ids, real_text = inputs.ids[:1], inputs.real_text[:1]
    many = ids.expand(TEXTS, -1), real_text.expand(TEXTS, -1)

    @torch.inference_mode()
    def our_call() -> object:
        image = ours.encode_image(inputs.images, ~inputs.real)
        text = ours.encode_text(ids, ~real_text).expand(TEXTS, -1, -1)
        return ours.decode(ours.fuse(image, text, ~many[1]))

    @torch.inference_mode()
    def their_call() -> object:
        return theirs(inputs.images, inputs.real, *many)

    return {"eyespot": our_call, "transformers' parts": their_call}


def matching(batch: int, device: str) -> Contestants:
    """Matching alone: all decoder layers of a batch."""
    inputs = draw(batch, 32, device)
    noise = torch.Generator().manual_seed(2)
    logits = torch.randn(6, batch, 100, 256, generator=noise).to(device)
    boxes = (0.2 + 0.4 * torch.rand(6, batch, 100, 4, generator=noise)).to(device)
    every, maps = torch.cat(inputs.boxes), torch.cat(inputs.maps)
    counts = [len(of_image) for of_image in inputs.boxes]
    return {
        "eyespot": lambda: match_queries(logits, boxes, every, maps, counts),
        "transformers' parts": lambda: [
            match(*layer, inputs.boxes, inputs.maps) for layer in zip(logits, boxes, strict=True)
        ],
    }


def _repeated(image: ImageFeatures, times: int) -> ImageFeatures:
    maps = [m.expand(times, -1, -1, -1) for m in image.maps]
    return ImageFeatures(
        maps,
        image.projected.expand(times, -1, -1, -1),
        image.pad_mask.expand(times, -1, -1),
        image.position.expand(times, -1, -1, -1),
    )


def main() -> None:
    """Run all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=320)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--quick", action="store_true", help="fewer turns")
    args = parser.parse_args()
    turns = 2 if args.quick else args.turns
    record = Record("grounding", args.device)
    ours = build_grounder(GrounderSpec(to_spec("ResNet-101"))).to(args.device)
    assert isinstance(ours, ModulatedDetector)
    ours = ours.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    theirs = PlainMdetr().to(args.device)
    starts = ("backbone.body.stem.", "backbone.body.s1.", "transformer.text_encoder.pooler.")
    for name, parameter in ours.named_parameters():
        parameter.requires_grad_(not name.startswith(starts))
    counts = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (ours, theirs)]
    print(f"trained parameters: {counts[0]:,} and {counts[1]:,}")
    inputs = draw(args.batch, args.size, args.device)
    mine = partial(step, ours.train(), our_loss, inputs, adamw(ours), fused=True)
    plain = partial(step, theirs.train(), their_loss, inputs, adamw(theirs))
    steps = {
        "eyespot": mine(),
        "eyespot, bfloat16": mine(dtype=torch.bfloat16),
        "transformers' parts": plain(fused=False),
        "transformers' parts, fused": plain(fused=True),
    }
    _time(record, args, f"training step, batch {args.batch}", steps, args.batch, turns)
    inputs = draw(TEXTS, args.size, args.device)
    ours.eval(), theirs.eval()
    calls = one_picture(ours, theirs, inputs)
    _time(record, args, f"one picture, {TEXTS} texts", calls, TEXTS, turns)
    _time(record, args, "matching, batch 16", matching(16, args.device), 16, turns)
    calls = one_text(ours, theirs, inputs)
    _time(record, args, f"{TEXTS} pictures, one text", calls, TEXTS, turns)


def _time(
    record: Record,
    args: argparse.Namespace,
    case: str,
    calls: Contestants,
    pairs: int,
    turns: int,
) -> None:
    seconds = take_turns(calls, turns=turns, turn_s=1.0, device=args.device)
    rivals = tuple(name for name in calls if not name.startswith("eyespot"))
    against = {name: rivals for name in calls if name.startswith("eyespot")}
    name = f"MDETR-R101, {args.size} px, {case}"
    record.add(rates(name, seconds, per_call=pairs, unit="pairs/s", against=against))


if __name__ == "__main__":
    main()
