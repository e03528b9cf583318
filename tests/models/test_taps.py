import pytest
import torch
from torch.testing import assert_close

from eyespot.design.specs import ViTSpec
from eyespot.models.build import build, create_model
from eyespot.models.taps import PUBLISHED_TAPS, Tap, TappedNetwork, parse_tap


def images(size=64):
    return torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))


def small_cnn():
    return create_model("RegNetY-200MF", num_classes=7).eval()


def test_taps_of_a_cnn_are_its_maps_pooled():
    network = small_cnn()
    taps = ("pool", "s4", "s3@2x1", "stem.af@k4s2p1")
    tapped = TappedNetwork(network, [parse_tap(text) for text in taps])
    with torch.no_grad():
        found = tapped(images())
        stem, s3, s4 = network.forward_intermediates(images(), [0, 3, 4])
        pool = network.forward_head(network.forward_features(images()), pre_logits=True)
    assert_close(found[0], pool)
    assert_close(found[1], s4.mean((2, 3)))
    assert_close(
        found[2], torch.stack([half.mean((2, 3)) for half in s3.chunk(2, 2)], 2).flatten(1)
    )
    assert found[3].shape == (2, 32 * 16 * 16)
    padded = torch.nn.functional.pad(stem, (1, 1, 1, 1))
    assert_close(found[3].view(2, 32, 16, 16)[:, :, 1, 2], padded[:, :, 2:6, 4:8].mean((2, 3)))
    assert tapped.channels == (368, 368, 152, 32)
    assert tapped.cells == (1, 1, 2, None)


def test_no_further_stage_is_run_than_needed():
    network = small_cnn()
    del network.s4
    with torch.no_grad():
        (found,) = TappedNetwork(network, [Tap("s2")])(images())
    assert found.shape == (2, 56)


@pytest.mark.parametrize("pooling", ["token", "mean"])
def test_taps_of_a_vit(pooling):
    spec = ViTSpec(16, 32, 2, 3, pooling=pooling, image_size=32, num_classes=5)
    torch.manual_seed(0)
    network = build(spec).eval()
    tapped = TappedNetwork(network, [Tap("blocks.1"), Tap()])
    with torch.no_grad():
        block, pool = tapped(images(32))
        assert_close(block, network.forward_intermediates(images(32), [1])[0].mean((2, 3)))
        network.reset_classifier(0)
        assert_close(pool, network(images(32)))


@pytest.mark.parametrize("text", ["pool", "s4", "s4@2x1", "s3@k8s3p0", "blocks.11", "stem.af"])
def test_taps_read_as_they_print(text):
    assert str(parse_tap(text)) == text


@pytest.mark.parametrize("text", ["", "s4@", "s4@2", "pool@2x2", "s4@k3", "s4@0x2"])
def test_other_texts_are_refused(text):
    with pytest.raises(ValueError, match="need a tap such as pool"):
        parse_tap(text)


def test_unknown_levels_and_too_small_maps_are_named():
    with pytest.raises(ValueError, match=r"pool, stem.af, s1, .*, got s9@2x1"):
        TappedNetwork(small_cnn(), [Tap("s9", (2, 1))])
    with pytest.raises(ValueError, match="at least one tap"):
        TappedNetwork(small_cnn(), [])
    with pytest.raises(ValueError, match="maps of at least 6 px for the tap s4@k6s1p0, got 2x2"):
        TappedNetwork(small_cnn(), [Tap("s4", window=(6, 1, 0))])(images())


@pytest.mark.parametrize(
    ("name", "widths"),
    [
        ("ResNet-50", [9216, 9216, 8192, 9216, 8192]),
        ("RegNetY-16GF", [11088, 12096, 3024]),
        ("RegNetY-32GF", [9744, 11136, 3712]),
        ("RegNetY-256GF-seer-vissl", [8206, 20888, 10444]),
    ],
)
def test_published_taps_have_the_published_widths(name, widths):
    with torch.device("meta"):
        tapped = TappedNetwork(create_model(name, num_classes=0), PUBLISHED_TAPS[name])
        found = tapped(torch.empty(1, 3, 224, 224))
    assert [features.shape[1] for features in found] == widths
