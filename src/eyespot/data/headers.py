"""What an image file says about itself, read from its first bytes without decoding a pixel."""

import io
import struct
from collections.abc import Callable
from typing import NamedTuple

import simplejpeg  # type: ignore[import-untyped]
from PIL import Image, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")
"""PIL's names of the formats that are read; everything else is refused."""

EXIF_ORIENTATION = 0x0112

_START_OF_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF0 to SOF15, without tables


class ImageHeader(NamedTuple):
    """Format and size as stored, before any turning by EXIF."""

    format: str
    width: int
    height: int


def read_header(data: bytes) -> ImageHeader:
    """Return an image's format and stored size in pixels.

    Raises:
        ValueError: If the bytes are none of `FORMATS`, or end inside the header.
    """
    try:
        kind, reader = _recognise(data)
        width, height = reader(data)
    except Exception as error:
        start = bytes(data[:8])
        raise ValueError(
            f"need an image of format {', '.join(FORMATS)}, got {len(data)} bytes that start with "
            f"{start!r} ({error}); is the file truncated or not an image?"
        ) from error
    if width < 1 or height < 1:
        raise ValueError(f"need an image of at least 1x1 pixels, got {kind} of {width}x{height}")
    return ImageHeader(kind, width, height)


class JpegFacts(NamedTuple):
    """What a JPEG's segments tell before its pixels begin; the defaults where they do not.

    Attributes:
        orientation: Of EXIF, 1..8.
        frame: Where the segment of its size begins, 0 if it was not found.
        one_scan: Whether it is baseline and has all its colours in one scan, top row first.
    """

    orientation: int = 1
    frame: int = 0
    one_scan: bool = False


def jpeg_facts(data: bytes) -> JpegFacts:
    """Read a JPEG's segments up to its first scan, or as far as they can be read."""
    facts, position = JpegFacts(), 2
    while position + 4 <= len(data) and data[position] == 0xFF:
        marker = data[position + 1]
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        if length < 2 or not 0xC0 <= marker < 0xFF or 0xD0 <= marker <= 0xD9:
            break  # no segment with a length
        if marker == _START_OF_SCAN:
            return facts._replace(one_scan=_has_one_scan(data, facts.frame, position))
        if marker in _FRAMES and not facts.frame:
            facts = facts._replace(frame=position)
        if marker == 0xE1 and data[position + 4 : position + 10] == b"Exif\0\0":
            segment = data[position + 10 : position + 2 + length]
            facts = facts._replace(orientation=_tiff_orientation(segment))
        position += 2 + length
    return facts


def _has_one_scan(data: bytes, frame: int, scan: int) -> bool:
    """Whether the frame is baseline or extended, and the scan has all its components."""
    components = data[frame + 9 : frame + 10] if frame else b""
    return data[frame + 1] in (0xC0, 0xC1) and components == data[scan + 4 : scan + 5] != b""


def _tiff_orientation(block: bytes) -> int:
    order = {b"II": "<", b"MM": ">"}.get(block[:2])
    if order is None or len(block) < 10:
        return 1
    (start,) = struct.unpack_from(order + "I", block, 4)
    if start + 2 > len(block):
        return 1
    (count,) = struct.unpack_from(order + "H", block, start)
    for entry in range(start + 2, min(start + 2 + 12 * count, len(block) - 11), 12):
        tag, _, _, value = struct.unpack_from(order + "HHIH", block, entry)
        if tag == EXIF_ORIENTATION:
            return int(value) if 1 <= value <= 8 else 1
    return 1


def _recognise(data: bytes) -> tuple[str, Callable[[bytes], tuple[int, int]]]:
    if data[:2] == b"\xff\xd8":
        return "JPEG", _jpeg_size
    if data[:8] == b"\x89PNG\r\n\x1a\n":
        return "PNG", _png_size
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP", _webp_size
    if data[:6] in (b"GIF87a", b"GIF89a"):
        return "GIF", _gif_size
    if data[:2] == b"BM":
        return "BMP", _bmp_size
    try:
        with Image.open(io.BytesIO(data), formats=("TIFF", "PPM", "AVIF")) as image:
            return str(image.format), lambda _, size=image.size: size
    except UnidentifiedImageError:  # whose words hold an address, other in every process
        raise ValueError("of no known kind") from None


def _jpeg_size(data: bytes) -> tuple[int, int]:
    height, width, _, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    return int(width), int(height)


def _png_size(data: bytes) -> tuple[int, int]:
    if data[12:16] != b"IHDR":
        raise ValueError("no IHDR chunk")
    width, height = struct.unpack_from(">II", data, 16)
    return width, height


def _gif_size(data: bytes) -> tuple[int, int]:
    width, height = struct.unpack_from("<HH", data, 6)
    return width, height


def _webp_size(data: bytes) -> tuple[int, int]:
    chunk = data[12:16]
    if chunk == b"VP8X":
        packed = int.from_bytes(_exactly(data[24:30], 6), "little")
        return (packed & 0xFFFFFF) + 1, (packed >> 24) + 1
    if chunk == b"VP8L":
        packed = int.from_bytes(_exactly(data[21:25], 4), "little")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    width, height = struct.unpack_from("<HH", data, 26)
    return width & 0x3FFF, height & 0x3FFF


def _bmp_size(data: bytes) -> tuple[int, int]:
    if data[14:18] == b"\x0c\0\0\0":
        width, height = struct.unpack_from("<HH", data, 18)
    else:
        width, height = struct.unpack_from("<ii", data, 18)
    return width, abs(height)


def _exactly(data: bytes, size: int) -> bytes:
    if len(data) != size:
        raise ValueError("the header is cut off")
    return data
