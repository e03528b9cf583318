"""Pictures as people have them: a path, bytes, an array, a PIL image."""

from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from eyespot.data.decode import MAX_PIXELS, decode_image
from eyespot.data.samples import read_image_file

Picture = str | Path | bytes | np.ndarray | Image.Image
"""A file's path, its content, pixels [h, w], [h, w, 1], [h, w, 3] or [h, w, 4], or a PIL image."""


def read_picture(picture: Picture, *, max_pixels: int = MAX_PIXELS) -> UInt8[np.ndarray, "h w 3"]:
    """Return RGB pixels, upright.

    Grey is repeated, 16 bit keeps its high byte, transparency is laid on white, animations give
    their first frame.

    Args:
        picture: As above.
        max_pixels: Refuse larger pictures before they are decoded.

    Raises:
        ValueError: If it is no picture, damaged or too large.
    """
    if isinstance(picture, str | Path):
        try:
            return decode_image(read_image_file(Path(picture)), max_pixels=max_pixels)
        except ValueError as error:
            named = str(picture) in str(error)
            raise ValueError(str(error) if named else f"{picture}: {error}") from None
    if isinstance(picture, bytes):
        return decode_image(picture, max_pixels=max_pixels)
    if isinstance(picture, Image.Image):
        return _from_pil(picture, max_pixels)
    if isinstance(picture, np.ndarray):
        return _from_array(picture, max_pixels)
    raise ValueError(
        f"need a picture as path, bytes, array or PIL image, got a {type(picture).__name__}"
    )


def _from_pil(picture: Image.Image, max_pixels: int) -> np.ndarray:
    _check_size(picture.height, picture.width, max_pixels)
    if picture.mode.startswith(("I", "F")):
        return _from_array(np.asarray(picture), max_pixels)
    if picture.has_transparency_data:
        opaque = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(opaque, picture.convert("RGBA"))
    return np.array(picture.convert("RGB"))


def _from_array(picture: np.ndarray, max_pixels: int) -> np.ndarray:
    shape: Any = picture.shape
    channels = 1 if picture.ndim == 2 else shape[-1]
    if picture.ndim not in (2, 3) or channels not in (1, 3, 4) or 0 in shape:
        raise ValueError(
            f"need pixels [h, w], [h, w, 1], [h, w, 3] or [h, w, 4], got shape {list(shape)}"
        )
    _check_size(shape[0], shape[1], max_pixels)
    if picture.dtype == np.uint8:
        pixels = picture
    elif picture.dtype.kind in "iu" and picture.min() >= 0 and picture.max() <= 0xFFFF:
        pixels = (picture >> 8).astype(np.uint8)
    else:
        raise ValueError(
            f"need pixels of uint8 (0 to 255) or 16 bits, got {picture.dtype}; multiply floats in "
            "0..1 by 255 and convert them"
        )
    if channels == 4:
        return _from_pil(Image.fromarray(pixels, "RGBA"), max_pixels)
    plane = pixels.reshape(*shape[:2], channels)
    return np.ascontiguousarray(np.broadcast_to(plane, (*shape[:2], 3)))


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels or not height or not width:
        raise ValueError(f"need 1 to {max_pixels} pixels, got {width}x{height}")
