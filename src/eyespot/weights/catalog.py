"""The weights that others published: where they are, what they are for, under which licence.

No project below published checksums; a `sha256` of None says so. Errors and accuracies are in
percent, as their authors print them: of image networks on ImageNet-1k's validation images.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from eyespot.design.files import cache_folder
from eyespot.errors import unknown_name


class Licence(NamedTuple):
    """What one may do with weights.

    Attributes:
        name: By its usual name.
        commercial: Whether commercial use is allowed.
        notice: A sentence for whoever fetches them.
    """

    name: str
    commercial: bool
    notice: str


MIT = Licence("MIT", True, "MIT licence: keep its notice when you pass the weights on.")
SEER = Licence(
    "SEER",
    False,
    "SEER licence: for non-commercial research only, with attribution to its authors.",
)
CC_BY_NC = Licence(
    "CC-BY-NC-4.0",
    False,
    "CC BY-NC 4.0: for non-commercial use only, with attribution to its authors.",
)
MDETR = Licence(
    "Apache-2.0",
    True,
    "Apache 2.0, the licence of its code; the page zenodo.org/records/4721981 says what holds for "
    "its weights.",
)


@dataclass(frozen=True, slots=True)
class Published:
    """One published file.

    Attributes:
        name: Who published it, a slash, and what it is.
        model: The network of `list_models` it is for; None if none of them.
        url: Where it is.
        licence: What one may do with it.
        metrics: Published results, by name and unit.
        sha256: Of the file, hexadecimal; None if it was never published.
        std: Of each channel in 0..1, by which its network's images are divided; None for
            ImageNet's.
        note: What else to know.
    """

    name: str
    model: str | None
    url: str
    licence: Licence
    metrics: Mapping[str, float] = field(default_factory=dict)
    sha256: str | None = None
    std: tuple[float, float, float] | None = None
    note: str = ""

    @property
    def file(self) -> str:
        """The file's own name."""
        return unquote(self.url.rsplit("/", 1)[1])

    @property
    def cached(self) -> Path:
        """Where the user's cache keeps it, there or not."""
        return cache_folder() / "weights" / self.name.replace("/", "--") / self.file


