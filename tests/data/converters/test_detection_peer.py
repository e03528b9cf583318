"""Folders of YOLO and of VOC, read by us and by supervision: the same names, the same boxes."""

import random

import numpy as np
import pytest

from eyespot.data.converters.voc import from_voc
from eyespot.data.converters.yolo import from_yolo
from tests.data.converters.files import put
from tests.data.pictures import encode, noise_picture

supervision = pytest.importorskip("supervision")

NAMES = ("dog", "cat", "owl")


def numbers_of(rng, width, height):
    """A class, a box in shares for YOLO, corners in pixels from 1 for VOC."""
    across, down = rng.uniform(0.05, 0.5), rng.uniform(0.05, 0.5)
    centre = rng.uniform(across / 2, 1 - across / 2), rng.uniform(down / 2, 1 - down / 2)
    xs, ys = (sorted(rng.sample(range(1, side + 1), 2)) for side in (width, height))
    return rng.randrange(3), (*centre, across, down), (xs[0], ys[0], xs[1], ys[1])


def write(folder, rng, name):
    width, height = rng.randrange(20, 200), rng.randrange(20, 200)
    for place in ("images", "JPEGImages"):
        path = put(folder / place / f"{name}.jpg", "")
        path.write_bytes(encode(noise_picture(height, width), "JPEG"))
    rows, things = "", ""
    for _ in range(rng.randrange(1, 6)):
        number, shares, corners = numbers_of(rng, width, height)
        rows += f"{number} " + " ".join(f"{share:.8f}" for share in shares) + "\n"
        keys = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
        bounds = "".join(f"<{key}>{value}</{key}>" for key, value in keys)
        things += f"<object><name>{NAMES[number]}</name><bndbox>{bounds}</bndbox></object>"
    put(folder / "labels" / f"{name}.txt", rows)
    size = f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>"
    xml = f"<annotation><filename>{name}.jpg</filename>{size}{things}</annotation>"
    put(folder / "Annotations" / f"{name}.xml", xml)


def assert_same(pairs, peer, atol):
    detections = {path.rpartition("/")[2]: found for path, _, found in peer}
    assert len(pairs) == len(detections) == 20
    for pair in pairs:
        found = detections[pair.file_name.rpartition("/")[2]]
        boxes = np.array([region.box_xywh_px for region in pair.regions])
        corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)
        np.testing.assert_allclose(corners, found.xyxy, rtol=0, atol=atol)
        said = [pair.caption[slice(*region.spans[0])] for region in pair.regions]
        assert said == [peer.classes[number] for number in found.class_id]


@pytest.mark.filterwarnings("ignore:.*")
def test_supervision_reads_the_same_boxes(tmp_path):
    rng = random.Random(0)
    names = [f"{i:02}" for i in range(20)]
    for name in names:
        write(tmp_path, rng, name)
    data = put(tmp_path / "data.yaml", f"train: images\nnames: [{', '.join(NAMES)}]\n")
    put(tmp_path / "ImageSets" / "Main" / "train.txt", "\n".join(names))
    read = supervision.DetectionDataset
    yolo = read.from_yolo(*(str(tmp_path / name) for name in ("images", "labels", "data.yaml")))
    assert_same(list(from_yolo(data)), yolo, atol=1e-4)  # float32 there
    voc = read.from_pascal_voc(*(str(tmp_path / name) for name in ("JPEGImages", "Annotations")))
    assert_same(list(from_voc(tmp_path)), voc, atol=0)
