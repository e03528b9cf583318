"""How fast are 2x224 + 6x96 SwAV views made from a 500x375 JPEG, on one thread?

Ours against the same recipe written with PIL, as torchvision's first transforms do it, and against
torchvision's v2 transforms where they can be imported.

Run:  python benchmarks/multicrop.py [--turns 7] [--device cuda] [--quick]
"""

import argparse
import io
import random
from collections.abc import Callable, Sequence

import cv2
import numpy as np
import torch
from common import Contestants, Record, rates, take_turns
from pictures import photo_like
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

from eyespot.data.decode import decode_image
from eyespot.data.distort_batch import distort_batch
from eyespot.data.draws import Draws
from eyespot.data.geometry import draw_log_crop
from eyespot.data.multicrop import PRESETS, draw_steps, multi_crop, without_colours
from eyespot.data.normalize import IMAGENET_MEAN, IMAGENET_STD, normalize

KINDS = PRESETS["swav"]
PLAIN_KINDS = without_colours(KINDS)
MEAN = torch.tensor(IMAGENET_MEAN)[:, None, None]
STD = torch.tensor(IMAGENET_STD)[:, None, None]


def ours_uint8(photo: bytes, index: int) -> list[np.ndarray]:
    """Views that are normalised later, on the device."""
    return multi_crop(decode_image(photo), KINDS, seed=0, epoch=0, index=index)


def ours_float(photo: bytes, index: int) -> list[torch.Tensor]:
    """Views as a network reads them."""
    views = ours_uint8(photo, index)
    stacks = (np.stack(views[:2]), np.stack(views[2:]))
    return [normalize(torch.from_numpy(stack).permute(0, 3, 1, 2)) for stack in stacks]


def crops_only(photo: bytes, index: int) -> list[np.ndarray]:
    """Crops and flips; colours are left to the device."""
    return multi_crop(decode_image(photo), PLAIN_KINDS, seed=0, epoch=0, index=index)


def batched_colours(photos: Sequence[bytes], device: str) -> Callable[[], object]:
    """Colours and blur of all photos at once, after crops and flips: what the device does."""
    views = [crops_only(photo, index) for index, photo in enumerate(photos)]
    steps = np.stack(
        [draw_steps(375, 500, KINDS, seed=0, epoch=0, index=i) for i in range(len(photos))]
    )
    batches = []
    for first, last in ((0, 2), (2, 8)):
        stack = np.stack([view for of_photo in views for view in of_photo[first:last]])
        images = torch.from_numpy(stack).permute(0, 3, 1, 2).to(device)
        batches.append((images, torch.from_numpy(steps[:, first:last]).flatten(0, 1)))
    return lambda: [normalize(distort_batch(images, of_views)) for images, of_views in batches]


def pil_hue(image: Image.Image, turn: float) -> Image.Image:
    """Turn the hue as torchvision does."""
    hue, saturation, value = image.convert("HSV").split()
    shifted = np.asarray(hue) + np.uint8(int(turn * 255) % 256)
    return Image.merge("HSV", (Image.fromarray(shifted), saturation, value)).convert("RGB")


def pil_view(image: Image.Image, size: int, area: tuple[float, float]) -> torch.Tensor:
    """One view of the SwAV recipe."""
    draws = Draws(random.getrandbits(60), 0, 0)
    box = draw_log_crop(draws, image.height, image.width, area=area)
    right, bottom = box.left + box.width, box.top + box.height
    view = image.crop((box.left, box.top, right, bottom))
    view = view.resize((size, size), Image.Resampling.BILINEAR)
    if random.random() < 0.5:
        view = ImageOps.mirror(view)
    if random.random() < 0.8:
        jitter = [
            lambda view: ImageEnhance.Brightness(view).enhance(random.uniform(0.2, 1.8)),
            lambda view: ImageEnhance.Contrast(view).enhance(random.uniform(0.2, 1.8)),
            lambda view: ImageEnhance.Color(view).enhance(random.uniform(0.2, 1.8)),
            lambda view: pil_hue(view, random.uniform(-0.2, 0.2)),
        ]
        random.shuffle(jitter)
        for step in jitter:
            view = step(view)
    if random.random() < 0.2:
        view = view.convert("L").convert("RGB")
    if random.random() < 0.5:
        view = view.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))
    tensor = torch.from_numpy(np.array(view)).permute(2, 0, 1).contiguous().float().div(255)
    return tensor.sub_(MEAN).div_(STD)


