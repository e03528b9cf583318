import pytest
import torch

from eyespot.data.sources import flickr_equivalent_boxes, lvis_clean_name
from tests.reference import read_json

VECTORS = read_json("mdetr_vectors.json")


def test_equivalent_boxes_match_reference():
    case = VECTORS["flickr_equivalent_boxes"]
    boxes = torch.tensor(case["boxes_xywh"], dtype=torch.float64)
    found = flickr_equivalent_boxes(boxes, least_iou=case["iou_threshold"])
    assert found == case["expected_groups"]


def test_boxes_are_joined_through_others():
    boxes = torch.tensor([[0.0, 0, 10, 10], [2, 0, 10, 10], [1, 0, 10, 10], [50, 0, 9, 9]])
    assert flickr_equivalent_boxes(boxes, least_iou=0.8) == [[0, 1, 2], [3]]
    assert flickr_equivalent_boxes(torch.zeros(0, 4)) == []


@pytest.mark.parametrize(("name", "expected"), VECTORS["lvis_clean_name"])
def test_names_match_reference(name, expected):
    assert lvis_clean_name(name) == expected


def test_everything_between_the_outer_parentheses_goes():
    assert lvis_clean_name("soft_(toy)_and_(other)_bear") == "soft bear"
