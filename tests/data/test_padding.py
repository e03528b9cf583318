import pytest
import torch

from eyespot.data.padding import pad_images, pad_to_largest
from tests.reference import read_json

CASE = read_json("mdetr_vectors.json")["collate"]


def test_batch_matches_reference():
    images = [torch.tensor(i) for i in CASE["images"]]
    batch = pad_images(images)
    assert list(batch.images.shape) == CASE["batched_shape"]
    assert batch.pad_mask.int().tolist() == CASE["mask"]
    assert batch.images.sum().item() == pytest.approx(CASE["tensor_sum"], rel=1e-4)
    for row, mask, image in zip(batch.images, batch.pad_mask, images, strict=True):
        assert torch.equal(row[:, ~mask].reshape(image.shape), image)


def test_planes_keep_their_type_and_must_agree_in_channels():
    masks = [torch.ones(2, 3, 1, dtype=torch.bool), torch.ones(2, 1, 4, dtype=torch.bool)]
    padded = pad_to_largest(masks)
    assert padded.dtype == torch.bool
    assert padded.sum(dim=(1, 2, 3)).tolist() == [6, 8]
    with pytest.raises(ValueError, match=r"got \[1, 3\]"):
        pad_to_largest([torch.zeros(3, 2, 2), torch.zeros(1, 2, 2)])
