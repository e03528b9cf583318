"""What a data set is made of: formats, sizes, labels, and every image that cannot be used."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from eyespot.data.decode import MAX_PIXELS, decode_image
from eyespot.data.headers import read_header
from eyespot.data.quarantine import BadSample
from eyespot.data.samples import Samples
from eyespot.data.sampling import permute

_AT_ONCE = 1024


@dataclass
class ImageReport:
    """What `check_images` found.

    Attributes:
        num_checked: Samples looked at.
        num_bytes: Of their images, as stored.
        formats: How many images of each format there are.
        sizes: How many images of each width and height there are.
        labels: How many images of each label there are.
        bad: Samples that cannot be used, and why.
    """

    num_checked: int = 0
    num_bytes: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    labels: Counter[int] = field(default_factory=Counter)
    bad: list[BadSample] = field(default_factory=list)

    def side_px(self, axis: int) -> tuple[int, int, int]:
        """Return the smallest, median and largest width (axis 0) or height (axis 1).

        The median of an even number is the lower of the two in the middle.
        """
        counts = Counter[int]()
        for size, count in self.sizes.items():
            counts[size[axis]] += count
        sides = sorted(counts)
        half = np.cumsum([counts[side] for side in sides])
        middle = sides[int(np.searchsorted(half, (half[-1] + 1) // 2))]
        return sides[0], middle, sides[-1]


@dataclass(frozen=True)
class _Seen:
    format: str
    size: tuple[int, int]
    num_bytes: int
    label: int | None


def check_images(
    samples: Samples,
    *,
    count: int | None = None,
    decode: bool = False,
    max_pixels: int = MAX_PIXELS,
    threads: int = 8,
) -> ImageReport:
    """Read the header of every image, or of some.

    Args:
        samples: What to check.
        count: Check this many samples, spread at random but always the same; all if None.
        decode: Decode the images too, which finds those that are cut short.
        max_pixels: Larger pictures count as bad.
        threads: Images read at once.
    """
    indices: Sequence[int] = range(len(samples))
    if count is not None and count < len(samples):
        indices = sorted(permute(np.arange(count), len(samples), 0, 0).tolist())
    report = ImageReport()
    look = partial(_look, samples, decode=decode, max_pixels=max_pixels)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(0, len(indices), _AT_ONCE):
            for seen in pool.map(look, indices[first : first + _AT_ONCE]):
                _count(report, seen)
    return report


def _look(samples: Samples, index: int, *, decode: bool, max_pixels: int) -> _Seen | BadSample:
    name = str(index)
    try:
        image, label, name = samples[index]
        if isinstance(image, np.ndarray):
            return _Seen("pixels", (image.shape[1], image.shape[0]), image.nbytes, label)
        header = read_header(image)
        if header.width * header.height > max_pixels:
            raise ValueError(
                f"need at most {max_pixels} pixels, got {header.width}x{header.height}"
            )
        if decode:
            decode_image(image, max_pixels=max_pixels)
    except ValueError as error:
        return BadSample(index, name, str(error))
    return _Seen(header.format, (header.width, header.height), len(image), label)


def _count(report: ImageReport, seen: _Seen | BadSample) -> None:
    report.num_checked += 1
    if isinstance(seen, BadSample):
        report.bad.append(seen)
        return
    report.num_bytes += seen.num_bytes
    report.formats[seen.format] += 1
    report.sizes[seen.size] += 1
    if seen.label is not None:
        report.labels[seen.label] += 1
