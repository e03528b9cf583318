"""Pictures as people have them: a path, bytes, an array, a tensor, a PIL image."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from eyespot.data.decode import MAX_PIXELS, decode_image
from eyespot.data.samples import read_image_file

Picture = str | Path | bytes | np.ndarray | Tensor | Image.Image
"""A file's path, its content, pixels [h, w], [h, w, 1], [h, w, 3] or [h, w, 4], as a tensor also
[1, h, w] or [3, h, w], or a PIL image."""


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
    if isinstance(picture, str) and picture.startswith(("http://", "https://")):
        raise ValueError(f"need a file of this machine, got {picture}; download it first")
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
    if isinstance(picture, Tensor):
        return _from_array(_channels_last(picture).cpu().numpy(), max_pixels)
    if isinstance(picture, np.ndarray):
        return _from_array(picture, max_pixels)
    raise ValueError(
        f"need a picture as path, bytes, array, tensor or PIL image, got a {type(picture).__name__}"
    )


def as_list(pictures: Picture | Sequence[Picture]) -> list[Picture]:
    """Return one picture or several as a list; arrays and tensors of four axes are several."""
    if isinstance(pictures, np.ndarray | Tensor):
        return list(pictures) if pictures.ndim == 4 else [pictures]
    if isinstance(pictures, str | Path | bytes | Image.Image):
        return [pictures]
    return list(pictures)


def _channels_last(picture: Tensor) -> Tensor:
    if picture.ndim == 3 and picture.shape[0] in (1, 3):
        picture = picture.permute(1, 2, 0)  # [h, w, 3]
    return picture.detach()


def _from_pil(picture: Image.Image, max_pixels: int) -> np.ndarray:
    _check_size(picture.height, picture.width, max_pixels)
    picture = ImageOps.exif_transpose(picture)
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
    return np.array(np.broadcast_to(plane, (*shape[:2], 3)))


def _check_size(height: int, width: int, max_pixels: int) -> None:
    if height * width > max_pixels or not height or not width:
        raise ValueError(f"need 1 to {max_pixels} pixels, got {width}x{height}")