def pil_pipeline(photo: bytes, index: int) -> list[torch.Tensor]:
    """Views as a network reads them, by PIL."""
    random.seed(index)
    image = Image.open(io.BytesIO(photo)).convert("RGB")
    return [pil_view(image, kind.size_px, kind.area) for kind in KINDS for _ in range(kind.count)]


def torchvision_pipelines() -> dict[str, Callable[[bytes, int], object]]:
    """Views by torchvision, v2 on tensors and the first on PIL's images; nothing without it."""
    try:
        from torchvision import transforms
        from torchvision.io import ImageReadMode, decode_jpeg
        from torchvision.transforms import v2
    except (ImportError, RuntimeError) as error:
        print(f"torchvision is left out: {error}")
        return {}
    views = [
        v2.Compose(
            [
                v2.RandomResizedCrop(kind.size_px, scale=kind.area, antialias=True),
                v2.RandomHorizontalFlip(),
                v2.RandomApply([v2.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
                v2.RandomGrayscale(0.2),
                v2.RandomApply([v2.GaussianBlur(kind.size_px // 20 * 2 + 1)], 0.5),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )
        for kind in KINDS
        for _ in range(kind.count)
    ]

    def blur(image: Image.Image) -> Image.Image:
        return image.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))

    views_of_pil = [
        transforms.Compose(
            [
                transforms.RandomResizedCrop(kind.size_px, scale=kind.area),
                transforms.RandomHorizontalFlip(),
                transforms.RandomApply([transforms.ColorJitter(0.8, 0.8, 0.8, 0.2)], 0.8),
                transforms.RandomGrayscale(0.2),
                transforms.RandomApply([blur], 0.5),
                transforms.ToTensor(),
                transforms.Normalize(IMAGENET_MEAN, IMAGENET_STD),
            ]
        )
        for kind in KINDS
        for _ in range(kind.count)
    ]

    def by_pil(photo: bytes, index: int) -> list[torch.Tensor]:
        torch.manual_seed(index)
        random.seed(index)
        image = Image.open(io.BytesIO(photo)).convert("RGB")
        return [view(image) for view in views_of_pil]

    def by_v2(photo: bytes, index: int) -> list[torch.Tensor]:
        torch.manual_seed(index)
        data = torch.frombuffer(bytearray(photo), dtype=torch.uint8)
        image = decode_jpeg(data, ImageReadMode.RGB)
        return [view(image) for view in views]

    return {"torchvision v2": by_v2, "torchvision on PIL's images": by_pil}


def main() -> None:
    """Time every way, with all photos a call."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=7)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--quick", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    record = Record("multicrop", args.device)
    photos = [photo_like(375, 500, seed) for seed in range(4 if args.quick else 16)]

    def of_all(pipeline: Callable[[bytes, int], object]) -> Callable[[], object]:
        return lambda: [pipeline(photo, index) for index, photo in enumerate(photos)]

    rivals = {"PIL, normalised float": pil_pipeline, **torchvision_pipelines()}
    ours = {
        "eyespot, normalised float": ours_float,
        "eyespot, uint8 (normalise on the device)": ours_uint8,
        "eyespot, crops and flips only, uint8": crops_only,
        "eyespot, decode only": lambda photo, index: decode_image(photo),
    }
    calls: Contestants = {
        **{name: of_all(pipeline) for name, pipeline in (ours | rivals).items()},
        f"eyespot, colours and blur in a batch, {args.device}": batched_colours(
            photos, args.device
        ),
    }
    turns = 2 if args.quick else args.turns
    seconds = take_turns(calls, turns=turns, turn_s=0.1 if args.quick else 1.0, device=args.device)
    size = sum(map(len, photos)) // len(photos)
    case = f"2x224 + 6x96 px views of a 500x375 JPEG of {size:,} bytes, one thread"
    against = {name: tuple(rivals) for name in list(ours)[:2]}
    record.add(rates(case, seconds, per_call=len(photos), unit="images/s", against=against))


if __name__ == "__main__":
    main()
