"""How fast is COCO AP, beside pycocotools and faster-coco-eval, on detections as COCO has them?

Drawn boxes with COCO val2017's numbers (5,000 images, 80 categories, 36,000 boxes; up to 100
detections an image), from files in its JSON form: what a user waits for, reading included. All
numbers must agree to six digits.

Run:  python benchmarks/coco_ap.py [--images 5000] [--quick]
"""

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from common import Record, rates, take_turns

from eyespot.evals.coco_ap import coco_ap, coco_detections, coco_truths

Row = dict[str, Any]
SIDE = 640


def draw(images: int, *, seed: int = 1) -> tuple[dict[str, Any], list[Row]]:
    """Draw annotations, and detections of which most are near one of them."""
    noise = np.random.default_rng(seed)
    truths: list[Row] = []
    found: list[Row] = []
    for image in range(images):
        count = int(noise.poisson(7.2))
        boxes = _boxes(noise, count)
        labels = noise.integers(0, 80, count)
        for box, label in zip(boxes, labels, strict=True):
            truths.append(_truth(len(truths) + 1, image, int(label), box, noise.random() < 0.01))
        pick = noise.integers(0, max(count, 1), 100 if count else 0)
        near = boxes[pick] + noise.normal(0, 8, (len(pick), 4))
        right = noise.random(len(pick)) < 0.7
        label = np.where(right, labels[pick], noise.integers(0, 80, len(pick)))
        for box, kind, score in zip(near, label, noise.random(len(pick)), strict=True):
            found.append(
                {
                    "image_id": image,
                    "category_id": int(kind),
                    "bbox": [round(float(v), 2) for v in np.maximum(box, 1)],
                    "score": round(float(score), 6),
                }
            )
    sizes = [{"id": i, "height": SIDE, "width": SIDE} for i in range(images)]
    categories = [{"id": i, "name": str(i)} for i in range(80)]
    dataset = {"images": sizes, "annotations": truths, "categories": categories}
    return dataset, found


def _boxes(noise: np.random.Generator, count: int) -> np.ndarray:
    size = np.exp(noise.uniform(np.log(8), np.log(400), (count, 2)))
    return np.concatenate([noise.uniform(0, SIDE - 1, (count, 2)), size], axis=1)


def _truth(number: int, image: int, label: int, box: np.ndarray, crowd: bool) -> Row:
    return {
        "id": number,
        "image_id": image,
        "category_id": label,
        "bbox": [float(v) for v in box],
        "area": float(box[2] * box[3]),
        "iscrowd": int(crowd),
    }


def ours(truth_file: Path, found_file: Path) -> list[float]:
    """The twelve numbers, by us."""
    truths = coco_truths(json.loads(truth_file.read_text()))
    found = coco_detections(json.loads(found_file.read_text()))
    return list(coco_ap(truths, found).values())


def theirs(truth_file: Path, found_file: Path, *, fast: bool) -> list[float]:
    """The twelve numbers, by faster-coco-eval or by pycocotools."""
    if fast:
        from faster_coco_eval import COCO
        from faster_coco_eval import COCOeval_faster as Evaluator
    else:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval as Evaluator
    with contextlib.redirect_stdout(io.StringIO()):
        truths = COCO(str(truth_file))
        evaluator = Evaluator(truths, truths.loadRes(str(found_file)), "bbox")
        evaluator.evaluate()
        evaluator.accumulate()
        evaluator.summarize()
    return [float(value) for value in evaluator.stats[:12]]


def main() -> None:
    """Compare numbers, then times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    images = 500 if args.quick else args.images
    record = Record("coco_ap")
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "truths.json"), Path(folder, "found.json")
        for path, content in zip(paths, draw(images), strict=True):
            path.write_text(json.dumps(content))
        calls: dict[str, Callable[[], list[float]]] = {
            "eyespot": lambda: ours(*paths),
            "faster-coco-eval": lambda: theirs(*paths, fast=True),
            "pycocotools": lambda: theirs(*paths, fast=False),
        }
        numbers = {name: np.array(call()) for name, call in calls.items()}
        for name, values in numbers.items():
            print(f"{name:>17}", np.round(values, 6))
            np.testing.assert_allclose(values, numbers["pycocotools"], atol=1e-6)
        seconds = take_turns(calls, turns=2 if args.quick else 5, turn_s=1.0)
    against = {"eyespot": ("faster-coco-eval", "pycocotools")}
    case = f"COCO AP of boxes, {images} images"
    record.add(rates(case, seconds, per_call=images, unit="images/s", against=against))


if __name__ == "__main__":
    main()
