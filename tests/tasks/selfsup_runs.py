"""Small self-supervised recipes that use all there is, and how their runs are compared."""

import json
from dataclasses import replace
from pathlib import Path

import torch
from torch.distributed.checkpoint import HuggingFaceStorageReader

from eyespot.data.multicrop import Crops
from eyespot.data.normalize import normalize
from eyespot.design.spec_files import write_spec
from eyespot.design.specs import AnyNetSpec
from eyespot.tasks import run as running
from eyespot.tasks import selfsup_evaluation, unlabelled
from eyespot.tasks.methods.byol import BYOL
from eyespot.tasks.methods.deepcluster import DeepCluster
from eyespot.tasks.methods.moco import MoCo
from eyespot.tasks.methods.simclr import SimCLR
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.run import Run
from eyespot.tasks.selfsup import Probe, SelfSupRecipe
from eyespot.train.checkpoint import CheckpointFolder, load

FASHION = Path(__file__).parents[1] / "data_sets" / "fashion64"
SPEC = AnyNetSpec((1, 2), (16, 32), (2, 2), (1.0, 1.0), (8, 8), stem_width=8, se_ratio=0.25)
CROPS = (Crops(2, 28, (0.3, 1.0)), Crops(2, 16, (0.1, 0.3)))
TWO = (Crops(2, 28, (0.3, 1.0)),)
SMALL = {"hidden_dims": (32,), "out_dim": 16}
METHODS = {
    "swav": SwAV(**SMALL, prototypes=(20, 12), queue=48, queue_epoch=1, freeze_steps=2),
    "after": SwAV(**SMALL, prototypes=(20,), normalize="after", sinkhorn="log", hard_steps=3),
    "simclr": SimCLR(**SMALL),
    "moco": MoCo(**SMALL, queue=64, momentum=0.9),
    "byol": BYOL(hidden_dim=32, out_dim=16, momentum=0.9),
    "deepcluster": DeepCluster(**SMALL, prototypes=(10, 6)),
}


def make(name, folder, **changes):
    """The recipe of a method: 16 images a step, four steps an epoch, three epochs."""
    spec = Path(folder) / "net.json"
    write_spec(SPEC, spec)
    numbers = {
        "model": str(spec),
        "crops": TWO if name in ("moco", "byol") else CROPS,
        "epochs": 3,
        "batch_size": 16,
        "optimizer": OptimizerSettings(
            "larc", lr=0.3, weight_decay=1e-3, norm_decay=1e-3, bias_decay=1e-3,
            adapt_all=name != "byol",
        ),
        "schedule": Schedule("swav", warmup_epochs=1, per="step"),
        "probe": Probe(images=64, size_px=28, resize_px=28, neighbours=5, batch_size=10),
        "precision": "float32",
    }  # fmt: skip
    return SelfSupRecipe(METHODS[name], **(numbers | changes))


def train(recipe, out, data=FASHION, parallel="ddp", double=False, **changes):
    torch.set_num_threads(1)
    if double:  # so that ranks differ by rounding alone, and rounding is nothing
        torch.set_default_dtype(torch.float64)
        for module in (selfsup_evaluation, unlabelled):
            module.normalize = lambda *args, **settings: normalize(*args, **settings).double()
    run = Run(str(data), Path(out), workers=0, log_every=1, parallel=parallel)
    running.train(recipe, replace(run, **changes))
    return torch.zeros(1)


def metrics(out):
    lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").open()]
    return [
        (name, value)
        for line in lines
        for name, value in (line.get("evaluation") or line).items()
        if name not in ("time", "step", "advice")
    ]


def stored(out):
    """Step, tensors and lines of metrics of a run's newest checkpoint."""
    checkpoint = CheckpointFolder(Path(out) / "checkpoints").newest()[0]
    reader = HuggingFaceStorageReader(str(checkpoint.path / "state"))
    tensors = {
        name: torch.zeros(entry.size, dtype=entry.properties.dtype)
        for name, entry in reader.read_metadata().state_dict_metadata.items()
    }
    load(checkpoint, tensors)
    lines = [json.loads(line) for line in (Path(out) / "metrics.jsonl").open()]
    for line in lines:
        line.pop("time", None)
    return checkpoint.step, tensors, lines