_PYCLS_URL = "https://dl.fbaipublicfiles.com/pycls/dds_baselines/"
# model, top-1 and top-5 error, hours to train on 8 V100, ms to infer 64 images, file
_PYCLS = (
    ("RegNetX-200MF", 31.088, 11.342, 3.0, 11, "160905981/RegNetX-200MF_dds_8gpu.pyth"),
    ("RegNetX-400MF", 27.382, 9.076, 4.2, 15, "160905967/RegNetX-400MF_dds_8gpu.pyth"),
    ("RegNetX-600MF", 25.864, 8.198, 4.5, 18, "160906442/RegNetX-600MF_dds_8gpu.pyth"),
    ("RegNetX-800MF", 24.846, 7.592, 5.9, 23, "160906036/RegNetX-800MF_dds_8gpu.pyth"),
    ("RegNetX-1.6GF", 23.038, 6.484, 8.9, 35, "160990626/RegNetX-1.6GF_dds_8gpu.pyth"),
    ("RegNetX-3.2GF", 21.736, 5.862, 15.1, 59, "160906139/RegNetX-3.2GF_dds_8gpu.pyth"),
    ("RegNetX-4.0GF", 21.356, 5.736, 17.9, 74, "160906383/RegNetX-4.0GF_dds_8gpu.pyth"),
    ("RegNetX-6.4GF", 20.844, 5.434, 24.3, 95, "161116590/RegNetX-6.4GF_dds_8gpu.pyth"),
    ("RegNetX-8.0GF", 20.728, 5.42, 23.7, 97, "161107726/RegNetX-8.0GF_dds_8gpu.pyth"),
    ("RegNetX-12GF", 20.288, 5.284, 34.6, 142, "160906020/RegNetX-12GF_dds_8gpu.pyth"),
    ("RegNetX-16GF", 19.956, 5.022, 41.3, 171, "158460855/RegNetX-16GF_dds_8gpu.pyth"),
    ("RegNetX-32GF", 19.498, 4.878, 81.8, 337, "158188473/RegNetX-32GF_dds_8gpu.pyth"),
    ("RegNetY-200MF", 29.658, 10.378, 3.3, 12, "176245422/RegNetY-200MF_dds_8gpu.pyth"),
    ("RegNetY-400MF", 25.898, 8.07, 5.3, 19, "160906449/RegNetY-400MF_dds_8gpu.pyth"),
    ("RegNetY-600MF", 24.54, 7.28, 5.3, 20, "160981443/RegNetY-600MF_dds_8gpu.pyth"),
    ("RegNetY-800MF", 23.684, 6.846, 6.1, 23, "160906567/RegNetY-800MF_dds_8gpu.pyth"),
    ("RegNetY-1.6GF", 22.066, 6.134, 10.3, 41, "160906681/RegNetY-1.6GF_dds_8gpu.pyth"),
    ("RegNetY-3.2GF", 21.074, 5.454, 17.0, 69, "160906834/RegNetY-3.2GF_dds_8gpu.pyth"),
    ("RegNetY-4.0GF", 20.64, 5.336, 17.5, 69, "160906838/RegNetY-4.0GF_dds_8gpu.pyth"),
    ("RegNetY-6.4GF", 20.11, 5.1, 27.2, 108, "160907112/RegNetY-6.4GF_dds_8gpu.pyth"),
    ("RegNetY-8.0GF", 20.052, 5.06, 29.3, 115, "161160905/RegNetY-8.0GF_dds_8gpu.pyth"),
    ("RegNetY-12GF", 19.67, 4.856, 36.9, 152, "160907100/RegNetY-12GF_dds_8gpu.pyth"),
    ("RegNetY-16GF", 19.608, 4.944, 50.8, 208, "161303400/RegNetY-16GF_dds_8gpu.pyth"),
    ("RegNetY-32GF", 19.066, 4.568, 79.4, 331, "161277763/RegNetY-32GF_dds_8gpu.pyth"),
    ("ResNet-50", 23.19, 6.63, 14.8, 57, "161235311/R-50-1x64d_dds_8gpu.pyth"),
    ("ResNet-101", 21.414, 5.792, 24.0, 97, "161167170/R-101-1x64d_dds_8gpu.pyth"),
    ("ResNet-152", 20.87, 5.44, 33.7, 140, "161167467/R-152-1x64d_dds_8gpu.pyth"),
    ("ResNeXt-50", 21.884, 6.062, 22.1, 85, "161167411/X-50-32x4d_dds_8gpu.pyth"),
    ("ResNeXt-101", 20.664, 5.392, 39.9, 151, "161167590/X-101-32x4d_dds_8gpu.pyth"),
    ("ResNeXt-152", 20.386, 5.318, 57.6, 231, "162471172/X-152-32x4d_dds_8gpu.pyth"),
    ("EfficientNet-B0", 24.92, 7.814, 8.8, 31, "161305613/EN-B0_dds_8gpu.pyth"),
    ("EfficientNet-B1", 24.068, 7.228, 13.2, 47, "161304979/EN-B1_dds_8gpu.pyth"),
    ("EfficientNet-B2", 23.518, 6.968, 16.4, 58, "161305015/EN-B2_dds_8gpu.pyth"),
    ("EfficientNet-B3", 22.47, 6.514, 26.4, 92, "161305060/EN-B3_dds_8gpu.pyth"),
    ("EfficientNet-B4", 21.374, 5.808, 57.1, 201, "161305098/EN-B4_dds_8gpu.pyth"),
    ("EfficientNet-B5", 21.674, 6.238, 122.6, 446, "161305138/EN-B5_dds_8gpu.pyth"),
)
_VISSL_URL = "https://dl.fbaipublicfiles.com/vissl/model_zoo/"
_256GF_NOTE = (
    "timm's author found that this file does not fit the 256GF network; the fine-tuned one does"
)
# name, model, linear top-1, pretrained file
_SEER = (
    ("RG-32", "RegNetY-32GF", 74.03, "seer_regnet32d/seer_regnet32gf_model_iteration244000.torch"),
    (
        "RG-64",
        "RegNetY-64GF-seer",
        75.25,
        "seer_regnet64/seer_regnet64gf_model_final_checkpoint_phase0.torch",
    ),
    (
        "RG-128",
        "RegNetY-128GF-seer",
        75.96,
        "swav_ig1b_regnet128Gf_cnstant_bs32_node16_sinkhorn10_proto16k_syncBN64_warmup8k/"
        "model_final_checkpoint_phase0.torch",
    ),
    (
        "RG-256",
        "RegNetY-256GF-seer-vissl",
        77.51,
        "swav_ig1b_cosine_rg256gf_noBNhead_wd1e5_fairstore_bs16_node64_sinkhorn10_proto16k_apex_"
        "syncBN64_warmup8k/model_final_checkpoint_phase0.torch",
    ),
    ("RG-10B", "RegNetY-10B-seer", 79.8, "seer_regnet10B/model_iteration124500_conso.torch"),
)
# name, top-1 after fine-tuning at 384 px, fine-tuned file
_SEER_FINETUNED = (
    ("RG-32", 83.4, "seer_regnet32_finetuned_in1k_model_final_checkpoint_phase78.torch"),
    ("RG-64", 84.0, "seer_regnet64_finetuned_in1k_model_final_checkpoint_phase78.torch"),
    ("RG-128", 84.5, "seer_regnet128_finetuned_in1k_model_final_checkpoint_phase78.torch"),
    ("RG-256", 85.2, "seer_regnet256_finetuned_in1k_model_final_checkpoint_phase38.torch"),
    ("RG-10B", 85.8, "seer_10b_finetuned_in1k_model_phase28_conso.torch"),
)
_SWAV_URL = "https://dl.fbaipublicfiles.com/deepcluster/"
_SWAV_STD = (0.228, 0.224, 0.225)
# name, model, linear top-1 (0: none published), file
_SWAV = (
    ("swav/ResNet-50-100ep", "ResNet-50", 72.1, "swav_100ep_pretrain.pth.tar"),
    ("swav/ResNet-50-200ep", "ResNet-50", 73.9, "swav_200ep_pretrain.pth.tar"),
    ("swav/ResNet-50-400ep", "ResNet-50", 74.6, "swav_400ep_pretrain.pth.tar"),
    ("swav/ResNet-50-800ep", "ResNet-50", 75.3, "swav_800ep_pretrain.pth.tar"),
    ("swav/ResNet-50-200ep-bs256", "ResNet-50", 72.7, "swav_200ep_bs256_pretrain.pth.tar"),
    ("swav/ResNet-50-400ep-bs256", "ResNet-50", 74.3, "swav_400ep_bs256_pretrain.pth.tar"),
    ("swav/ResNet-50-400ep-2x224", "ResNet-50", 70.1, "swav_400ep_2x224_pretrain.pth.tar"),
    ("swav/ResNet-50-w2-400ep", "ResNet-50w2", 77.3, "swav_RN50w2_400ep_pretrain.pth.tar"),
    ("swav/ResNet-50-w4-400ep", "ResNet-50w4", 77.9, "swav_RN50w4_400ep_pretrain.pth.tar"),
    ("swav/ResNet-50-w5-400ep", "ResNet-50w5", 78.5, "swav_RN50w5_400ep_pretrain.pth.tar"),
    ("deepclusterv2/ResNet-50-800ep", "ResNet-50", 0, "deepclusterv2_800ep_pretrain.pth.tar"),
    ("deepclusterv2/ResNet-50-400ep", "ResNet-50", 0, "deepclusterv2_400ep_pretrain.pth.tar"),
    (
        "deepclusterv2/ResNet-50-400ep-2x224",
        "ResNet-50",
        0,
        "deepclusterv2_400ep_2x224_pretrain.pth.tar",
    ),
    ("selav2/ResNet-50-400ep", "ResNet-50", 0, "selav2_400ep_pretrain.pth.tar"),
    ("selav2/ResNet-50-400ep-2x224", "ResNet-50", 0, "selav2_400ep_2x224_pretrain.pth.tar"),
)
_MDETR_URL = "https://zenodo.org/record/4721981/files/"
_FLICKR = "flickr_val_r1_percent", "flickr_test_r1_percent"
_REFERRING = "val_p1_percent", "test_a_p1_percent", "test_b_p1_percent"
# name, size, published results by their names
_MDETR: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("pretrained_resnet101", "3 GB", dict(zip(_FLICKR, (82.5, 83.4), strict=True))),
    ("pretrained_EB3", "2.4 GB", dict(zip(_FLICKR, (82.9, 84.0), strict=True))),
    ("pretrained_EB5", "2.7 GB", dict(zip(_FLICKR, (83.6, 84.3), strict=True))),
    ("flickr_merged_resnet101", "3 GB", dict(zip(_FLICKR, (82.3, 83.8), strict=True))),
    ("refcoco_resnet101", "3 GB", dict(zip(_REFERRING, (86.75, 89.58, 81.41), strict=True))),
    ("refcoco_EB3", "2.4 GB", dict(zip(_REFERRING, (87.51, 90.40, 82.67), strict=True))),
    ("refcoco+_resnet101", "3 GB", dict(zip(_REFERRING, (79.52, 84.09, 70.62), strict=True))),
    ("refcoco+_EB3", "2.4 GB", dict(zip(_REFERRING, (81.13, 85.52, 72.96), strict=True))),
    ("refcocog_resnet101", "3 GB", {"val_p1_percent": 81.64, "test_p1_percent": 80.89}),
    ("refcocog_EB3", "2.4 GB", {"val_p1_percent": 83.35, "test_p1_percent": 83.31}),
    ("phrasecut_resnet101", "1.5 GB", {"mean_iou_percent": 53.1, "pr_0.5_percent": 56.1}),
    ("phrasecut_EB3", "1.2 GB", {"mean_iou_percent": 53.7, "pr_0.5_percent": 57.5}),
    ("gqa_resnet101", "3 GB", {"test_dev_percent": 62.48, "test_std_percent": 61.99}),
    ("gqa_EB5", "2.7 GB", {"test_dev_percent": 62.95, "test_std_percent": 62.45}),
    ("lvis1", "3 GB", {"minival_fixed_ap_percent": 16.7, "rare_ap_percent": 11.2}),
    ("lvis10", "3 GB", {"minival_fixed_ap_percent": 24.2, "rare_ap_percent": 20.9}),
    ("lvis100", "3 GB", {"minival_fixed_ap_percent": 22.5, "rare_ap_percent": 7.4}),
    ("clevr", "0.4 GB", {"test_percent": 99.7}),
    ("clevr_humans", "0.4 GB", {"test_percent": 81.7}),
    ("clevr_cogent", "0.4 GB", {"test_a_percent": 99.8, "test_b_percent": 76.7}),
)
ROBERTA_TOKENIZER = "roberta/tokenizer"
"""The vocabulary of roberta-base, -large and distilroberta-base, and so of every MDETR."""


