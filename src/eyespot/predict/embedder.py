"""Images to vectors, for search, clustering and classifiers of one's own.

    embed = Embedder.from_pretrained("runs/swav")
    vectors = embed(["cat.jpg", "dog.jpg"])  # float32 [2, D]

Shapes: B images, D width.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from eyespot.data.normalize import normalize
from eyespot.design.by_name import Model
from eyespot.models.speed import prepare_inference, speed_defaults
from eyespot.models.taps import TappedNetwork, parse_tap
from eyespot.predict.devices import chosen_device
from eyespot.predict.images import Picture, as_list, read_picture
from eyespot.weights.trunk import Trunk, load_trunk


class Embedder:
    """A frozen backbone that turns images into vectors.

    Args:
        trunk: The backbone.
        taps: Where its features are taken, as `models.taps` writes them; several are put side by
            side.
        size_px: Side of what it sees of an image; the weights' own when not given.
        resize_px: What the shorter side of an image is resized to before the middle is cut out;
            in the proportion of the weights' own when not given.
        device: "cpu", "cuda", ...; "auto" is a GPU if there is one.
        batch_size: Images at a time.
        exact: Compute in float32. Otherwise in what is fastest on the device, with relative
            errors of about 1e-2.

    Attributes:
        width: D.
        widths: Of each tap.
        notes: What was chosen in loading the weights, and their licence, one sentence each.

    Raises:
        ValueError: If the backbone has no such tap.
    """

    def __init__(
        self,
        trunk: Trunk,
        *,
        taps: Sequence[str] = ("pool",),
        size_px: int | None = None,
        resize_px: int | None = None,
        device: str = "auto",
        batch_size: int = 32,
        exact: bool = True,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"need a batch_size of 1 or more, got {batch_size}")
        self.device = chosen_device(device)
        self.view = trunk.view(size_px, resize_px)
        self.mean, self.std = trunk.colours()
        self.batch_size = batch_size
        self.notes = trunk.notes
        self.taps = tuple(parse_tap(tap) for tap in taps)
        tapped = TappedNetwork(trunk.network, self.taps)
        settings = speed_defaults(self.device, trunk.spec, "inference", exact=exact)
        self.network: nn.Module = prepare_inference(tapped.to(self.device), settings)
        blank = np.zeros((1, 3, self.view.size_px, self.view.size_px), np.uint8)
        self.widths = tuple(found.shape[1] for found in self._features(torch.from_numpy(blank)))
        self.width = sum(self.widths)

    @classmethod
    def from_pretrained(
        cls,
        weights: str | Path,
        *,
        model: Model | None = None,
        taps: Sequence[str] = ("pool",),
        size_px: int | None = None,
        resize_px: int | None = None,
        device: str = "auto",
        batch_size: int = 32,
        exact: bool = True,
    ) -> "Embedder":
        """Load weights as `load_trunk` finds them; the other arguments are the class's.

        Raises:
            ValueError: If there are no such weights, or they do not fit the network.
            OSError: If a file cannot be read.
        """
        trunk = load_trunk(weights, model=model, image_size=size_px)
        return cls(
            trunk,
            taps=taps,
            size_px=size_px,
            resize_px=resize_px,
            device=device,
            batch_size=batch_size,
            exact=exact,
        )

    def __call__(
        self, images: Picture | Sequence[Picture] | np.ndarray | Tensor
    ) -> Float[np.ndarray, "b d"]:
        """Return a vector for each image; for a single image, one row.

        Raises:
            ValueError: If one is no image or damaged; its place is named.
            OSError: If a file cannot be read.
        """
        listed = as_list(images)
        rows = [np.zeros((0, self.width), np.float32)]
        for first in range(0, len(listed), self.batch_size):
            views = [
                self._view(image, first + place)
                for place, image in enumerate(listed[first : first + self.batch_size])
            ]
            pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)  # [B, 3, h, w]
            rows.append(torch.cat(self._features(pixels), 1).cpu().numpy())
        return np.concatenate(rows)

    def _view(self, image: Picture, place: int) -> np.ndarray:
        try:
            pixels = read_picture(image)
        except ValueError as error:
            raise ValueError(f"image {place}: {error}") from None
        (view,) = self.view(pixels, seed=0, epoch=0, index=place)
        return view

    def _features(self, pixels: Tensor) -> list[Tensor]:
        images = normalize(pixels.to(self.device), mean=self.mean, std=self.std)
        found: list[Tensor] = self.network(images)
        return found
