"""The pictures part of recipes: what a training and a test image go through."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from eyespot.data.distort import Distortion
from eyespot.data.geometry import Filter
from eyespot.data.loader import Batch, MakeViews
from eyespot.data.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize
from eyespot.data.views import PaddedView, TestView, TrainView
from eyespot.errors import RecipeError


@dataclass(frozen=True, slots=True)
class Pictures:
    """What happens to an image between its file and the network.

    Attributes:
        size_px: Side of a training view; of a test view too.
        test_resize_px: What the shorter side of a test image is resized to; 0 for `size_px`.
        view: "crop" is a random resized crop, "pad" CIFAR's zero padding and crop; both are
            mirrored half the time. "middle" is the test view, for overfitting and measuring.
        area: Range of a random crop's share of the image.
        pad_px: Padding of "pad".
        policy: "AutoAugment", "RandAugment_N2_M0.5", or "" for none. Of "crop".
        colours: Strength s of SimCLR's and SwAV's colour distortion: brightness, contrast and
            saturation by up to 0.8 s and hue by 0.2 s, four times of five, then grey, once of
            five; 0 for none. Of "crop".
        blur: How often a view is blurred after it, by 0.1 to 2 px, in 0..1. Of "crop".
        filter: Of resizing, in training and in testing.
        draft: Decode JPEGs at 1/2, 3/8, 1/4 or 1/8 of their size where the crop needs no more:
            pictures of 1,000 pixels and more are read faster, and differ a little. Of "crop".
        pca_std: Of AlexNet's colour shift; 0 for none.
        mean: Of each channel, in 0..1.
        std: Of each channel, in 0..1.
    """

    size_px: int = 224
    test_resize_px: int = 256
    view: Literal["crop", "pad", "middle"] = "crop"
    area: tuple[float, float] = (0.08, 1.0)
    pad_px: int = 4
    policy: str = ""
    colours: float = 0.0
    blur: float = 0.0
    filter: Filter = "bilinear"
    draft: bool = False
    pca_std: float = 0.1
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_STD


def train_view(pictures: Pictures) -> MakeViews:
    """Return what makes training views.

    Raises:
        RecipeError: If a number is out of range, the policy is unknown, or the view has none.
    """
    if pictures.size_px < 1 or not 0 < pictures.area[0] <= pictures.area[1] <= 1:
        raise RecipeError(
            "need size_px of 1 or more and an area within 0..1, got "
            f"{pictures.size_px} and {pictures.area}"
        )
    crops_alone = (pictures.policy, pictures.colours, pictures.blur, pictures.draft)
    if pictures.view != "crop" and any(crops_alone):
        raise RecipeError(
            'need view "crop" for a policy, colours, blur or draft, got view '
            f'"{pictures.view}" with policy={pictures.policy!r}, colours={pictures.colours}, '
            f"blur={pictures.blur} and draft={pictures.draft}; leave them out, or take the other "
            "view"
        )
    match pictures.view:
        case "crop":
            return TrainView(
                pictures.size_px,
                pictures.area,
                pictures.policy,
                _distortion(pictures),
                pictures.filter,
            )
        case "pad":
            return PaddedView(pictures.pad_px)
        case "middle":
            return evaluation_view(pictures)


def _distortion(pictures: Pictures) -> Distortion | None:
    """SimCLR's colour distortion (arXiv 2002.05709, appendix A), and its blur."""
    strength = pictures.colours
    if not (strength or pictures.blur):
        return None
    return Distortion(
        brightness=0.8 * strength,
        contrast=0.8 * strength,
        saturation=0.8 * strength,
        hue=0.2 * strength,
        jitter_probability=0.8 if strength else 0.0,
        grey_probability=0.2 if strength else 0.0,
        blur_probability=pictures.blur,
    )


def evaluation_view(pictures: Pictures) -> MakeViews:
    """Return what makes test views."""
    resize_to = max(pictures.test_resize_px, pictures.size_px)
    return TestView(resize_to, pictures.size_px, filter=pictures.filter)


def to_network(batch: Batch, pictures: Pictures, device: torch.device) -> Float[Tensor, "b 3 h w"]:
    """Return a batch's one view, normalised, on the device."""
    images = batch.images[0][0].to(device, non_blocking=True)  # [B, 3, h, w]
    shift = batch.shifts if pictures.pca_std else None
    return normalize(images, mean=pictures.mean, std=pictures.std, shift=shift)