def notices(names: str) -> list[str]:
    """Return what to say of licences, named as the files that we convert name them ("A or B")."""
    known = {licence.name: licence.notice for licence in (MIT, SEER, CC_BY_NC)}
    return [known[name] for name in names.split(" or ") if name in known]


def published_std(file: str) -> tuple[float, float, float] | None:
    """Return what images for a file of this name are divided by; None for ImageNet's."""
    return next((entry.std for entry in catalog() if entry.file == file), None)


@functools.cache
def catalog() -> tuple[Published, ...]:
    """Return every published file we know, pycls' zoo first."""
    files = [
        Published(
            f"pycls/{model}",
            model,
            _PYCLS_URL + file,
            MIT,
            {
                "top1_error_percent": top1,
                "top5_error_percent": top5,
                "train_hours_8xv100": hours,
                "infer_ms_64_images_v100": infer_ms,
            },
        )
        for model, top1, top5, hours, infer_ms, file in _PYCLS
    ]
    for name, model, accuracy, file in _SEER:
        note = _256GF_NOTE if name == "RG-256" else ""
        metrics = {"linear_top1_percent": accuracy}
        files.append(Published(f"seer/{name}", model, _VISSL_URL + file, SEER, metrics, note=note))
    models = {name: model for name, model, _, _ in _SEER}
    files += [
        Published(
            f"seer/{name}-in1k",
            models[name],
            f"{_VISSL_URL}seer_finetuned/{file}",
            SEER,
            {"top1_percent_384px": accuracy},
        )
        for name, accuracy, file in _SEER_FINETUNED
    ]
    files += [
        Published(
            name,
            swav_model,
            _SWAV_URL + file,
            CC_BY_NC,
            {"linear_top1_percent": accuracy} if accuracy else {},
            std=_SWAV_STD,
        )
        for name, swav_model, accuracy, file in _SWAV
    ]
    files += [
        Published(
            f"mdetr/{name}",
            None,
            f"{_MDETR_URL}{quote(name)}_checkpoint.pth",
            MDETR,
            results,
            note=f"about {size}, a grounding network: `eyespot ground --weights mdetr/{name}`",
        )
        for name, size, results in _MDETR
    ]
    files.append(
        Published(
            ROBERTA_TOKENIZER,
            None,
            "https://huggingface.co/FacebookAI/roberta-base/resolve/main/tokenizer.json",
            MIT,
            note="the vocabulary of every RoBERTa, which no checkpoint of MDETR holds; no weights",
        )
    )
    files.append(
        Published(
            "swav/ResNet-50-800ep-linear",
            None,
            f"{_SWAV_URL}swav_800ep_eval_linear.pth.tar",
            CC_BY_NC,
            note="the linear classifier on swav/ResNet-50-800ep, without the network",
        )
    )
    return tuple(files)


def find_published(pattern: str = "") -> list[Published]:
    """Return the files whose name holds a text, in any case."""
    return [entry for entry in catalog() if pattern.lower() in entry.name.lower()]


def published(name: str) -> Published:
    """Return a file by its name, or by what comes after the slash if that is one file's alone.

    Raises:
        ValueError: If no file or several have that name.
    """
    wanted = name.lower()
    whole = [entry for entry in catalog() if entry.name.lower() == wanted]
    found = whole or [e for e in catalog() if e.name.lower().split("/", 1)[1] == wanted]
    if len(found) > 1:
        raise ValueError(f"need one of {', '.join(e.name for e in found)}, got {name!r}")
    if not found:
        names = [entry.name for entry in catalog()]
        raise ValueError(
            unknown_name("published file", name, names) + "; `eyespot weights list` lists all"
        )
    return found[0]
