import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from eyespot.design.specs import AnyNetSpec, ViTSpec
from eyespot.models.build import create_model
from eyespot.models.multicrop_net import MultiCropNet, _covered
from eyespot.models.redraw import redraw_

SPEC = AnyNetSpec((1, 2), (16, 32), (2, 2), (1.0, 1.0), (8, 8), stem_width=8, num_classes=0)


def net(passes, head=None):
    network = MultiCropNet(create_model(SPEC), head or nn.Identity(), passes=passes).double()
    redraw_(network, SPEC, seed=1)
    return network


def views():
    generator = torch.Generator().manual_seed(0)
    sizes = ((2, 40), (3, 24))
    return [
        torch.randn(count, 4, 3, size, size, generator=generator, dtype=torch.float64)
        for count, size in sizes
    ]


@pytest.mark.parametrize("passes", ["sizes", "views"])
def test_rows_are_those_of_each_view_in_order(passes):
    network = net(passes).eval()
    rows = network(views()).unflatten(0, (5, 4))
    singles = [view for of_size in views() for view in of_size]
    for row, view in zip(rows, singles, strict=True):
        assert_close(row, network.backbone(view))


@pytest.mark.parametrize(("passes", "counted"), [("sizes", 2), ("views", 5), ("padded", 1)])
def test_batch_norms_count_each_pass_of_the_backbone_and_one_of_the_head(passes, counted):
    network = net(passes, nn.BatchNorm1d(32))
    network(views())
    assert network.backbone.stem.bn.num_batches_tracked == counted
    assert network.head.num_batches_tracked == 1


def test_one_pass_for_a_size_has_the_statistics_of_its_views_together():
    network = net("sizes")
    large, _ = views()
    both = network([large])
    assert_close(both, net("sizes").backbone(large.flatten(0, 1)))
    assert not torch.allclose(both[:4], net("views")([large])[:4])


def test_padded_views_are_pooled_over_their_part_of_the_map():
    """24 px of a canvas of 40: its 5x5 map of 8 px cells is cut to 3x3."""
    network = net("padded").eval()
    large, small = views()
    rows = network([large, small])
    assert_close(rows[:8], network.backbone(large.flatten(0, 1)))
    padded = F.pad(small.flatten(0, 1), (0, 16, 0, 16))
    maps = network.backbone.forward_features(padded)
    assert maps.shape[-2:] == (5, 5)
    assert_close(rows[8:], maps[:, :, :3, :3].mean((2, 3)))


@pytest.mark.parametrize(
    ("side", "canvas", "cells", "covered"),
    [(96, 160, 5, 3), (96, 224, 7, 3), (224, 224, 7, 7), (16, 28, 1, 1), (100, 224, 7, 4)],
)
def test_seers_crops_cover_what_its_mask_covers(side, canvas, cells, covered):
    mask = torch.zeros(1, 1, canvas, canvas)
    mask[..., :side, :side] = 1
    nearest = F.interpolate(mask, size=(cells, cells), mode="nearest")
    assert _covered(side, canvas, cells) == covered == int(nearest[0, 0, 0].sum())


def test_a_transformer_cannot_be_padded():
    vit = create_model(ViTSpec(32, 64, 2, 1, image_size=32, num_classes=0))
    with pytest.raises(ValueError, match="got ViT"):
        MultiCropNet(vit, nn.Identity(), passes="padded")
