import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import example, given
from torch.testing import assert_close

from eyespot.data import box_transforms as transforms
from eyespot.data.box_transforms import Crop, GroundedImage
from eyespot.ops.spans import positive_rows
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["transforms"]
CROP = CASE["crop"]


def grounded(width, height, boxes, **fields):
    boxes = torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4)
    return GroundedImage(
        np.zeros((height, width, 3), np.uint8),
        fields.pop("caption", "text"),
        boxes,
        fields.pop("areas", torch.ones(len(boxes))),
        fields.pop("spans", [[(0, 4)]] * len(boxes)),
        **fields,
    )


def cropping_example():
    content = CROP["in"]
    spans = [[tuple(s) for s in box] for box in content["tokens_positive"]]
    return grounded(
        *CROP["image_wh"],
        content["boxes"],
        caption=content["caption"],
        areas=torch.tensor(content["area"]),
        spans=spans,
        is_final=torch.tensor([0.0, 1.0, 2.0]),
    )


def drawn(mask_of_box, width, height):
    """One mask a box: exactly its pixels."""
    left, top, right, bottom = mask_of_box
    mask = torch.zeros(height, width, dtype=torch.bool)
    mask[top:bottom, left:right] = True
    return mask


@pytest.mark.parametrize("case", CASE["resize"], ids=range(len(CASE["resize"])))
def test_resize_matches_reference(case):
    width, height = case["in_wh"]
    size = transforms.resized_hw(height, width, case["size"], case["max_size"])
    assert list(size) == case["out_size_hw"]
    example = grounded(width, height, case["boxes_xyxy"], areas=torch.tensor([case["area"]]))
    found = transforms.resize(example, size)
    assert list(found.image.shape[:2]) == case["out_size_hw"]
    assert_close(found.boxes_xyxy_px, torch.tensor(case["out_boxes_xyxy"]), rtol=1e-4, atol=1e-5)
    assert_close(found.areas_px, torch.tensor(case["out_area"]), rtol=1e-4, atol=1e-5)


def test_crop_matches_reference_and_drops_spans_too():
    found = transforms.crop(cropping_example(), Crop(*CROP["region_top_left_h_w"]))
    expected = CROP["expected"]
    assert found.boxes_xyxy_px.tolist() == expected["boxes"]
    assert found.areas_px.tolist() == expected["area"]
    assert list(found.image.shape[:2]) == expected["size"]
    assert found.is_final.tolist() == [0, 1]  # the labels of the reference, less one
    assert found.spans == [[(0, 8)], [(10, 19)]]
    offsets = [(0, 4), (10, 19), (20, 21)]  # one token a box, so that rows are the identity
    rows = positive_rows([[(0, 4)], found.spans[1]], offsets, width=3)
    assert rows.float().tolist() == expected["positive_map"]


def test_mirror_matches_reference():
    found = transforms.mirror(cropping_example())
    assert found.boxes_xyxy_px.tolist() == CASE["hflip"]["expected_boxes"]
    assert found.caption == CASE["hflip"]["expected_caption"]
    assert [found.caption[slice(*box[0])] for box in found.spans] == [
        "right dog",
        "left cat",
        "right",
    ]


def test_normalize_matches_reference():
    example = cropping_example()._replace(image=np.full((150, 200, 3), 127, np.uint8))
    pixels, boxes = transforms.normalize(example)
    half = torch.tensor(CASE["normalize"]["pixel_0.5_becomes"])
    step = 0.5 / 255 / torch.tensor(transforms.IMAGENET_STD)  # 127 is half a step below 0.5
    assert_close(pixels[:, 3, 5], half - step, rtol=1e-4, atol=1e-5)
    expected = torch.tensor(CASE["normalize"]["expected_boxes_cxcywh_norm"])
    assert_close(boxes, expected, rtol=1e-4, atol=1e-5)


@given(st.integers(0, 10**6))
@example(1010)
def test_a_drawn_view_keeps_all_boxes_and_boxes_stay_on_their_pixels(seed):
    rng = np.random.default_rng(seed)
    width, height = (int(v) for v in rng.integers(40, 90, 2))
    sizes = transforms.ViewSizes((32, 48, 64), 90, (40, 50), 24, 60)
    box = [width // 3, height // 3, width // 3 + 12, height // 3 + 9]
    example = grounded(width, height, [box], masks=drawn(box, width, height)[None])
    image = np.repeat(example.masks[0].numpy()[..., None] * np.uint8(255), 3, axis=2)
    view = transforms.draw_training_view(rng, height, width, example.boxes_xyxy_px, sizes)
    found = transforms.apply_view(example._replace(image=image), view)
    before = view.crop[2:] if view.crop else (height, width)
    rounded = max(before) / min(before) / 2  # of the long side: the short one is rounded first
    assert min(view.last_hw_px) in sizes.short_sides_px or max(view.last_hw_px) >= 89 - rounded
    assert max(view.last_hw_px) <= 90 + rounded
    assert found.image.shape[:2] == view.last_hw_px
    assert found.masks.shape[1:] == view.last_hw_px
    assert len(found.boxes_xyxy_px) == 1
    left, top, right, bottom = found.boxes_xyxy_px[0].tolist()
    if right - left < 2 or bottom - top < 2:
        return  # the sliver that a crop left is too dim to be found by a threshold
    stretch = max(np.array(view.last_hw_px) / (view.crop[2:] if view.crop else (height, width)))
    tolerance = 1 + stretch  # a pixel of the last resize, and one of the first as it grew
    for bright in (found.image[..., 0] > 127, found.masks[0].numpy()):
        rows, columns = np.nonzero(bright)
        edges = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
        assert np.abs(np.array(edges) - [left, top, right, bottom]).max() <= tolerance


def test_half_of_the_views_are_cropped_and_all_sizes_occur():
    rng = np.random.default_rng(0)
    views = [transforms.draw_training_view(rng, 480, 640, torch.zeros(0, 4)) for _ in range(600)]
    cropped = [v for v in views if v.crop is not None]
    assert 250 < len(cropped) < 350
    assert {min(v.first_hw_px) for v in cropped} == set(transforms.NATURAL_SIZES.before_crop_px)
    assert min(min(v.crop[2:]) for v in cropped) >= 384
    plain = {min(v.last_hw_px) for v in views if v.crop is None}
    assert plain == set(transforms.NATURAL_SIZES.short_sides_px)


def test_the_same_generator_draws_the_same_view():
    boxes = torch.tensor([[10.0, 10, 60, 70]])
    first, second = (
        transforms.draw_training_view(np.random.default_rng(7), 300, 200, boxes) for _ in range(2)
    )
    assert first == second


def test_evaluation_view_is_the_published_one():
    assert transforms.evaluation_view(480, 640).last_hw_px == (800, 1066)
    assert transforms.evaluation_view(300, 1024).last_hw_px == (391, 1334)
