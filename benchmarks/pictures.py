"""JPEGs that cost as much to decode as photographs: noise whose spectrum falls like 1/f."""

import numpy as np
import simplejpeg


def photo_like(height: int, width: int, seed: int = 0, quality: int = 90) -> bytes:
    """Return one such JPEG, of about the size that photographs have."""
    rng = np.random.default_rng(seed)
    y = np.fft.fftfreq(height)[:, None]
    x = np.fft.rfftfreq(width)[None]
    radius = np.sqrt(x * x + y * y)
    radius[0, 0] = 1.0
    mix = np.array([[1.0, 0.3, 0.1], [1.0, 0.0, -0.3], [1.0, -0.3, 0.2]])  # mostly luma, as photos
    planes = [
        np.fft.irfft2(np.fft.rfft2(rng.standard_normal((height, width))) / radius, (height, width))
        for _ in range(3)
    ]
    picture = np.stack(planes, -1) @ mix.T
    picture = 128 + picture / picture.std() * 50
    return simplejpeg.encode_jpeg(
        np.ascontiguousarray(picture.clip(0, 255).astype(np.uint8)), quality, "RGB", "420"
    )
