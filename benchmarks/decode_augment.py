"""How fast are decoding, the supervised training view and each pixel operation, on one thread?

Each against PIL doing the same, and decoding and the view (a random resized crop of 224 pixels,
mirrored half the time) against torchvision's v2 transforms, where they can be imported. Ours is
what a `Loader` does to a sample; "draft" decodes large JPEGs no larger than the crop needs, ours
and PIL's, and torchvision cannot.

Run:  OMP_NUM_THREADS=1 python benchmarks/decode_augment.py [--turns 15] [--quick]
"""

import argparse
import io
import math
import time
from collections.abc import Callable, Sequence
from functools import partial

import cv2
import numpy as np
import torch
from common import Contestants, Record, rates, take_turns
from pictures import photo_like
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from eyespot.data import pixels
from eyespot.data.decode import decode_image, upright_size
from eyespot.data.distort import adjust_hue, blur
from eyespot.data.draws import Draws
from eyespot.data.geometry import draw_crop, scale_box, short_side_crop
from eyespot.data.views import TestView, TrainView

VIEW, AUGMENTED, MIDDLE = TrainView(), TrainView(policy="AutoAugment"), TestView()

Work = Callable[[bytes, int], object]


def pil_decode(photo: bytes, index: int = 0) -> Image.Image:
    """Decode with PIL."""
    return Image.open(io.BytesIO(photo)).convert("RGB")


def training_view(photo: bytes, index: int, view: TrainView = VIEW) -> np.ndarray:
    """Decode, random resized crop, flip, and the policy if there is one."""
    return view(decode_image(photo), seed=0, epoch=0, index=index)[0]


def draft_training_view(photo: bytes, index: int) -> np.ndarray:
    """Do the same, decoding no more than the crop needs."""
    where, size = {"seed": 0, "epoch": 0, "index": index}, upright_size(photo)
    image = decode_image(photo, min_side=VIEW.least_side(*size, **where))
    return VIEW(image, size=size, **where)[0]


def pil_draft_view(photo: bytes, index: int) -> np.ndarray:
    """Do the same with PIL, whose draft mode finds the size to decode at."""
    image = Image.open(io.BytesIO(photo))
    size = image.height, image.width
    side = VIEW.least_side(*size, seed=0, epoch=0, index=index)
    scale = side / min(image.size)
    image.draft("RGB", (math.ceil(scale * image.width), math.ceil(scale * image.height)))
    return pil_view(image.convert("RGB"), index, size)


def pil_training_view(photo: bytes, index: int) -> np.ndarray:
    """Do the same with PIL."""
    image = pil_decode(photo)
    return pil_view(image, index, (image.height, image.width))


def pil_view(image: Image.Image, index: int, size: tuple[int, int]) -> np.ndarray:
    """Crop, resize and flip with PIL."""
    draws = Draws(0, 0, index)
    box = draw_crop(draws, *size)
    if box is None:
        view = ImageOps.fit(image, (224, 224), Image.Resampling.BILINEAR)
    else:
        box = scale_box(box, size, (image.height, image.width))
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)
        view = image.crop(edges).resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(ImageOps.mirror(view) if draws.coin() else view)


def torchvision_work() -> dict[str, Work]:
    """Decoding and the view by torchvision, on tensors, or nothing where it is missing."""
    try:
        from torchvision.io import ImageReadMode
        from torchvision.io import decode_image as torchvision_decode
        from torchvision.transforms import v2
    except (ImportError, RuntimeError) as error:
        print(f"torchvision is left out: {error}")
        return {}
    view = v2.Compose([v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()])

    def decode(photo: bytes, index: int) -> torch.Tensor:
        data = torch.frombuffer(bytearray(photo), dtype=torch.uint8)
        return torchvision_decode(data, ImageReadMode.RGB)

    def whole(photo: bytes, index: int) -> torch.Tensor:
        torch.manual_seed(index)
        return view(decode(photo, index))

    return {"decode": decode, "view": whole}


def microseconds(function: Callable[[], object]) -> float:
    """Return the best of many timings."""
    best = float("inf")
    for _ in range(7):
        start = time.process_time()
        for _ in range(20):
            function()
        best = min(best, (time.process_time() - start) / 20)
    return best * 1e6


def pil_hue(image: Image.Image) -> Image.Image:
    """Turn the hue by 25/255."""
    hue, saturation, value = image.convert("HSV").split()
    hue = Image.fromarray(np.asarray(hue) + np.uint8(25))
    return Image.merge("HSV", (hue, saturation, value)).convert("RGB")


