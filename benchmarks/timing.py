"""Runs functions in turn on one thread and prints how many images each makes a second."""

import time
from collections.abc import Callable, Sequence

import cv2
import torch


def images_per_second(
    functions: dict[str, Callable[[bytes, int], object]], photos: Sequence[bytes], seconds: float
) -> dict[str, float]:
    """Go round all photos, the functions in turn; the best round of each counts, in CPU seconds."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    best = dict.fromkeys(functions, 0.0)
    end = time.process_time() + seconds * len(functions)
    while time.process_time() < end:
        for name, function in functions.items():
            start = time.process_time()
            for index, photo in enumerate(photos):
                function(photo, index)
            best[name] = max(best[name], len(photos) / (time.process_time() - start))
    width = max(map(len, best))
    for name, rate in best.items():
        print(f"{name:{width}}  {rate:8.1f} images/s")
    return best
