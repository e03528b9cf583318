"""Loading is all or nothing, and says what it did."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from eyespot.errors import WeightsError
from eyespot.models.build import build
from eyespot.models.features import FeatureExtractor
from eyespot.models.vit import resample_grid
from eyespot.weights.files import save_weights
from eyespot.weights.fit import network_sizes
from eyespot.weights.load import load_weights
from tests.weights.networks import EFFNET, REGNETX, REGNETY, VIT, distinct, same_weights


def snapshot(model):
    return {key: tensor.clone() for key, tensor in model.state_dict().items()}


def refuse(model, source, match, **options):
    """The load fails with the sentence, and the network is as it was."""
    before = snapshot(model)
    with pytest.raises(WeightsError, match=match):
        load_weights(model, source, **options)
    assert same_weights(before, model.state_dict())


def test_missing_left_over_and_misshaped_tensors_are_one_error():
    state_dict = distinct(REGNETY).state_dict()
    del state_dict["s2.b1.f.a.weight"]
    state_dict["s9.b1.f.a.weight"] = torch.zeros(3)
    state_dict["s1.b1.bn.bias"] = torch.zeros(7)
    sentence = (
        r"missing: s2\.b1\.f\.a\.weight; not used: s9\.b1\.f\.a\.weight; "
        r"of another shape: s1\.b1\.bn\.bias \(needs \[16\], got \[7\]\)"
    )
    refuse(build(REGNETY), state_dict, sentence)


def test_long_lists_are_counted():
    state_dict = {k: v for k, v in distinct(REGNETY).state_dict().items() if ".f.b" not in k}
    refuse(build(REGNETY), state_dict, r"missing: s1\.b1\.f\.b\.weight, .* and 15 more")


def test_left_over_tensors_are_named_as_the_file_names_them():
    state_dict = {
        "layer1.0.conv1.weight": torch.zeros(1),
        "layer1.0.se.fc.weight": torch.zeros(1),
    }
    refuse(build(REGNETY), state_dict, r"not used: .*layer1\.0\.se\.fc\.weight")


def test_whole_numbers_are_no_weights():
    state_dict = distinct(REGNETY).state_dict()
    state_dict["s1.b1.f.c.weight"] = state_dict["s1.b1.f.c.weight"].to(torch.int8)
    refuse(build(REGNETY), state_dict, r"needs torch\.float32, got torch\.int8")


def test_half_precision_is_widened():
    source, target = distinct(REGNETY).half(), build(REGNETY)
    load_weights(target, source.state_dict())
    wanted = source.state_dict()["s3.b1.f.b.weight"].float()
    assert_close(target.state_dict()["s3.b1.f.b.weight"], wanted, rtol=0, atol=0)
    assert target.s3.b1.f.b.weight.dtype == torch.float32


def test_batch_counters_may_be_absent():
    state_dict = {
        key: tensor
        for key, tensor in distinct(REGNETY).state_dict().items()
        if not key.endswith("num_batches_tracked")
    }
    target = build(REGNETY)
    report = load_weights(target, state_dict)
    assert len(report.loaded) == len(state_dict)


def test_another_network_is_told_by_its_sizes():
    wide = replace(REGNETX, widths=(16, 24, 40, 48), depths=(1, 3, 1, 1))
    sentence = (
        r"weights have stage widths 16,24,40,48 and depths 1,3,1,1; "
        r"the network has stage widths 16,24,32,48 and depths 1,2,1,1"
    )
    refuse(build(REGNETX), distinct(wide).state_dict(), sentence)
    deeper = replace(VIT, depth=3)
    refuse(build(VIT), distinct(deeper).state_dict(), "3 blocks of width 32 and MLP width 64; the")


def test_sizes_of_an_effnet():
    sizes = network_sizes(build(EFFNET).state_dict())
    assert sizes == "stage widths 8,16,24 and depths 1,2,1"
    assert network_sizes({"x": torch.zeros(1)}) == ""


@pytest.mark.parametrize(("spec", "key"), [(REGNETY, "head.fc.weight"), (VIT, "head.weight")])
def test_another_class_count_says_what_to_do(spec, key):
    target = build(replace(spec, num_classes=3))
    state_dict = distinct(spec).state_dict()
    refuse(target, state_dict, r'5 classes and the network has 3: load with head="drop".*classes=0')
    before = snapshot(target)
    report = load_weights(target, state_dict, head="drop")
    assert key in report.unused
    assert_close(target.state_dict()[key], before[key], rtol=0, atol=0)
    trunk = [name for name in state_dict if not name.startswith("head.")]
    assert set(report.loaded) == set(trunk)
    assert all(torch.equal(target.state_dict()[name], state_dict[name]) for name in trunk)
    assert any("classifier" in note for note in report.notes)


def test_weights_without_a_classifier_say_what_to_do():
    state_dict = {k: v for k, v in distinct(REGNETY).state_dict().items() if "head" not in k}
    refuse(build(REGNETY), state_dict, r'no classes and the network has 5: load with head="drop"')
    load_weights(build(REGNETY), state_dict, head="drop")


def test_a_network_without_classifier_leaves_the_files_and_says_so():
    target = build(replace(REGNETY, num_classes=0))
    report = load_weights(target, distinct(REGNETY).state_dict())
    assert report.unused == ("head.fc.weight", "head.fc.bias")


def test_a_head_convolution_is_no_classifier():
    spec = replace(REGNETY, head_width=32)
    state_dict = distinct(spec).state_dict()
    target = build(replace(spec, num_classes=2))
    report = load_weights(target, state_dict, head="drop")
    assert "head.conv.weight" in report.loaded
    refuse(build(REGNETY), state_dict, r"not used: head\.conv\.weight")


@pytest.mark.parametrize("size", [16, 48])
def test_position_embeddings_of_another_grid_are_resampled(size):
    source = distinct(VIT)
    target = build(replace(VIT, image_size=size))
    report = load_weights(target, source.state_dict())
    grid = size // 8
    assert f"resampled the position embeddings from 4x4 to {grid}x{grid}" in report.notes
    wanted = resample_grid(source.pos_embed, (grid, grid), num_prefix=1)
    assert_close(target.pos_embed, wanted, rtol=0, atol=0)
    images = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    # the same images through the source, which resamples as it goes
    assert_close(target.eval()(images), source.eval()(images))


def test_equal_grids_are_not_touched():
    report = load_weights(build(VIT), distinct(VIT).state_dict())
    assert not any("resampled" in note for note in report.notes)


def test_class_token_weights_do_not_fit_a_pooled_vit():
    pooled = build(replace(VIT, pooling="mean"))
    refuse(pooled, distinct(VIT).state_dict(), r"not used: cls_token")


@pytest.mark.parametrize("indices", [(0, 1), (1, 3), None])
def test_a_feature_extractor_takes_its_bodys_weights(indices):
    source = distinct(REGNETY)
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    target = FeatureExtractor(build(REGNETY), indices)
    report = load_weights(target, source.state_dict())
    wanted = FeatureExtractor(source, indices).eval()(images)
    for got, want in zip(target.eval()(images), wanted, strict=True):
        assert_close(got, want, rtol=0, atol=0)
    assert "head.fc.weight" in report.unused
    assert ("s4.b1.f.a.weight" in report.unused) == (indices in ((0, 1), (1, 3)))
    body = target.body.state_dict()
    assert set(report.loaded) == set(body)
    again = FeatureExtractor(build(REGNETY), indices)
    assert load_weights(again, target.state_dict()).unused == ()


def test_a_vit_feature_extractor_takes_its_bodys_weights():
    target = FeatureExtractor(build(VIT), (0,))
    report = load_weights(target, distinct(VIT).state_dict())
    assert {"norm.weight", "blocks.1.norm1.weight", "head.bias"} <= set(report.unused)
    assert set(report.loaded) == set(target.body.state_dict())


def test_a_feature_extractor_still_refuses_strangers():
    state_dict = {**distinct(REGNETY).state_dict(), "s1.b9.f.a.weight": torch.zeros(1)}
    refuse(FeatureExtractor(build(REGNETY), (0, 1)), state_dict, r"not used: s1\.b9")


@pytest.mark.parametrize("wrapped", ["module.", "_orig_mod.", "module._orig_mod."])
def test_what_wrappers_put_before_keys_is_taken_off(wrapped):
    source, target = distinct(REGNETX), build(REGNETX)
    load_weights(target, {wrapped + key: value for key, value in source.state_dict().items()})
    assert same_weights(target.state_dict(), source.state_dict())


def test_the_backbone_of_a_larger_network_by_its_prefix():
    source, target = distinct(REGNETX), build(REGNETX)
    larger = {f"backbone.{key}": value for key, value in source.state_dict().items()}
    larger["neck.weight"] = torch.zeros(2)
    refuse(target, larger, "pass the prefix")
    refuse(target, larger, "start with 'body.', got .* backbone., neck.", prefix="body.")
    report = load_weights(target, larger, prefix="backbone.")
    assert same_weights(target.state_dict(), source.state_dict())
    assert any("left 1" in note for note in report.notes)


@pytest.mark.parametrize(
    ("errors", "chosen"),
    [
        ({"test_err": 20.0, "ema_err": 19.0}, "ema"),
        ({"test_err": 19.0, "ema_err": 19.0}, "model"),
        ({"test_err": 19.0}, "model"),
        ({"ema_err": 19.0}, "ema"),
        ({}, "model"),
    ],
)
def test_the_better_set_of_a_pycls_checkpoint(errors, chosen):
    sets = {"model": distinct(REGNETY, 1), "ema": distinct(REGNETY, 2)}
    checkpoint = {
        "epoch": 1,
        "model_state": sets["model"].state_dict(),
        "ema_state": sets["ema"].state_dict(),
        "cfg": "",
        **errors,
    }
    target = build(REGNETY)
    report = load_weights(target, checkpoint, channel_order="rgb")
    assert same_weights(target.state_dict(), sets[chosen].state_dict())
    assert any(f"took {chosen}_state" in note for note in report.notes)


def test_a_training_checkpoint_is_opened_and_what_is_left_is_named():
    source, target = distinct(REGNETX), build(REGNETX)
    tree = {"epoch": 3, "model": source.state_dict(), "model_ema": distinct(REGNETX).state_dict()}
    report = load_weights(target, tree)
    assert same_weights(target.state_dict(), source.state_dict())
    assert "took 'model' of the checkpoint and left model_ema" in report.notes


def test_our_own_files_are_rgb_without_a_word(tmp_path):
    source, target = distinct(REGNETY), build(REGNETY)
    file = tmp_path / "w.safetensors"
    metadata = {"format": "eyespot", "channel_order": "rgb"}
    save_weights(source.state_dict(), file, metadata)
    report = load_weights(target, file)
    assert (report.layout, report.notes) == ("eyespot", ())
    assert same_weights(target.state_dict(), source.state_dict())
    load_weights(target, str(file), channel_order="bgr")
    assert_close(target.stem.conv.weight, source.stem.conv.weight.flip(1), rtol=0, atol=0)


def test_grey_images_have_no_channel_order():
    grey = replace(REGNETY, in_chans=1)
    refuse(build(grey), distinct(grey).state_dict(), "over 3 channels", channel_order="bgr")


def test_a_network_on_the_meta_device_is_refused():
    with torch.device("meta"):
        model = build(REGNETY)
    with pytest.raises(WeightsError, match="to_empty"):
        load_weights(model, distinct(REGNETY).state_dict())


@pytest.mark.parametrize(
    ("tree", "sentence"),
    [
        ({}, "an empty one"),
        ({"a": 1, "b": "x"}, "one with only a, b"),
        ({"a.weight": torch.zeros(1), "epoch": 3}, "got epoch among them"),
        ({"a": torch.zeros(1).expand(1 << 40)}, "over 4 bytes"),
        ({"a": torch.zeros(1, device="meta")}, "on the meta device"),
        ({"a": torch.eye(2).to_sparse()}, "sparse"),
    ],
)
def test_what_is_no_state_dict_is_refused(tree, sentence):
    refuse(build(REGNETX), tree, sentence)


@pytest.mark.parametrize("option", [{"channel_order": "brg"}, {"head": "lose"}])
def test_a_stray_option_is_refused(option):
    # the type check of the test run may see it first
    with pytest.raises((ValueError, TypeError), match=r"brg|lose"):
        load_weights(build(REGNETX), distinct(REGNETX).state_dict(), **option)


def test_any_module_with_our_names_can_be_loaded():
    class Wrapper(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.s1 = build(REGNETX).stem, build(REGNETX).s1

    source = {k: v for k, v in distinct(REGNETX).state_dict().items() if k[:2] in ("st", "s1")}
    target = Wrapper()
    assert set(load_weights(target, source).loaded) == set(target.state_dict())
