import io

import numpy as np
import pytest
import torch
from PIL import Image

from eyespot.predict.images import as_list, read_picture

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def encoded(image, **options):
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_one_picture_in_every_form(tmp_path):
    picture = Image.fromarray(PIXELS)
    path = tmp_path / "a.png"
    path.write_bytes(encoded(picture))
    tensor = torch.from_numpy(PIXELS)
    forms = [path, str(path), path.read_bytes(), PIXELS, tensor, tensor.permute(2, 0, 1), picture]
    for form in forms:
        assert np.array_equal(read_picture(form), PIXELS), type(form)


def test_grey_is_repeated():
    grey = PIXELS[..., 0]
    wanted = np.repeat(grey[..., None], 3, 2)
    tensor = torch.from_numpy(grey)
    for form in (grey, grey[..., None], tensor, tensor[None], Image.fromarray(grey)):
        assert np.array_equal(read_picture(form), wanted)


def test_transparency_and_rotation_are_as_in_a_file():
    rgba = Image.fromarray(RNG.integers(0, 256, (5, 7, 4), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = Image.open(io.BytesIO(encoded(Image.fromarray(PIXELS), exif=exif)))
    for picture, data in ((rgba, encoded(rgba)), (turned, encoded(turned, exif=exif))):
        assert np.array_equal(read_picture(picture), read_picture(data))
    assert read_picture(turned).shape == (7, 5, 3)


def test_one_or_several():
    assert len(as_list(PIXELS)) == 1
    assert len(as_list(np.stack([PIXELS] * 3))) == 3
    assert len(as_list(torch.zeros(2, 3, 4, 4, dtype=torch.uint8))) == 2
    assert as_list("a.png") == ["a.png"]
    assert len(as_list(("a.png", PIXELS))) == 2


@pytest.mark.parametrize(
    ("image", "says"),
    [
        (PIXELS.astype(np.float32), r"uint8 \(0 to 255\) or 16 bits, got float32"),
        (PIXELS[None], r"pixels \[h, w\]"),
        (np.zeros((0, 7, 3), np.uint8), r"pixels \[h, w\]"),
        (b"nothing", "image"),
        ("/nowhere.png", "no such file"),
        (Image.fromarray(np.zeros((3, 3), np.float32)), "got float32"),
    ],
)
def test_other_things_are_refused(image, says):
    with pytest.raises(ValueError, match=says):
        read_picture(image)


def test_an_address_is_no_file():
    with pytest.raises(ValueError, match="got https://example.com/a.jpg; download it first"):
        read_picture("https://example.com/a.jpg")
