"""The grounder: pairs, batches equal to one by one, encodings counted, and bad input explained."""

import io

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from eyespot.data.grounding import normalize_padded
from eyespot.evals.coco_ap import coco_detections
from eyespot.models.masks import detector_of
from eyespot.ops.boxes import box_iou
from eyespot.predict.grounder import Grounder
from eyespot.predict.images import read_picture
from eyespot.weights.files import save_weights
from eyespot.weights.grounders import save_grounder
from tests.predict.grounders import BACKBONE, CONV_VIT, VIT, small_grounder

TEXTS = ["a red cup", "The big star is left of a house and two green fish.", "the leftmost key"]


@pytest.fixture(scope="module")
def grounder():
    return Grounder(small_grounder())


def pictures(*sizes):
    rng = np.random.default_rng(0)
    return [rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]


def same(found, expected):
    assert found.text == expected.text
    assert [p.span for p in found.phrases] == [p.span for p in expected.phrases]
    for one, other in zip(found.phrases, expected.phrases, strict=True):
        assert_close(one.boxes_xyxy_px, other.boxes_xyxy_px, rtol=1e-4, atol=1e-3)
        assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-5)


def test_one_picture_one_text(grounder):
    (picture,) = pictures((70, 90))
    found = grounder(picture, TEXTS[1], min_score=0.0, max_iou=1.0)
    assert found.size_hw_px == (70, 90)
    assert [p.text for p in found.phrases] == ["The big star", "a house", "two green fish"]
    for phrase in found.phrases:
        assert found.text[slice(*phrase.span)] == phrase.text
        assert phrase.boxes_xyxy_px.shape == (6, 4)
        assert (np.diff(phrase.scores) <= 0).all()
        assert (phrase.boxes_xyxy_px >= 0).all()
        assert (phrase.boxes_xyxy_px <= [90, 70, 90, 70]).all()


def test_a_batch_equals_one_by_one(grounder):
    images = pictures((64, 64), (64, 64), (70, 90))
    together = grounder(images, TEXTS, min_score=0.0, max_iou=1.0)
    for image, text, found in zip(images, TEXTS, together, strict=True):
        same(found, grounder(image, text, min_score=0.0, max_iou=1.0))


def test_one_with_many_equals_one_by_one_and_each_is_encoded_once(grounder, monkeypatch):
    detector = detector_of(grounder.model)
    seen = {"encode_image": 0, "encode_text": 0}
    for name in seen:
        real = getattr(detector, name)

        def counted(first, *rest, name=name, real=real):
            seen[name] += len(first)
            return real(first, *rest)

        monkeypatch.setattr(detector, name, counted)
    images = pictures((64, 64), (80, 100))
    many_texts = grounder(images[0], TEXTS, min_score=0.0, max_iou=1.0)
    assert seen == {"encode_image": 1, "encode_text": 3}
    many_images = grounder(images, TEXTS[0], min_score=0.0, max_iou=1.0)
    assert seen == {"encode_image": 3, "encode_text": 4}
    encoded = grounder.encode(images)
    assert seen["encode_image"] == 5
    again = grounder(encoded, TEXTS[0], min_score=0.0, max_iou=1.0)
    assert seen["encode_image"] == 5
    for found, text in zip(many_texts, TEXTS, strict=True):
        same(found, grounder(images[0], text, min_score=0.0, max_iou=1.0))
    for found, other, image in zip(many_images, again, images, strict=True):
        same(found, grounder(image, TEXTS[0], min_score=0.0, max_iou=1.0))
        same(other, found)


def test_only_boxes_above_the_score_are_returned(grounder):
    (picture,) = pictures((64, 64))
    every = grounder(picture, TEXTS[0], min_score=0.0, max_iou=1.0).phrases[0]
    middle = float(every.scores[2])
    some = grounder(picture, TEXTS[0], min_score=middle, max_iou=1.0).phrases[0]
    assert len(some.scores) == 3
    assert len(grounder(picture, TEXTS[0], min_score=1.0, max_iou=1.0).phrases[0].scores) == 0


