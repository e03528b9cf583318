"""What the small self-supervised recipes of all methods have in common, for a fair comparison."""

from eyespot.data.distort import Distortion
from eyespot.data.multicrop import Crops
from eyespot.tasks.methods.swav import SwAV
from eyespot.tasks.optimization import OptimizerSettings, Schedule
from eyespot.tasks.selfsup import Probe, SelfSupRecipe

_GREY = Distortion(
    brightness=0.4, contrast=0.4, saturation=0.0, hue=0.0, grey_probability=0.0,
    blur_probability=0.2, blur_sigma=(0.1, 1.0),
)  # fmt: skip
_COLOUR = Distortion(
    brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, grey_probability=0.2,
    blur_probability=0.2, blur_sigma=(0.1, 1.0),
)  # fmt: skip

FASHION_TWO = (Crops(2, 28, (0.5, 1.0), _GREY),)
"""Two views of an image of Fashion-MNIST."""

FASHION = SelfSupRecipe(
    method=SwAV(),
    model="MNIST-RegNetY-2MF",
    crops=(*FASHION_TWO, Crops(2, 16, (0.25, 0.5), _GREY)),
    epochs=10,
    batch_size=128,
    optimizer=OptimizerSettings("adamw", lr=2e-3, weight_decay=0.05),
    schedule=Schedule("swav", warmup_epochs=0.1, warmup_start=0.1, final=0.001, per="step"),
    probe=Probe(images=4000, resize_px=28, size_px=28),
    mean=(0.286, 0.286, 0.286),
    std=(0.353, 0.353, 0.353),
)

SCENES_TWO = (Crops(2, 48, (0.5, 1.0), _COLOUR),)
"""Two views of a scene."""

SCENES = SelfSupRecipe(
    method=SwAV(),
    model="RegNetY-200MF",
    crops=(*SCENES_TWO, Crops(2, 24, (0.25, 0.5), _COLOUR)),
    epochs=20,
    steps=700,
    batch_size=64,
    optimizer=OptimizerSettings("adamw", lr=3e-3, weight_decay=0.05),
    schedule=Schedule("swav", warmup_epochs=1, warmup_start=0.05, final=0.001, per="step"),
    probe=Probe(images=1200, resize_px=64, size_px=64),
    evaluate_every=100,
)

SMOKE_TWO = (Crops(2, 32, (0.3, 1.0), _COLOUR),)
"""Two views for seconds."""

SMOKE = SelfSupRecipe(
    method=SwAV(),
    model="MNIST-RegNetY-2MF",
    crops=(*SMOKE_TWO, Crops(2, 16, (0.1, 0.3), _COLOUR)),
    epochs=2,
    batch_size=16,
    optimizer=OptimizerSettings("larc", lr=0.5, weight_decay=1e-6),
    schedule=Schedule("swav", warmup_epochs=1, per="step"),
    probe=Probe(images=32, resize_px=32, size_px=32, neighbours=5),
)
