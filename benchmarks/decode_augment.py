"""How fast are decoding, the supervised training view and each pixel operation, on one thread?

Each against PIL doing the same, in CPU time.

Run: python -m benchmarks.decode_augment [seconds for each of the first rows]
"""

import io
import sys
import time
from collections.abc import Callable

import numpy as np
from benchmarks.pictures import photo_like
from benchmarks.timing import images_per_second
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from eyespot.data import pixels
from eyespot.data.decode import decode_image
from eyespot.data.distort import adjust_hue, blur
from eyespot.data.draws import Draws
from eyespot.data.geometry import draw_crop, flip, resized_crop, short_side_crop
from eyespot.data.policies import apply_ops, draw_autoaugment


def pil_decode(photo: bytes, index: int = 0) -> Image.Image:
    """Decode with PIL."""
    return Image.open(io.BytesIO(photo)).convert("RGB")


def training_view(photo: bytes, index: int) -> np.ndarray:
    """Decode, random resized crop, flip."""
    image, draws = decode_image(photo), Draws(0, 0, index)
    view = resized_crop(image, draw_crop(draws, *image.shape[:2]), 224)
    return flip(view) if draws.coin() else view


def pil_training_view(photo: bytes, index: int) -> np.ndarray:
    """Do the same with PIL."""
    image, draws = pil_decode(photo), Draws(0, 0, index)
    box = draw_crop(draws, image.height, image.width)
    if box is None:
        view = ImageOps.fit(image, (224, 224), Image.Resampling.BILINEAR)
    else:
        edges = (box.left, box.top, box.left + box.width, box.top + box.height)
        view = image.crop(edges).resize((224, 224), Image.Resampling.BILINEAR)
    return np.asarray(ImageOps.mirror(view) if draws.coin() else view)


def autoaugment_view(photo: bytes, index: int) -> np.ndarray:
    """Add AutoAugment to the training view."""
    return apply_ops(training_view(photo, index), draw_autoaugment(Draws(0, 0, index, 1)))


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


def main(seconds: float) -> None:
    """Print all rows."""
    photos = [photo_like(375, 500, seed) for seed in range(16)]
    print(f"{len(photos)} JPEGs of 500x375, {sum(map(len, photos)) // len(photos)} bytes each")
    functions: dict[str, Callable[[bytes, int], object]] = {
        "decode, PIL": lambda photo, index: np.asarray(pil_decode(photo)),
        "decode": lambda photo, index: decode_image(photo),
        "crop to 224 and flip, PIL": pil_training_view,
        "crop to 224 and flip": training_view,
        "crop, flip, AutoAugment": autoaugment_view,
        "test view 256/224": lambda photo, index: short_side_crop(
            decode_image(photo), resize_to=256, crop=224
        ),
        "draws of one view": lambda photo, index: draw_crop(Draws(0, 0, index), 375, 500),
    }
    images_per_second(functions, photos, seconds)
    large = [photo_like(1366, 2048)]
    print("one JPEG of 2048x1366")
    images_per_second(
        {
            "decode, PIL": lambda photo, index: np.asarray(pil_decode(photo)),
            "decode": lambda photo, index: decode_image(photo),
            "decode, min_side 600": lambda photo, index: decode_image(photo, min_side=600),
            "decode, min_side 256": lambda photo, index: decode_image(photo, min_side=256),
        },
        large,
        seconds,
    )
    picture = short_side_crop(decode_image(photos[0]), resize_to=224, crop=224)
    picture = np.ascontiguousarray(picture)
    image = Image.fromarray(picture)
    print("on 224x224, microseconds: ours (array to array), PIL (image to image)")
    for name, (ours, pil) in OPERATIONS.items():
        print(
            f"{name:14} {microseconds(lambda f=ours: f(picture)):8.0f}"
            f" {microseconds(lambda f=pil: f(image)):8.0f}"
        )


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