def test_own_phrases(grounder):
    (picture,) = pictures((64, 64))
    found = grounder(
        picture, "red cup and star", phrases=[(12, 16), (0, 7)], min_score=0.0, max_iou=1.0
    )
    assert [p.text for p in found.phrases] == ["red cup", "star"]
    for wrong in ([], [(3, 3)], [(0, 99)], [(7, 8)]):
        with pytest.raises(ValueError, match="need phrases"):
            grounder(picture, "red cup and star", phrases=wrong)
    with pytest.raises(ValueError, match="need one text for phrases"):
        grounder(picture, ["a", "b"], phrases=[(0, 1)])


def test_a_long_text_is_read_in_parts_and_no_phrase_is_lost(grounder):
    (picture,) = pictures((64, 64))
    sentence = "The small red cup is left of a big blue star. "
    text = (sentence * 110)[:5000].rstrip()
    assert not grounder.tokenizer.fits(text)
    found = grounder(picture, text, min_score=0.0, max_iou=1.0)
    assert len(found.phrases) >= 2 * 108
    for phrase in found.phrases:
        assert text[slice(*phrase.span)] == phrase.text
    first = grounder(picture, text[: found.phrases[3].span[1] + 1], min_score=0.0, max_iou=1.0)
    assert [p.text for p in first.phrases[:2]] == ["The small red cup", "a big blue star"]


def test_a_phrase_that_never_fits_is_explained(grounder):
    (picture,) = pictures((64, 64))
    with pytest.raises(ValueError, match="got one of 203 characters"):
        grounder(picture, "big " * 50 + "cup")


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "got an empty one"), ("  \n", "got an empty one"), ("is it", "no noun phrase")],
)
def test_texts_that_name_nothing(grounder, text, message):
    with pytest.raises(ValueError, match=message):
        grounder(pictures((9, 9))[0], text)


def test_numbers_that_do_not_go_together(grounder):
    images = pictures((9, 9), (9, 9))
    with pytest.raises(ValueError, match="got 2 pictures and 3 texts"):
        grounder(images, TEXTS)
    with pytest.raises(ValueError, match="got 0 and 1"):
        grounder([], "a cup")


@pytest.mark.parametrize("hw", [(1, 1), (1, 5000), (3000, 1), (2000, 1500)])
def test_odd_sizes(grounder, hw):
    found = grounder(np.zeros((*hw, 3), np.uint8), "a cup", min_score=0.0, max_iou=1.0)
    assert found.size_hw_px == hw
    assert np.isfinite(found.phrases[0].boxes_xyxy_px).all()


def files():
    """The same picture in many forms, all of which mean the same pixels."""
    rgb = np.full((40, 30, 3), 200, np.uint8)
    grey = Image.fromarray(rgb[..., 0])
    yield "path", "png", Image.fromarray(rgb)
    yield "grey", "png", grey
    yield "16 bit", "png", Image.fromarray(np.full((40, 30), 200 * 257, np.uint16))
    yield "cmyk", "jpeg", Image.new("CMYK", (30, 40), (0, 0, 0, 55))
    yield "animated", "gif", grey
    yield "palette", "png", Image.fromarray(rgb).quantize(4)


@pytest.mark.parametrize(("name", "kind", "image"), list(files()), ids=[f[0] for f in files()])
def test_forms_of_a_picture(tmp_path, name, kind, image):
    path = tmp_path / f"a.{kind}"
    more = {"save_all": True, "append_images": [Image.new("L", (30, 40))]} if kind == "gif" else {}
    image.save(path, **more)
    for picture in (path, str(path), path.read_bytes()):
        pixels = read_picture(picture)
        assert pixels.shape == (40, 30, 3)
        assert abs(pixels.astype(int) - 200).max() <= 2
    if name != "cmyk":
        assert abs(read_picture(image).astype(int) - 200).max() <= 2


def test_arrays_and_what_is_none():
    rgb = np.full((4, 5, 3), 9, np.uint8)
    for same_picture in (rgb, rgb[..., 0], rgb[..., :1], np.full((4, 5), 9 * 257, np.uint16)):
        assert np.array_equal(read_picture(same_picture), rgb)
    clear = np.zeros((4, 5, 4), np.uint8)
    assert (read_picture(clear) == 255).all()
    for wrong in (np.zeros((4, 5, 2), np.uint8), np.zeros((0, 5, 3), np.uint8), rgb / 255):
        with pytest.raises(ValueError, match="need pixels"):
            read_picture(wrong)


