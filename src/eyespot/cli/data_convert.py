"""`eyespot data convert`: other datasets' annotations as ours, a function for each dataset."""

import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from tyro.conf import OmitArgPrefixes, OmitSubcommandPrefixes, configure, subcommand

if TYPE_CHECKING:
    from eyespot.data.annotations import CaptionedImage


def coco(
    instances: Path,
    out: Path,
    captions: Path | None = None,
    name: str = "coco",
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """COCO's instances and captions, or your own in that form.

    Args:
        instances: The file with images, boxes and categories.
        out: The annotation file to write.
        captions: The file with captions; without, captions list what is in each image.
        name: The dataset_name to write.
        combine: Join the captions of each image, as MDETR's pre-training does.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.coco import from_coco

    _other_than(out, instances, captions)
    _write(from_coco(instances, captions, dataset_name=name), out, combine, without)


def flickr30k(
    folder: Path,
    out: Path,
    split: Literal["train", "val", "test"] = "train",
    merged: bool = False,
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """Flickr30k Entities.

    Args:
        folder: With Annotations, Sentences and the lists of the splits.
        out: The annotation file to write.
        split: Which images.
        merged: One box around all boxes of an entity (the merged-boxes protocol).
        combine: Join the captions of each image.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.flickr30k import from_flickr30k

    _write(from_flickr30k(folder, split, merged=merged), out, combine, without)


def refcoco(
    folder: Path,
    out: Path,
    split: Literal["train", "val", "testA", "testB", "test"] = "train",
    split_by: str | None = None,
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """RefCOCO, RefCOCO+, RefCOCOg or gRefCOCO.

    Args:
        folder: Named refcoco, refcoco+ or refcocog, with instances.json and refs(WHO).p, or
            grefcoco, with instances.json and grefs(WHO).json.
        out: The annotation file to write.
        split: Which expressions.
        split_by: WHO made the split: unc, umd or google, if the folder has several.
        combine: Join the captions of each image.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.refcoco import from_refcoco

    _write(from_refcoco(folder, split, split_by=split_by), out, combine, without)


def visual_genome(
    regions: Path,
    image_data: Path,
    out: Path,
    coco: tuple[Path, ...] = (),
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """Visual Genome's region descriptions.

    Args:
        regions: region_graphs.json.
        image_data: image_data.json.
        out: The annotation file to write.
        coco: COCO's instances files; images in them are taken from COCO, with scaled boxes.
        combine: Join the captions of each image.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.visual_genome import from_visual_genome

    _other_than(out, regions, image_data)
    _write(from_visual_genome(regions, image_data, coco=coco), out, combine, without)


def gqa(
    questions: Path,
    out: Path,
    scene_graphs: Path | None = None,
    image_data: Path | None = None,
    coco: tuple[Path, ...] = (),
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """GQA's questions, with boxes from its scene graphs.

    Args:
        questions: train_balanced_questions.json and the like.
        out: The annotation file to write.
        scene_graphs: train_sceneGraphs.json and the like; test sets have none.
        image_data: Visual Genome's image_data.json, for sizes and COCO's names.
        coco: COCO's instances files; images in them are taken from COCO, with scaled boxes.
        combine: Join the captions of each image.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.gqa import from_gqa

    _other_than(out, questions, scene_graphs, image_data)
    _write(from_gqa(questions, scene_graphs, image_data, coco=coco), out, combine, without)


def phrasecut(
    refer: Path,
    image_data: Path,
    out: Path,
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """PhraseCut.

    Args:
        refer: refer_train.json and the like.
        image_data: image_data_split3000.json.
        out: The annotation file to write.
        combine: Join the captions of each image.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.phrasecut import from_phrasecut

    _other_than(out, refer, image_data)
    _write(from_phrasecut(refer, image_data), out, combine, without)


def lvis(annotations: Path, out: Path, share: float = 1.0, without: tuple[Path, ...] = ()) -> None:
    """LVIS: each category that an image is annotated for, absent ones too, as a text of its own.

    Args:
        annotations: lvis_v1_val.json and the like.
        out: The annotation file to write; its images are those of COCO, below one folder.
        share: Of the images: 0.01 and 0.1 are MDETR's few-shot sets, with every category in them.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.lvis import from_lvis

    _other_than(out, annotations)
    _write(from_lvis(annotations, share), out, False, without)


def odvg(
    lines: Path,
    out: Path,
    label_map: Path | None = None,
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """ODVG, the JSON lines of Grounding DINO's open trainings.

    Args:
        lines: The .jsonl file.
        out: The annotation file to write.
        label_map: JSON of names by label, where detections have only numbers.
        combine: Join the captions of each image.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.odvg import from_odvg

    _other_than(out, lines)
    _write(from_odvg(lines, label_map), out, combine, without)


def yolo(data: Path, out: Path, split: str = "train", without: tuple[Path, ...] = ()) -> None:
    """YOLO's data sets: data.yaml, images and labels, as Ultralytics lays them out.

    Args:
        data: data.yaml.
        out: The annotation file to write; its images are named from the folder of the set.
        split: Which images: train, val or test.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.yolo import from_yolo

    _write(from_yolo(data, split), out, False, without)


def voc(folder: Path, out: Path, split: str = "train", without: tuple[Path, ...] = ()) -> None:
    """Pascal VOC, or your own in that form.

    Args:
        folder: With Annotations, JPEGImages and ImageSets/Main.
        out: The annotation file to write; its images are those of JPEGImages.
        split: The list in ImageSets/Main: train, val, trainval or test.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.voc import from_voc

    _write(from_voc(folder, split), out, False, without)


def join(
    annotations: tuple[Path, ...],
    out: Path,
    combine: bool = False,
    without: tuple[Path, ...] = (),
) -> None:
    """Several annotation files of ours as one, such as those of RefCOCO, Visual Genome and GQA.

    Args:
        annotations: The files; images are the same where file_name and data_source are.
        out: The annotation file to write.
        combine: Join the captions of each image, of all files together, as MDETR's pre-training
            does.
        without: Annotation files, or lists of file names, whose images are left out.
    """
    from eyespot.data.converters.joined import from_files

    if not annotations:
        raise ValueError("need --annotations, one or more files to join, got none")
    _other_than(out, *annotations)
    _write(from_files(annotations), out, combine, without)


_Form: TypeAlias = (
    Annotated[None, subcommand("coco", constructor=coco)]
    | Annotated[None, subcommand("flickr30k", constructor=flickr30k)]
    | Annotated[None, subcommand("refcoco", constructor=refcoco)]
    | Annotated[None, subcommand("visual-genome", constructor=visual_genome)]
    | Annotated[None, subcommand("gqa", constructor=gqa)]
    | Annotated[None, subcommand("phrasecut", constructor=phrasecut)]
    | Annotated[None, subcommand("lvis", constructor=lvis)]
    | Annotated[None, subcommand("odvg", constructor=odvg)]
    | Annotated[None, subcommand("yolo", constructor=yolo)]
    | Annotated[None, subcommand("voc", constructor=voc)]
    | Annotated[None, subcommand("join", constructor=join)]
)


@configure(OmitArgPrefixes, OmitSubcommandPrefixes)
def convert(form: _Form) -> None:
    """Write other datasets' annotations as an annotation file for grounding."""


def _other_than(out: Path, *sources: Path | None) -> None:
    """Refuse to write over a file that is read, which would be lost."""
    if any(source is not None and source.resolve() == out.resolve() for source in sources):
        raise ValueError(f"need another --out than a file that is read, got {out} for both")


def _write(
    pairs: "Iterable[CaptionedImage]", out: Path, combine: bool, without: tuple[Path, ...]
) -> None:
    """Write the pairs and say what was written."""
    from eyespot.data.converters.pairs import read_names, write_pairs

    _other_than(out, *without)
    names = [name for path in without for name in read_names(path)]
    written = write_pairs(pairs, out, combine=combine, without=names)
    print(
        f"wrote {out}: {written.num_pairs:,} captions of {written.num_images:,} images, "
        f"{written.num_boxes:,} boxes"
    )
    if without:
        print(f"left out {written.num_left_out:,} captions")
    if written.problems:
        first = written.problems[0].sentence
        print(
            f"{len(written.problems):,} records have a flaw, such as: {first}; "
            f"`{shlex.join(['eyespot', 'data', 'check', str(out)])}` explains them all"
        )
