import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

from eyespot.ops import boxes
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["box_ops"]
TOLERANCE = {"rtol": 1e-4, "atol": 1e-5}


def tensor(value, dtype=torch.float32):
    return torch.tensor(value, dtype=dtype)


@st.composite
def grid_boxes(draw, size=12):
    """Boxes on an integer grid, so that counting cells is an exact oracle."""
    corner = st.integers(0, size - 1)
    left, top = draw(corner), draw(corner)
    return [left, top, draw(st.integers(left, size)), draw(st.integers(top, size))]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_reference(dtype):
    one = boxes.cxcywh_to_xyxy(tensor(CASE["boxes1_cxcywh"], dtype))
    two = boxes.cxcywh_to_xyxy(tensor(CASE["boxes2_cxcywh"], dtype))
    assert_close(one, tensor(CASE["boxes1_xyxy"], dtype), **TOLERANCE)
    assert_close(boxes.box_iou(one, two), tensor(CASE["iou"], dtype), **TOLERANCE)
    assert_close(boxes.box_giou(one, two), tensor(CASE["giou"], dtype), **TOLERANCE)
    _, union = boxes.elementwise_iou_and_union(one[:, None], two[None])
    assert_close(union, tensor(CASE["union"], dtype), **TOLERANCE)


@given(grid_boxes(), grid_boxes())
def test_iou_and_giou_count_grid_cells(first, second):
    cells = torch.zeros(3, 12, 12, dtype=torch.bool)
    hull = [*map(min, first[:2], second[:2]), *map(max, first[2:], second[2:])]
    for plane, (left, top, right, bottom) in zip(cells, (first, second, hull), strict=True):
        plane[top:bottom, left:right] = True
    both = (cells[0] & cells[1]).sum().item()
    either = (cells[0] | cells[1]).sum().item()
    around = cells[2].sum().item()
    iou = both / either if either else 0.0
    giou = iou - ((around - either) / around if around else 0.0)
    one, two = tensor([first], torch.float64), tensor([second], torch.float64)
    assert boxes.box_iou(one, two).item() == pytest.approx(iou)
    assert boxes.box_giou(one, two).item() == pytest.approx(giou)
    assert boxes.elementwise_giou(one, two).item() == pytest.approx(giou)


@given(grid_boxes())
def test_formats_go_there_and_back(box):
    xyxy = tensor([box], torch.float64)
    assert_close(boxes.cxcywh_to_xyxy(boxes.xyxy_to_cxcywh(xyxy)), xyxy)
    assert_close(boxes.xywh_to_xyxy(boxes.xyxy_to_xywh(xyxy)), xyxy)
    relative = boxes.xyxy_px_to_cxcywh(xyxy, 24, 48)
    sizes = tensor([24, 48], torch.int64)
    assert_close(boxes.cxcywh_to_xyxy_px(relative, sizes), xyxy)


def test_formats_say_what_they_mean():
    xyxy = tensor([10.0, 20.0, 50.0, 100.0])
    assert boxes.xyxy_to_xywh(xyxy).tolist() == [10, 20, 40, 80]
    assert boxes.xyxy_to_cxcywh(xyxy).tolist() == [30, 60, 40, 80]
    assert_close(boxes.xyxy_px_to_cxcywh(xyxy, 200, 100), tensor([0.3, 0.3, 0.4, 0.4]))
    assert boxes.box_area(xyxy).item() == 3200


def test_each_image_has_its_own_scale():
    sizes = tensor([[10, 20], [30, 40]], torch.int64)
    whole = tensor([[[0.5, 0.5, 1, 1]], [[0.5, 0.5, 1, 1]]])
    expected = [[[0, 0, 20, 10]], [[0, 0, 40, 30]]]
    assert boxes.cxcywh_to_xyxy_px(whole, sizes).tolist() == expected


def test_clip_keeps_x_by_width_and_y_by_height():
    clipped = boxes.clip_xyxy_px(tensor([[-5.0, -1, 30, 30], [25, 15, 40, 40]]), 10, 20)
    assert clipped.tolist() == [[0, 0, 20, 10], [20, 10, 20, 10]]


def test_degenerate_boxes_have_finite_gradients():
    point = tensor([[3.0, 3, 3, 3]]).requires_grad_()
    boxes.elementwise_giou(point, point.detach()).sum().backward()
    assert point.grad.isfinite().all()