def test_bad_files_are_explained(tmp_path, grounder):
    buffer = io.BytesIO()
    Image.fromarray(pictures((80, 80))[0]).save(buffer, "JPEG")
    with pytest.raises(ValueError, match="truncated"):
        grounder(buffer.getvalue()[:900], "a cup")
    with pytest.raises(ValueError, match="no such file"):
        grounder(tmp_path / "none.png", "a cup")
    huge = tmp_path / "huge.png"
    Image.new("1", (20_000, 20_000)).save(huge)
    with pytest.raises(ValueError, match="20000x20000") as error:
        grounder(huge, "a cup")
    assert "huge.png" in str(error.value)
    with pytest.raises(ValueError, match="need 1 to"):
        grounder(np.broadcast_to(np.uint8(0), (20_000, 20_000, 3)), "a cup")


def test_weights_of_something_else(tmp_path):
    path = tmp_path / "a.safetensors"
    save_weights({"a": torch.zeros(1)}, path, {"format": "eyespot", "spec": "{}"})
    with pytest.raises(ValueError, match="describes an image network"):
        Grounder.from_pretrained(path)
    with pytest.raises(ValueError, match="unknown weights 'scenes-smal'. Did you mean scenes-sm"):
        Grounder.from_pretrained("scenes-smal")
    with pytest.raises(OSError, match="No such file"):
        Grounder.from_pretrained(tmp_path / "b.safetensors")


def test_a_file_of_weights_describes_itself(tmp_path, grounder):
    loaded = small_grounder()
    with pytest.raises(ValueError, match="which has no weights.safetensors"):
        Grounder.from_pretrained(tmp_path)
    save_grounder(loaded.model, loaded.spec, loaded.tokenizer, tmp_path / "weights.safetensors")
    again = Grounder.from_pretrained(tmp_path)
    (picture,) = pictures((64, 80))
    same(
        again(picture, TEXTS[1], min_score=0.0, max_iou=1.0),
        grounder(picture, TEXTS[1], min_score=0.0, max_iou=1.0),
    )


def test_a_saved_folder_gives_the_same_grounder(tmp_path, grounder):
    assert grounder.save_pretrained(tmp_path / "mine").is_file()
    again = Grounder.from_pretrained(tmp_path / "mine")
    wanted, got = grounder.model.state_dict(), again.model.state_dict()
    assert wanted.keys() == got.keys()
    for name, tensor in wanted.items():
        assert_close(got[name], tensor, rtol=0, atol=0)
    assert again.tokenizer.definition() == grounder.tokenizer.definition()
    with pytest.raises(ValueError, match=r"which has no weights\.safetensors"):
        Grounder.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"with_proposals": False},
        {"num_levels": 2},
        {"num_levels": 3, "with_proposals": False},
        {"backbone": VIT},
        {"backbone": CONV_VIT, "num_levels": 3, "with_proposals": False},
    ],
)
def test_other_networks_batch_equally(changes):
    grounder = Grounder(small_grounder(**changes))
    images = pictures((64, 64), (64, 64), (70, 90))
    together = grounder(images, TEXTS, min_score=0.0, max_iou=1.0)
    for image, text, found in zip(images, TEXTS, together, strict=True):
        same(found, grounder(image, text, min_score=0.0, max_iou=1.0))


def test_plain_data_and_supervision(grounder):
    found = grounder(pictures((64, 64))[0], TEXTS[1], min_score=0.0, max_iou=1.0)
    plain = found.to_dict()
    assert plain["phrases"][1]["phrase"] == "a house"
    assert plain["phrases"][1]["span"] == list(found.phrases[1].span)
    supervision = pytest.importorskip("supervision", reason="an extra")
    detections = found.to_supervision()
    assert isinstance(detections, supervision.Detections)
    assert detections.class_id.tolist() == [0] * 6 + [1] * 6 + [2] * 6
    assert detections.data["class_name"][7] == "a house"


