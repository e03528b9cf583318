"""How fast is a SwAV training step, beside the same step made of lightly's parts?

Both train the same backbone on the same views, ready in memory: forward, Sinkhorn, loss, backward,
optimizer. Ours is the task's own step, with its measures of health and its check for what is not
finite; lightly's is the loop of its SwAV example: a forward pass for each view, `SwaVLoss`, `LARS`.
"channels-last" gives lightly's our memory layout as well; "torchvision" is the backbone that its
example has.

Run:  python benchmarks/swav_step.py [--model ResNet-18] [--batch 16] [--device cuda] [--quick]
Needs lightly (pip install lightly) beside torchvision.
"""

import argparse
from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
import torchvision
from common import Record, rates, take_turns
from lightly.loss import SwaVLoss
from lightly.models.modules import SwaVProjectionHead, SwaVPrototypes
from lightly.utils.lars import LARS
from torch import Tensor, nn
from workloads import make_views, swav_call

from eyespot.data.multicrop import Crops
from eyespot.design.by_name import to_spec
from eyespot.models.build import create_model
from eyespot.models.speed import SpeedSettings, autocast, describe, speed_defaults

HIDDEN, OUT = 2048, 128


def lightly_step(
    backbone: nn.Module,
    width: int,
    views: list[Tensor],
    prototypes: int,
    settings: SpeedSettings,
    device: str,
) -> Callable[[], object]:
    """The step of lightly's SwAV example."""
    head = SwaVProjectionHead(width, HIDDEN, OUT)
    scores_of = SwaVPrototypes(OUT, prototypes)
    parts = nn.ModuleList([backbone, head, scores_of]).to(device).train()
    if settings.channels_last:
        parts.to(memory_format=torch.channels_last)
    layout = torch.channels_last if settings.channels_last else torch.contiguous_format
    single = [view.contiguous(memory_format=layout) for of_size in views for view in of_size]
    num_large = len(views[0])
    criterion = SwaVLoss()
    optimizer = LARS(parts.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-6)

    def step() -> None:
        with torch.no_grad():
            scores_of.normalize()
        with autocast(device, settings):
            scores = [
                scores_of(F.normalize(head(backbone(view).flatten(1)), dim=1)) for view in single
            ]
        scores = [each.float() for each in scores]
        loss = criterion(scores[:num_large], scores[num_large:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def contestants(
    model: str, views: list[Tensor], prototypes: int, settings: SpeedSettings, device: str
) -> dict[str, Callable[[], object]]:
    """Ours, and lightly's parts on the same backbone and on torchvision's."""
    plain = replace(settings, channels_last=False)
    make = lambda: create_model(model, num_classes=0)  # noqa: E731
    width = make().head.in_dim
    found = {"eyespot": swav_call(model, views, prototypes, settings, device)}
    for name, layout in (("lightly", plain), ("lightly, channels-last", settings)):
        found[name] = lightly_step(make(), width, views, prototypes, layout, device)
    if hasattr(torchvision.models, model.replace("-", "").lower()):
        network = getattr(torchvision.models, model.replace("-", "").lower())()
        network.fc = nn.Identity()
        name = "lightly, torchvision"
        found[name] = lightly_step(network, width, views, prototypes, plain, device)
    return found


def main() -> None:
    """Time both, in float32 and in the format that is the device's default."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--model", default="")
    parser.add_argument("--batch", type=int, default=0)
    parser.add_argument("--prototypes", type=int, default=3000)
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    cuda = args.device == "cuda"
    model = args.model or ("ResNet-50" if cuda else "ResNet-18")
    batch = args.batch or (64 if cuda else 16)
    large, small = (224, 96) if cuda else (96, 48)
    crops = (Crops(2, large, (0.14, 1.0)), Crops(6, small, (0.05, 0.14)))
    if args.quick:
        batch, crops = 4, (Crops(2, 64, (0.14, 1.0)), Crops(4, 32, (0.05, 0.14)))
    record = Record("swav_step", args.device)
    views = make_views(crops, batch, args.device)
    default = replace(speed_defaults(args.device, to_spec(model), "training"), compile=False)
    for settings in dict.fromkeys((replace(default, dtype=torch.float32), default)):
        torch.manual_seed(1)
        calls = contestants(model, views, args.prototypes, settings, args.device)
        seconds = take_turns(
            calls, turns=3 if args.quick else args.turns, turn_s=1.0, device=args.device
        )
        sizes = " + ".join(f"{kind.count}x{kind.size_px}" for kind in crops)
        case = f"{model}, {sizes} px, batch {batch}, {describe(settings)}"
        against = {"eyespot": tuple(name for name in calls if name != "eyespot")}
        record.add(rates(case, seconds, per_call=batch, unit="images/s", against=against))


if __name__ == "__main__":
    main()
