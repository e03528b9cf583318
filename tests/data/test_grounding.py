"""Grounding examples from files and scenes: what they hold, the same with any workers."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from eyespot.data.annotations import GroundingAnnotations, parse_annotations
from eyespot.data.box_transforms import ViewSizes
from eyespot.data.decode import decode_image
from eyespot.data.draws import Draws, generator
from eyespot.data.grounding import (
    FixedView,
    GroundingExamples,
    RandomView,
    normalize_padded,
    read_masks,
)
from eyespot.data.grounding_sources import (
    AnnotatedImages,
    GroundedScenes,
    JoinedSources,
    open_grounding,
)
from eyespot.data.loader import Loader
from eyespot.data.quarantine import Quarantine
from eyespot.data.sampling import Order
from eyespot.data.scene_samples import parse_scenes
from eyespot.data.scenes import write_grounding
from tests.data.pictures import encode, smooth_picture

SIZES = ViewSizes((40, 48, 56), 80, (30, 36), 20, 70)
AS_IS = FixedView(None)
ANY = RandomView(SIZES)
SCENES = "scenes:size=48,count=12,val_count=5,seed=3"


def annotated(root, count=9):
    """Pictures of sizes 30..38 x 50 with two boxes each; the seventh is cut short."""
    root.mkdir(exist_ok=True)
    images, boxes = [], []
    for i in range(count):
        data = encode(smooth_picture(30 + i, 50, i), "PNG")
        (root / f"{i}.png").write_bytes(data[:100] if i == 6 else data)
        text = {"caption": f"a red cup and {i} blue dogs", "dataset_name": "mine"}
        images.append(
            {"id": 100 + i, "file_name": f"{i}.png", "height": 30 + i, "width": 50} | text
        )
        square = [[5, 5, 20, 5, 20, 25, 5, 25]]
        rest = {"image_id": 100 + i, "area": 300, "iscrowd": 0, "segmentation": square}
        boxes += [
            {"id": 3 * i, "bbox": [5, 5, 15, 20], "tokens_positive": [[0, 9]], **rest},
            {"id": 3 * i + 1, "bbox": [30, 2, 40, 10], "tokens_positive": [[14, 25]], **rest},
            {"id": 3 * i + 2, "bbox": [0, 0, 9, 9], "tokens_positive": [[0, 1]], **rest}
            | {"iscrowd": 1},
        ]
    return {"images": images, "annotations": boxes}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    root = tmp_path_factory.mktemp("pictures")
    return AnnotatedImages(GroundingAnnotations(parse_annotations(annotated(root))), root)


def batches(source, view=ANY, seed=7, batch_size=4, with_masks=True, **options):
    examples = GroundingExamples(source, view, seed=seed, with_masks=with_masks)
    return list(Loader(examples, Order(len(source), batch_size, seed), **options))


def same(ones, others):
    assert len(ones) == len(others)
    for one, other in zip(ones, others, strict=True):
        for a, b in zip(one, other, strict=True):
            if isinstance(a, torch.Tensor):
                assert a.dtype == b.dtype
                assert torch.equal(a, b)
            else:
                assert a == b


def test_a_fixed_view_gives_what_is_annotated(source):
    (batch,) = batches(source, AS_IS, batch_size=9, stop_step=1)
    order = Order(9, 9, 7).batch(0)[1].tolist()
    taken = [7 if i == 6 else i for i in order]
    assert batch.indices.tolist() == taken
    assert [(bad.index, bad.name) for bad in batch.bad] == [(6, "6.png")]
    assert [record.image_id for record in batch.records] == [100 + i for i in taken]
    assert batch.sizes_hw_px.tolist() == [[30 + i, 50] for i in taken]
    assert batch.captions == tuple(f"a red cup and {i} blue dogs" for i in taken)
    assert batch.num_boxes == (2,) * 9
    assert batch.spans == ([[(0, 9)], [(14, 25)]],) * 9
    assert batch.is_final is None
    for row, i in enumerate(taken):
        height = 30 + i
        picture = smooth_picture(height, 50, i)
        np.testing.assert_array_equal(batch.images[row, :, :height].permute(1, 2, 0), picture)
        assert not batch.images[row, :, height:].any()
        assert batch.pad_mask[row].tolist() == [[y >= height] * 50 for y in range(38)]
        cup, dogs = batch.boxes_cxcywh[2 * row : 2 * row + 2] * torch.tensor([50, height] * 2)
        assert_close(cup, torch.tensor([12.5, 15.0, 15.0, 20.0]))
        assert_close(dogs, torch.tensor([40.0, 7.0, 20.0, 10.0]))  # clipped at 50
        mask = torch.zeros(38, 50, dtype=torch.bool)
        mask[5:25, 5:20] = True
        assert torch.equal(batch.masks[2 * row], mask)


def test_views_keep_boxes_on_what_they_name(source):
    """A box of one colour on black stays the tight box of that colour, whatever the view does."""
    record = source.caption(0, 0)

    class Painted:
        def __len__(self):
            return 1

        def caption(self, index, epoch):
            return record

        def image(self, index, record):
            image = np.zeros((30, 50, 3), np.uint8)
            image[5:25, 5:20] = 255
            return image

    examples = GroundingExamples(Painted(), RandomView(SIZES), seed=0, with_masks=True)
    sizes = set()
    for epoch in range(40):
        batch = examples.collate([examples[0, epoch, 0]])
        sizes.add(batch.images.shape)
        height, width = batch.images.shape[-2:]
        where = batch.spans[0].index([(0, 9)])  # a crop may lose a box, with its span
        cx, cy, w, h = (batch.boxes_cxcywh[where] * torch.tensor([width, height] * 2)).tolist()
        ys, xs = np.nonzero(batch.images[0, 0].numpy() > 127)
        extent = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
        assert (cx - w / 2, cy - h / 2, cx + w / 2, cy + h / 2) == pytest.approx(extent, abs=1.2)
        bright = batch.images[0, 0] > 127
        union = (bright | batch.masks[where]).sum()
        assert (bright & batch.masks[where]).sum() > 0.85 * union
    assert len(sizes) > 10


@pytest.fixture(scope="module")
def whole(source):
    return batches(source, stop_step=6)


@pytest.mark.parametrize("num_workers", [1, 3])
def test_any_number_of_processes_gives_the_same_bits(source, whole, num_workers):
    same(batches(source, stop_step=6, num_workers=num_workers), whole)


@pytest.mark.parametrize(("start", "num_workers"), [(1, 0), (5, 2)])
def test_any_start_gives_the_same_bits(source, whole, start, num_workers):
    same(batches(source, start_step=start, stop_step=6, num_workers=num_workers), whole[start:])


def test_seed_and_epoch_change_the_view(source, whole):
    examples = GroundingExamples(source, RandomView(SIZES), seed=7)
    images = [examples[0, epoch, 2].grounded.image for epoch in range(6)]
    assert len({image.tobytes() for image in images}) > 3
    other = batches(source, seed=8, stop_step=6)
    assert any(a.images.shape != b.images.shape for a, b in zip(whole, other, strict=True))


def test_ranks_share_each_batch(source, whole):
    parts = [batches(source, stop_step=3, rank=rank, world_size=2) for rank in range(2)]
    for batch, *ranks in zip(whole, *parts, strict=False):
        assert sum((part.captions for part in ranks), ()) == batch.captions
        assert torch.equal(torch.cat([part.boxes_cxcywh for part in ranks]), batch.boxes_cxcywh)


def test_damaged_images_are_quarantined(source, tmp_path):
    quarantine = Quarantine(tmp_path / "q.jsonl", budget=0.5)
    batches(source, stop_step=4, quarantine=quarantine)
    rows = [json.loads(line) for line in (tmp_path / "q.jsonl").read_text().splitlines()]
    assert {row["name"] for row in rows} == {"6.png"}
    assert (quarantine.num_seen, quarantine.num_bad) == (16, len({row["index"] for row in rows}))


def test_an_image_of_another_size_or_without_mask_is_damaged(tmp_path):
    dataset = annotated(tmp_path, 3)
    dataset["images"][0]["height"] = 99
    del dataset["annotations"][3]["segmentation"]
    data = AnnotatedImages(GroundingAnnotations(parse_annotations(dataset)), tmp_path)
    example = GroundingExamples(data, AS_IS, seed=0, with_masks=True)[0, 0, 0]
    assert example.index == 2
    assert [bad.reason for bad in example.bad] == [
        "need an image of 50x99 as annotated, got 50x30",
        "need a segmentation of the box (5.0, 5.0, 15.0, 20.0), got none",
    ]
    (tmp_path / "2.png").unlink()
    with pytest.raises(ValueError, match="got 3 damaged ones in a row from index 1"):
        GroundingExamples(data, AS_IS, seed=0, with_masks=True)[0, 0, 1]


def test_masks_of_runs_and_of_wrong_sizes(source):
    region = source.caption(0, 0).regions[0]
    runs = {"size": [2, 3], "counts": [1, 2, 3]}
    (mask,) = read_masks([type(region)((0, 0, 2, 2), (), 2, more={"segmentation": runs})], 2, 3)
    assert mask.int().tolist() == [[0, 1, 0], [1, 0, 0]]
    with pytest.raises(ValueError, match="need a segmentation of 2x2, got 3x2"):
        read_masks([type(region)((0, 0, 2, 2), (), 2, more={"segmentation": runs})], 2, 2)


def test_normalized_padding_is_zero(source):
    (batch,) = batches(source, AS_IS, batch_size=9, stop_step=1)
    images = normalize_padded(batch.images, batch.pad_mask)
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    for row, height in enumerate(batch.sizes_hw_px[:, 0].tolist()):
        expected = (batch.images[row, :, :height].permute(1, 2, 0).numpy() / 255 - mean) / std
        np.testing.assert_allclose(images[row, :, :height].permute(1, 2, 0), expected, atol=1e-6)
        assert not images[row, :, height:].any()


def test_the_published_evaluation_view(source):
    record = source.caption(0, 0)
    boxes = torch.zeros(0, 4)
    assert FixedView()(generator(0, 0, 0), record.height_px, 50, boxes).last_hw_px == (800, 1333)
    assert FixedView(320)(generator(0, 0, 0), 100, 100, boxes).last_hw_px == (320, 320)


def test_scenes_equal_the_files_written_of_them(tmp_path):
    scenes = parse_scenes(SCENES)
    write_grounding(tmp_path, scenes.split("val")[0], seed=3, count=5)
    for text, file in (("caption", "captions.json"), ("referring", "referring.json")):
        made = open_grounding(f"{SCENES},text={text}", split="val")
        read = open_grounding(str(tmp_path / file))
        assert len(made) == len(read) == 5
        for i in range(5):
            one, other = made.caption(i, 9), read.caption(i, 0)
            assert one.more == other.more
            assert one.caption == other.caption
            for a, b in zip(one.regions, other.regions, strict=True):
                assert (a.box_xywh_px, a.spans, a.area_px, a.is_final) == (
                    b.box_xywh_px, b.spans, b.area_px, b.is_final,
                )  # fmt: skip
                assert a.more["segmentation"] == b.more["segmentation"]
            stored = decode_image(read.image(i, other))
            np.testing.assert_array_equal(made.image(i, one), stored)


def test_captions_of_training_scenes_are_drawn_afresh():
    train, val = (open_grounding(SCENES, split=split) for split in ("train", "val"))
    assert (len(train), len(val)) == (12, 5)
    assert len({train.caption(0, epoch).caption for epoch in range(5)}) > 2
    assert len({val.caption(0, epoch).caption for epoch in range(5)}) == 1
    asked = open_grounding(SCENES + ",text=question,wording=plain").caption(4, 2)
    assert asked.caption.endswith("?")
    assert asked.more["answer"]


def test_a_scene_that_says_nothing_is_replaced_with_its_picture(monkeypatch):
    from eyespot.data import grounding_sources as module

    def sometimes(scene, **options):
        return None if scene.index < 20 and options["draw"] else found(scene, **options)

    found = module.referring
    monkeypatch.setattr(module, "referring", sometimes)
    source = open_grounding(SCENES + ",text=referring")
    record = source.caption(4, 1)
    assert record.more["original_id"] == 4 + 12 + 12
    first = source.caption(4, 0)
    assert first.more["original_id"] == 4
    assert (source.image(4, record) != source.image(4, first)).any()


def test_referring_scenes_load_with_is_final_and_masks():
    scenes = GroundedScenes(parse_scenes(SCENES + ",text=referring"), "train")
    (batch, *_) = batches(scenes, AS_IS, num_workers=2)
    assert batch.images.shape == (4, 3, 48, 48)
    assert batch.is_final.sum() == 4
    assert batch.masks.shape == (sum(batch.num_boxes), 48, 48)
    pixels = batch.masks.sum(dim=(1, 2)).tolist()
    assert pixels == [region.area_px for record in batch.records for region in record.regions]


@pytest.mark.parametrize("hw", [(1, 5000), (5000, 1), (2, 20000), (1, 1)])
@pytest.mark.parametrize("view", [RandomView(), FixedView(), FixedView(96, 192)])
def test_lines_of_pixels_are_read_like_other_images(tmp_path, hw, view):
    """One is as good as another: nothing vanishes, nothing fills the memory, boxes stay in."""
    Image.new("RGB", hw[::-1], (9, 200, 30)).save(tmp_path / "line.png")
    half = [0, 0, max(1, hw[1] // 2), max(1, hw[0] // 2)]
    image = {"id": 1, "file_name": "line.png", "height": hw[0], "width": hw[1], "caption": "cup"}
    box = {"id": 1, "image_id": 1, "bbox": half, "tokens_positive": [[0, 3]], "area": 9}
    dataset = {"images": [image], "annotations": [box]}
    data = AnnotatedImages(GroundingAnnotations(parse_annotations(dataset)), tmp_path)
    bad = Quarantine(tmp_path / "bad.jsonl", budget=0.0)
    read = batches(data, view, batch_size=1, with_masks=False, stop_step=6, quarantine=bad)
    for batch in read:
        sides = batch.images.shape[2:]
        assert min(sides) >= 1
        assert max(sides) <= 2 * 1333
        assert (batch.images[0].amax(dim=(1, 2)) == torch.tensor([9, 200, 30])).all()
        left, top, width, height = batch.boxes_cxcywh[0].tolist()
        assert min(width, height) > 0
        assert 0 <= left - width / 2 < left + width / 2 <= 1 + 1e-6
        assert 0 <= top - height / 2 < top + height / 2 <= 1 + 1e-6
    assert len(read) == 6
    assert not (tmp_path / "bad.jsonl").exists()


def test_captions_without_boxes_are_legal(tmp_path):
    dataset = annotated(tmp_path, 2)
    dataset["annotations"] = dataset["annotations"][3:]
    data = AnnotatedImages(GroundingAnnotations(parse_annotations(dataset)), tmp_path)
    (batch,) = batches(data, AS_IS, batch_size=2)
    assert sorted(batch.num_boxes) == [0, 2]
    assert batch.masks.shape == (2, 31, 50)
    assert batch.boxes_cxcywh.shape == (2, 4)


def test_joined_sources_and_folders_by_data_source(tmp_path, source):
    scenes = open_grounding(SCENES, split="val")
    joined = JoinedSources([scenes, source])
    assert len(joined) == 14
    assert joined.caption(5, 0) == replace(source.caption(0, 0), image_id=5)
    assert joined.image(5, joined.caption(5, 0)) == source.image(0, source.caption(0, 0))
    assert joined.caption(4, 0) == scenes.caption(4, 0)
    dataset = annotated(tmp_path / "vg", 2)
    dataset["images"][0]["data_source"] = "vg"
    annotations = GroundingAnnotations(parse_annotations(dataset))
    mixed = AnnotatedImages(annotations, {"vg": tmp_path / "vg", "coco": tmp_path})
    assert mixed.image(0, mixed.caption(0, 0)) == (tmp_path / "vg" / "0.png").read_bytes()
    with pytest.raises(ValueError, match="need a data_source of vg, coco, got 'None': image 101"):
        mixed.image(1, mixed.caption(1, 0))


def test_what_cannot_be_opened(tmp_path):
    with pytest.raises(ValueError, match="got /no.json: no such file"):
        open_grounding("/no.json")
    (tmp_path / "a.json").write_text('{"images": [], "annotations": []}')
    with pytest.raises(ValueError, match="need at least one caption"):
        open_grounding(str(tmp_path / "a.json"))
    with pytest.raises(ValueError, match="need a folder of images, got .*gone: no such folder"):
        open_grounding(str(tmp_path / "a.json"), tmp_path / "gone")


def test_the_generator_starts_where_draws_do():
    assert generator(5, 6, 7, 8).bit_generator.random_raw() == Draws(5, 6, 7, 8).bits()


def test_captions_beside_expressions_do_not_say_what_is_final(source):
    scenes = GroundedScenes(parse_scenes(SCENES + ",text=referring"), "train")
    joined = JoinedSources([scenes, source])
    (batch,) = batches(joined, AS_IS, batch_size=len(joined), with_masks=False, stop_step=1)
    row = 0
    for index, number in zip(batch.indices.tolist(), batch.num_boxes, strict=True):
        final = batch.is_final[row : row + number]
        row += number
        if index < len(scenes):
            assert final.sum() == 1
        else:
            assert final.isnan().all()
