"""Small pictures for the tests of this room, made from a seed."""

import io

import numpy as np
from PIL import Image


def smooth_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """A colourful picture that JPEG keeps well: a few waves a channel."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    channels = []
    for _ in range(3):
        a, b, phase = rng.uniform((2, 2, 0), (9, 9, 6))
        channels.append(np.sin(a * x + b * y + phase))
    return ((np.stack(channels, -1) + 1) * 127.5).astype(np.uint8)


def noise_picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (height, width, 3), dtype=np.uint8)


def encode(pixels: np.ndarray | Image.Image, format: str, **options) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()
