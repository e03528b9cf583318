"""Images as programs have them, to RGB pixels.

Shapes: h, w of the picture.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from eyespot.data.decode import decode_image
from eyespot.data.samples import read_image_file

ImageLike = str | Path | bytes | np.ndarray | Tensor | Image.Image
"""A path, a file's bytes, pixels [h, w], [h, w, 3] or, as a tensor, [3, h, w], or a PIL image."""


def to_rgb(image: ImageLike) -> UInt8[np.ndarray, "h w 3"]:
    """Return an image's pixels, upright, as they are decoded in training.

    Raises:
        ValueError: If it is no image that is known, or damaged.
        OSError: If a file cannot be read.
    """
    match image:
        case str() | Path():
            return decode_image(read_image_file(Path(image)))
        case bytes():
            return decode_image(image)
        case Image.Image():
            return _from_pil(image)
        case Tensor():
            return _from_array(_channels_last(image).cpu().numpy(), tuple(image.shape))
        case np.ndarray():
            return _from_array(image, image.shape)
    raise ValueError(
        f"need a path, bytes, an array, a tensor or a PIL image, got a {type(image).__name__}"
    )


def as_list(images: ImageLike | Sequence[ImageLike] | np.ndarray | Tensor) -> list[ImageLike]:
    """Return one image or several as a list; arrays and tensors of four axes are several."""
    if isinstance(images, np.ndarray | Tensor):
        return list(images) if images.ndim == 4 else [images]
    if isinstance(images, str | Path | bytes | Image.Image):
        return [images]
    return list(images)


def _channels_last(image: Tensor) -> Tensor:
    if image.ndim == 3 and image.shape[0] in (1, 3):
        image = image.permute(1, 2, 0)  # [h, w, 3]
    return image.detach()


def _from_array(pixels: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    if pixels.dtype != np.uint8:
        raise ValueError(f"need pixels of uint8 in 0..255, got {pixels.dtype} of shape {shape}")
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        raise ValueError(f"need pixels [h, w, 3] or [h, w], as a tensor [3, h, w], got {shape}")
    return np.repeat(pixels, 3, 2) if pixels.shape[2] == 1 else np.ascontiguousarray(pixels)


def _from_pil(image: Image.Image) -> np.ndarray:
    image = ImageOps.exif_transpose(image)
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    elif image.mode.startswith("I") or image.mode == "F":
        raise ValueError(
            f"need an image of 8 bits a channel, got PIL's mode {image.mode!r}; pass its file"
        )
    return np.array(image.convert("RGB"))
