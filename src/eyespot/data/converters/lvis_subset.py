"""LVIS with few images, such as 1 % and 10 %, in which no category is missing.

Paper: MDETR (arXiv 2104.12763), section 4.4; rule and seed are those of its published code. Whether
the images are the same was not compared with the published files.
"""

import random
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

SEED = 42
_NEGATIVE_EVERY = 10


def few_images(data: Mapping[str, Any], share: float) -> set[int]:
    """Choose images one by one, each for the category that has the fewest so far.

    Every tenth image, the first of all included, is chosen for the category that is verified to be
    absent in the fewest. Of categories with as many, the one that is rarest in all of LVIS comes
    first, then the lowest id. Images where a category is not exhaustively annotated do not count
    for it, unless it has no others.

    Args:
        data: LVIS' file: `images`, `annotations`, `categories`.
        share: Of the images, in (0, 1]; rounded down to whole images.

    Returns:
        The ids of the images.

    Raises:
        ValueError: If the share is none, or too small for an image of every category.
    """
    if not 0 < share <= 1:
        raise ValueError(f"need a share of the images in (0, 1], got {share}")
    if share == 1:
        return {image["id"] for image in data["images"]}
    absent: dict[int, set[int]] = defaultdict(set)
    for image in data["images"]:
        for category in image["neg_category_ids"]:
            absent[category].add(image["id"])
    order = sorted((row["image_count"], row["id"]) for row in data["categories"])
    present = _Cover([category for _, category in order], _images_of(data))
    missing = _Cover([category for _, category in order], absent)
    draw = random.Random(SEED)
    chosen: set[int] = set()
    for step in range(int(len(data["images"]) * share)):
        cover = present if step % _NEGATIVE_EVERY else missing
        image_id = draw.choice(sorted(cover.candidates(chosen)))
        chosen.add(image_id)
        for one in (present, missing):
            one.add(image_id)
    bare = [category for category, count in present.counts.items() if not count]
    if bare:
        raise ValueError(
            f"need an image of every category, got none of {len(bare):,} in {len(chosen):,} images;"
            " take a larger share"
        )
    return chosen


class _Cover:
    """How many chosen images each category has.

    Args:
        order: The categories; earlier ones come first where counts are equal.
        images: Of each category.
    """

    def __init__(self, order: Iterable[int], images: Mapping[int, set[int]]) -> None:
        self.counts = dict.fromkeys(order, 0)
        self._images = {category: images.get(category, set()) for category in self.counts}
        self._left = list(self.counts)
        self._of_image: dict[int, list[int]] = defaultdict(list)
        for category, ids in self._images.items():
            for image_id in ids:
                self._of_image[image_id].append(category)

    def add(self, image_id: int) -> None:
        for category in self._of_image[image_id]:
            self.counts[category] += 1

    def candidates(self, chosen: set[int]) -> set[int]:
        """The images not chosen yet of the least covered category that has any."""
        while self._left:
            category = min(self._left, key=self.counts.__getitem__)
            images = self._images[category] - chosen
            if images:
                return images
            self._left.remove(category)
        raise ValueError("need more images with categories to choose from, got none left")


def _images_of(data: Mapping[str, Any]) -> dict[int, set[int]]:
    """The images of each category, of exhaustive annotations where it has any."""
    partly = {image["id"]: set(image["not_exhaustive_category_ids"]) for image in data["images"]}
    found: dict[int, set[int]] = defaultdict(set)
    others: dict[int, set[int]] = defaultdict(set)
    for row in data["annotations"]:
        exhaustive = row["category_id"] not in partly[row["image_id"]]
        (found if exhaustive else others)[row["category_id"]].add(row["image_id"])
    return {**others, **found}