OPERATIONS: dict[str, tuple[Callable[[np.ndarray], object], Callable[[Image.Image], object]]] = {
    "auto_contrast": (pixels.auto_contrast, ImageOps.autocontrast),
    "equalize": (pixels.equalize, ImageOps.equalize),
    "invert": (pixels.invert, ImageOps.invert),
    "posterize": (lambda x: pixels.posterize(x, 3), lambda x: ImageOps.posterize(x, 3)),
    "solarize": (lambda x: pixels.solarize(x, 99), lambda x: ImageOps.solarize(x, 99)),
    "brightness": (
        lambda x: pixels.brightness(x, 1.3),
        lambda x: ImageEnhance.Brightness(x).enhance(1.3),
    ),
    "contrast": (
        lambda x: pixels.contrast(x, 1.3),
        lambda x: ImageEnhance.Contrast(x).enhance(1.3),
    ),
    "color": (lambda x: pixels.color(x, 1.3), lambda x: ImageEnhance.Color(x).enhance(1.3)),
    "sharpness": (
        lambda x: pixels.sharpness(x, 1.3),
        lambda x: ImageEnhance.Sharpness(x).enhance(1.3),
    ),
    "rotate": (lambda x: pixels.rotate(x, 13.0), lambda x: x.rotate(13, Image.Resampling.BILINEAR)),
    "hue": (lambda x: adjust_hue(x, 0.1), pil_hue),
    "blur": (lambda x: blur(x, 1.0), lambda x: x.filter(ImageFilter.GaussianBlur(1.0))),
}


def contestants(
    photos: Sequence[bytes], ours: Work, pils: Work, torchvisions: Work | None
) -> Contestants:
    """Everyone's work on all photos."""
    works = {"eyespot": ours, "PIL": pils} | (
        {"torchvision v2": torchvisions} if torchvisions else {}
    )
    return {name: partial(_each, work, photos) for name, work in works.items()}


def _each(work: Work, photos: Sequence[bytes]) -> None:
    for index, photo in enumerate(photos):
        work(photo, index)


def operations() -> None:
    """Print what each pixel operation takes."""
    picture = short_side_crop(decode_image(photo_like(375, 500)), resize_to=224, crop=224)
    picture = np.ascontiguousarray(picture)
    image = Image.fromarray(picture)
    print("on 224x224, microseconds: ours (array to array), PIL (image to image)")
    for name, (ours, pil) in OPERATIONS.items():
        print(
            f"{name:14} {microseconds(lambda f=ours: f(picture)):8.0f}"
            f" {microseconds(lambda f=pil: f(image)):8.0f}"
        )


def main() -> None:
    """Time all cases."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=15)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    turns = 3 if args.quick else args.turns
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    record, theirs = Record("decode_augment"), torchvision_work()
    small = [photo_like(375, 500, seed) for seed in range(32)]
    large = [photo_like(1366, 2048, seed) for seed in range(2 if args.quick else 8)]
    decode = partial(contestants, ours=lambda photo, index: decode_image(photo))
    decode = partial(decode, pils=lambda photo, index: np.asarray(pil_decode(photo)))

    def view(photos: Sequence[bytes]) -> Contestants:
        torchvisions = theirs.get("view")
        works = contestants(photos, training_view, pil_training_view, torchvisions)
        draft = {"eyespot, draft": draft_training_view, "PIL, draft": pil_draft_view}
        return works | {name: partial(_each, work, photos) for name, work in draft.items()}

    cases = {
        "decode": decode(small, torchvisions=theirs.get("decode")),
        "decode, crop to 224, flip": view(small),
        "decode, crop to 224, flip, 2048x1366": view(large),
        "decode, crop, flip, AutoAugment": {
            "eyespot": partial(_each, partial(training_view, view=AUGMENTED), small)
        },
        "decode, test view 256/224": {
            "eyespot": partial(
                _each,
                lambda photo, index: MIDDLE(decode_image(photo), seed=0, epoch=0, index=0),
                small,
            )
        },
    }
    for case, calls in cases.items():
        photos = large if "2048" in case else small
        seconds = take_turns(calls, turns=turns, turn_s=0.3)
        case = case if photos is large else f"{case}, 500x375"
        against = {
            "eyespot": ("PIL", "torchvision v2"),
            "eyespot, draft": ("PIL, draft", "PIL", "torchvision v2"),
        }
        record.add(rates(case, seconds, per_call=len(photos), unit="images/s", against=against))
    operations()


if __name__ == "__main__":
    main()
