"""Image bytes to pixels: the header is checked first, then the fastest decoder that is safe runs.

Shapes: H, W of the picture as it is meant to be seen (turned by EXIF).
"""

import io
import struct

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from jaxtyping import UInt8
from PIL import Image

from eyespot.data.headers import (
    EXIF_ORIENTATION,
    FORMATS,
    ImageHeader,
    JpegFacts,
    jpeg_facts,
    read_header,
)

MAX_PIXELS = 89_478_485
"""Default cap on stored pixels: where PIL starts to warn of a bomb (a quarter GiB of RGB)."""

_MAX_JPEG_SCANS = 500  # a progressive JPEG has about ten; each one is a pass over all pixels
_BROKEN_JPEG = ("remature end", "Huffman", "progression")


def decode_image(
    data: bytes, *, max_pixels: int = MAX_PIXELS, min_side: int | None = None
) -> UInt8[np.ndarray, "h w 3"]:
    """Decode one image to RGB, whatever its colour model, upright.

    Grey is repeated, 16 bit keeps its high byte, CMYK and palettes are converted, transparency
    is laid on white, animations give their first frame. Colour profiles are ignored.

    Args:
        data: The whole file.
        max_pixels: Refuse more stored pixels than this, before anything is decoded.
        min_side: If given, a JPEG may be decoded at 1/2, 3/8, 1/4 or 1/8 of its size as long as
            both sides stay at least this long; it never gets larger than stored.

    Raises:
        ValueError: If the bytes are no image, too large, truncated or broken.
    """
    header = read_header(data)
    _check_size(header, max_pixels)
    if header.format != "JPEG":
        return _decode_with_pil(data, max_pixels)
    facts = jpeg_facts(data)
    pixels = _decode_jpeg(data, min_side, facts)
    if pixels is None:
        return _decode_with_pil(data, max_pixels)
    return upright(pixels, facts.orientation)


def upright_size(data: bytes) -> tuple[int, int]:
    """Return height and width of a picture as `decode_image` turns it, from its first bytes.

    Raises:
        ValueError: If the bytes are no image.
    """
    header = read_header(data)
    turned = header.format == "JPEG" and jpeg_facts(data).orientation >= 5
    return (header.width, header.height) if turned else (header.height, header.width)


def upright(pixels: UInt8[np.ndarray, "h w 3"], orientation: int) -> UInt8[np.ndarray, "h2 w2 3"]:
    """Turn and mirror a stored picture as its EXIF orientation (1..8) asks."""
    if orientation >= 5:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)


def _check_size(header: ImageHeader, max_pixels: int) -> None:
    if header.width * header.height > max_pixels:
        raise ValueError(
            f"need at most {max_pixels} pixels, got {header.format} of {header.width}x"
            f"{header.height}; if it is meant to be this large, store it smaller"
        )


def _decode_jpeg(data: bytes, min_side: int | None, facts: JpegFacts) -> np.ndarray | None:
    """Return the stored picture, or None if only PIL can tell."""
    if not facts.one_scan and (scans := data.count(b"\xff\xda")) > _MAX_JPEG_SCANS:
        raise ValueError(f"need a JPEG of at most {_MAX_JPEG_SCANS} scans, got {scans}")
    try:
        if simplejpeg.decode_jpeg_header(data)[2] in ("CMYK", "YCCK"):
            return None
        side = min_side or 0
        pixels = simplejpeg.decode_jpeg(data, min_height=side, min_width=side, min_factor=2)
    except ValueError as error:
        if any(word in str(error) for word in _BROKEN_JPEG):
            raise ValueError(
                f"a JPEG of {len(data)} bytes is truncated or broken: {error}"
            ) from error
        return None  # odd but harmless, such as stray bytes between headers
    return np.asarray(pixels)


def _decode_with_pil(data: bytes, max_pixels: int) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            # PIL may find a larger frame than the header told of.
            _check_size(ImageHeader(str(image.format), *image.size), max_pixels)
            image.load()
            orientation = _exif_orientation(image)
            pixels = np.array(_to_rgb(image))  # a copy, which may be written to
    except MemoryError:
        raise
    except Exception as error:  # a decoder that is fed hostile bytes may raise anything
        raise ValueError(f"an image of {len(data)} bytes cannot be decoded: {error}") from error
    return upright(pixels, orientation)


def _exif_orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(EXIF_ORIENTATION, 1)
    except (OSError, SyntaxError, ValueError, struct.error):  # no reason to lose the picture
        return 1
    return orientation if orientation in range(1, 9) else 1


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        return Image.fromarray(_high_byte(np.asarray(image))).convert("RGB")
    if image.mode == "F":
        raise ValueError("floating-point pixels have no known range")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(opaque, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def _high_byte(values: np.ndarray) -> np.ndarray:
    if values.min() < 0 or values.max() > 0xFFFF:
        raise ValueError(f"need pixels of 16 bits, got values up to {values.max()}")
    return (values >> 8).astype(np.uint8)
