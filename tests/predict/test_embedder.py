import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from eyespot.design.spec_files import spec_to_dict
from eyespot.design.specs import AnyNetSpec
from eyespot.models.build import build
from eyespot.predict.embedder import Embedder
from eyespot.weights.files import save_weights

SMALL = AnyNetSpec(
    (1, 1), (8, 16), (2, 2), (1.0, 1.0), (8, 8), num_classes=5, image_size=32, test_size=40
)
RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (40 + i, 60, 3), dtype=np.uint8) for i in range(5)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "w.safetensors"
    about = {
        "format": "eyespot",
        "spec": json.dumps(spec_to_dict(SMALL)),
        "pictures": json.dumps(
            {"size_px": 32, "test_resize_px": 40, "mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2]}
        ),
    }
    network = build(SMALL)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_var.uniform_(0.5, 2)
    save_weights(network.state_dict(), path, about)
    return path


def test_a_vector_is_the_pooled_map_of_the_normalised_middle(weights):
    """On a picture that needs no resizing, so that nothing but the definition is compared."""
    pixels = RNG.integers(0, 256, (40, 40, 3), dtype=np.uint8)
    network = build(SMALL).eval()
    network.load_state_dict(load_file(weights))
    middle = torch.from_numpy(pixels[4:36, 4:36]).permute(2, 0, 1)[None] / 255
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.5, 0.4, 0.3], [0.2, 0.2, 0.2]))
    with torch.no_grad():
        wanted = network.forward_features((middle - mean) / std).mean((2, 3))
    got = Embedder.from_pretrained(weights, device="cpu")(pixels)
    assert got.dtype == np.float32
    assert_close(torch.from_numpy(got), wanted, rtol=1e-4, atol=1e-5)


def test_a_batch_is_what_one_by_one_gives(weights):
    embed = Embedder.from_pretrained(weights, device="cpu", batch_size=3)
    together = embed(PICTURES)
    assert together.shape == (5, embed.width) == (5, 16)
    for row, picture in zip(together, PICTURES, strict=True):
        np.testing.assert_allclose(embed(picture)[0], row, rtol=1e-5, atol=1e-6)
    assert embed([]).shape == (0, 16)


def test_several_taps_stand_side_by_side(weights):
    embed = Embedder.from_pretrained(weights, taps=("s1@2x1", "pool"), device="cpu")
    assert embed.widths == (16, 16)
    alone = Embedder.from_pretrained(weights, taps=("pool",), device="cpu")
    np.testing.assert_allclose(embed(PICTURES)[:, 16:], alone(PICTURES), rtol=1e-5, atol=1e-6)


def test_another_size_keeps_the_proportion(weights):
    embed = Embedder.from_pretrained(weights, size_px=64, device="cpu")
    assert (embed.view.resize_to, embed.view.size_px) == (80, 64)
    embed = Embedder.from_pretrained(weights, size_px=64, resize_px=64, device="cpu")
    assert embed.view.resize_to == 64
    with pytest.raises(ValueError, match="got 64 and 32"):
        Embedder.from_pretrained(weights, size_px=64, resize_px=32, device="cpu")


def test_the_damaged_image_is_named(weights):
    embed = Embedder.from_pretrained(weights, device="cpu", batch_size=2)
    with pytest.raises(ValueError, match="image 3: "):
        embed([*PICTURES[:3], b"broken"])
    with pytest.raises(ValueError, match="batch_size of 1 or more"):
        Embedder.from_pretrained(weights, device="cpu", batch_size=0)


def test_what_is_fast_is_nearly_the_same(weights):
    exact = Embedder.from_pretrained(weights, device="cpu")(PICTURES)
    fast = Embedder.from_pretrained(weights, device="cpu", exact=False)(PICTURES)
    np.testing.assert_allclose(fast, exact, rtol=0.05, atol=0.05 * np.abs(exact).max())