def test_coco_results_are_read_by_coco(grounder):
    (picture,) = pictures((70, 90))
    found = grounder(picture, TEXTS[1], min_score=0.0, max_iou=1.0)
    rows = found.to_coco(7)
    assert [row["phrase"] for row in rows[::6]] == ["The big star", "a house", "two green fish"]
    assert [row["category_id"] for row in rows[::6]] == [1, 2, 3]
    left, top, right, bottom = found.phrases[1].boxes_xyxy_px[0]
    read = coco_detections(rows)
    np.testing.assert_allclose(
        read.boxes_xywh_px[6], [left, top, right - left, bottom - top], atol=0.02
    )
    assert read.scores[6] == found.phrases[1].scores[0]
    assert set(read.image_ids.tolist()) == {7}
    named = found.to_coco(7, {"the big star": 40})
    assert [row["category_id"] for row in named] == [40] * 6


def test_a_device_that_is_not_there_is_explained():
    for name, message in (("gpu", "got gpu: "), ("cuda:77", "got cuda:77: ")):
        with pytest.raises(ValueError, match=message):
            Grounder(small_grounder(), device=name)
    assert Grounder(small_grounder(), device="auto").device.type in ("cpu", "cuda")


@pytest.mark.parametrize("backbone", [BACKBONE, VIT], ids=["regnet", "vit"])
def test_masks_have_the_pictures_size_and_their_boxes(backbone):
    grounder = Grounder(small_grounder(backbone=backbone, with_masks=True, dim=128, num_heads=8))
    images = pictures((64, 64), (70, 90))
    together = grounder(images, TEXTS[:2], min_score=0.0, max_iou=1.0)
    for image, text, found in zip(images, TEXTS, together, strict=False):
        alone = grounder(image, text, min_score=0.0, max_iou=1.0)
        same(found, alone)
        for phrase, other in zip(found.phrases, alone.phrases, strict=True):
            assert phrase.masks.shape == (6, *image.shape[:2])
            assert (phrase.masks != other.masks).mean() < 1e-3
    plain = together[0].to_dict()["phrases"][0]["masks"]
    assert [row["segmentation"] for row in together[0].to_coco()[:6]] == plain
    assert len(plain) == 6
    assert plain[0]["size"] == [64, 64]


def test_boxes_of_one_call(grounder):
    (picture,) = pictures((64, 64))
    every = grounder(picture, TEXTS[0], min_score=0.0, max_iou=1.0).phrases[0]
    assert len(every.scores) == 6
    apart = grounder(picture, TEXTS[0], min_score=0.0).phrases[0]
    assert apart.scores[0] == every.scores[0]
    boxes = torch.tensor(apart.boxes_xyxy_px)
    assert (box_iou(boxes, boxes) - torch.eye(len(boxes)) <= 0.5 + 1e-9).all()


def test_what_the_whole_text_means_is_told_by_networks_that_can(grounder):
    (picture,) = pictures((64, 64))
    assert grounder(picture, TEXTS[0]).referent is None
    assert grounder(picture, TEXTS[0]).to_dict()["referent"] is None
    telling = Grounder(small_grounder(with_is_final=True))
    with torch.no_grad():
        telling.model.isfinal_embed.weight.mul_(5)
    found = telling(picture, TEXTS[0], min_score=0.0, max_iou=1.0)
    batch = normalize_padded(
        torch.from_numpy(picture.copy()).permute(2, 0, 1)[None],
        torch.zeros(1, 64, 64, dtype=torch.bool),
    )
    tokens = telling.tokenizer.pad([telling.tokenizer.encode(TEXTS[0])])
    with torch.no_grad():
        output = telling.model(
            batch, torch.zeros(1, 64, 64, dtype=torch.bool), tokens.ids, tokens.pad_mask
        )
    object_ = 1 - output.logits[-1, 0].softmax(-1)[:, -1]
    scores = object_ * output.is_final_logits[-1, 0].sigmoid()
    assert found.referent.score == pytest.approx(float(scores.max()), rel=1e-4)
    cx, cy, w, h = output.boxes_cxcywh[-1, 0, int(scores.argmax())].tolist()
    box = np.clip([cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2], 0, 1) * 64
    assert_close(found.referent.box_xyxy_px, box, rtol=1e-4, atol=1e-3)
    plain = found.to_dict()["referent"]
    assert plain["score"] == round(found.referent.score, 4)
    assert telling(picture, TEXTS[0], min_score=0.999).referent is None
