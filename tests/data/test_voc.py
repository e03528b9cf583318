import numpy as np
import pytest
from PIL import Image

from eyespot.data.voc import VocImages, is_voc_folder


def write_voc(root, truths, split="trainval", classes=("cat", "aeroplane"), seed=0):
    lists = root / "ImageSets" / "Main"
    lists.mkdir(parents=True, exist_ok=True)
    (root / "JPEGImages").mkdir(exist_ok=True)
    names = [f"{split}{i:03d}" for i in range(len(truths))]
    for k, name in enumerate(classes):
        rows = [f"{image} {row[k]:2d}" for image, row in zip(names, truths, strict=True)]
        (lists / f"{name}_{split}.txt").write_text("\n".join(rows) + "\n")
    rng = np.random.default_rng(seed)
    for name, row in zip(names, truths, strict=True):
        pixels = rng.integers(0, 200, (24, 24, 3), dtype=np.uint8)
        for k, value in enumerate(row):
            if value == 1:
                pixels[:, 12 * k : 12 * k + 3] = 255
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{name}.jpg", quality=95)
    return root


def test_truths_stand_under_their_class_in_alphabetical_order(tmp_path):
    write_voc(tmp_path, [(1, -1), (0, 1), (-1, -1)])
    images = VocImages(tmp_path, "trainval")
    assert images.classes == ("aeroplane", "cat")
    assert images.truths.tolist() == [[-1, 1], [1, 0], [-1, -1]]
    assert len(images) == 3
    assert images[1].name == "trainval001.jpg"
    assert images[1].label is None
    assert is_voc_folder(str(tmp_path))
    assert not is_voc_folder(str(tmp_path / "JPEGImages"))


def test_damaged_lists_are_named(tmp_path):
    write_voc(tmp_path, [(1, -1), (0, 1)])
    with pytest.raises(ValueError, match=r"need lists such as aeroplane_test.txt"):
        VocImages(tmp_path, "test")
    path = tmp_path / "ImageSets" / "Main" / "cat_trainval.txt"
    path.write_text("trainval000 1\n")
    with pytest.raises(ValueError, match="the same images in every list, got others in .*cat"):
        VocImages(tmp_path, "trainval")
    path.write_text("trainval000 yes\n")
    with pytest.raises(ValueError, match="1, 0 or -1"):
        VocImages(tmp_path, "trainval")
