"""Every named network of the four papers, as specs.

Names are accepted as the papers and pycls print them ("RegNetY-4.0GF", "ViT_C-4GF",
"scaled:RegNetY-4GF:d1_w8_g8_r1:4x") and in lower case with underscores ("regnety_4.0gf").
RegNetY-4.0GF, 16GF and 32GF are pycls' model zoo; RegNetY-4GF and RegNetY-dWr-*GF are the
networks of Fast and Accurate Model Scaling and Early Convolutions.
"""

import fnmatch
import functools
import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from eyespot.design.regnet import regnet
from eyespot.design.scaling import matched_stem, scale
from eyespot.design.specs import AnyNetBlock, AnyNetSpec, EffNetSpec, Spec, ViTSpec, ViTStem
from eyespot.errors import unknown_name

# (depth, w_0, w_a, w_m, group width): Designing Network Design Spaces, tables of the appendix.
_REGNETX = {
    "200MF": (13, 24, 36.44, 2.49, 8),
    "400MF": (22, 24, 24.48, 2.54, 16),
    "600MF": (16, 48, 36.97, 2.24, 24),
    "800MF": (16, 56, 35.73, 2.28, 16),
    "1.6GF": (18, 80, 34.01, 2.25, 24),
    "3.2GF": (25, 88, 26.31, 2.25, 48),
    "4.0GF": (23, 96, 38.65, 2.43, 40),
    "6.4GF": (17, 184, 60.83, 2.07, 56),
    "8.0GF": (23, 80, 49.56, 2.88, 120),
    "12GF": (19, 168, 73.36, 2.37, 112),
    "16GF": (22, 216, 55.59, 2.1, 128),
    "32GF": (23, 320, 69.86, 2.0, 168),
}
_REGNETY = {
    "200MF": (13, 24, 36.44, 2.49, 8),
    "400MF": (16, 48, 27.89, 2.09, 8),
    "600MF": (15, 48, 32.54, 2.32, 16),
    "800MF": (14, 56, 38.84, 2.4, 16),
    "1.6GF": (27, 48, 20.71, 2.65, 24),
    "3.2GF": (21, 80, 42.63, 2.66, 24),
    "4.0GF": (22, 96, 31.41, 2.24, 64),
    "6.4GF": (25, 112, 33.22, 2.27, 72),
    "8.0GF": (17, 192, 76.82, 2.19, 56),
    "12GF": (19, 168, 73.36, 2.37, 112),
    "16GF": (18, 200, 106.23, 2.48, 112),
    "32GF": (20, 232, 115.89, 2.53, 232),
}
# SEER (arXiv 2103.01988) and VISSL; "256GF-seer" is ClassyVision's net of that name, not SEER's.
_SEER = {
    "RegNetY-64GF-seer": (20, 352, 147.48, 2.4, 328),
    "RegNetY-128GF-seer": (27, 456, 160.83, 2.52, 264),
    "RegNetY-256GF-seer": (27, 640, 124.47, 2.04, 848),
    "RegNetY-256GF-seer-vissl": (27, 640, 230.83, 2.53, 373),
    "RegNetY-10B-seer": (27, 1744, 620.83, 2.52, 1010),
}
# depths, widths, group width, train px, test px: Fast and Accurate Model Scaling, scaled nets.
_REGNETY_OF_PAPERS = {
    "RegNetY-500MF": ((1, 4, 9, 3), (32, 88, 248, 688), 4, 224, 256),
    "RegNetY-dWr-1.0GF": ((1, 4, 10, 3), (40, 120, 328, 904), 4, 232, 262),
    "RegNetY-dWr-16GF": ((2, 7, 18, 2), (168, 336, 896, 2128), 56, 256, 292),
    "RegNetY-dWr-32GF": ((2, 7, 20, 2), (216, 432, 1152, 2808), 72, 268, 304),
}
_RESNET_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3), 200: (3, 24, 36, 3)}
# stem, depths, widths, head, train px, test px: EfficientNet (arXiv 1905.11946) in pycls' form.
_EFFICIENTNET = {
    "B0": (32, (1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320), 1280, 224, 256),
    "B1": (32, (2, 3, 3, 4, 4, 5, 2), (16, 24, 40, 80, 112, 192, 320), 1280, 240, 274),
    "B2": (32, (2, 3, 3, 4, 4, 5, 2), (16, 24, 48, 88, 120, 208, 352), 1408, 260, 298),
    "B3": (40, (2, 3, 3, 5, 5, 6, 2), (24, 32, 48, 96, 136, 232, 384), 1536, 300, 342),
    "B4": (48, (2, 4, 4, 6, 6, 8, 2), (24, 32, 56, 112, 160, 272, 448), 1792, 380, 434),
    "B5": (48, (3, 5, 5, 7, 7, 9, 3), (24, 40, 64, 128, 176, 304, 512), 2048, 456, 522),
}
# hidden, MLP, heads, blocks of the patchify nets: Early Convolutions (arXiv 2106.14881), table 1.
_VIT = {
    "1.0GF": (192, 576, 3, 12),
    "4.0GF": (384, 1152, 6, 12),
    "18GF": (768, 3072, 12, 12),
    "36GF": (1024, 4096, 16, 14),
    "72GF": (1152, 4608, 18, 22),
}

IMAGENET_21K_CLASSES = 20557
"""Classes of the ImageNet-21k configurations of Early Convolutions."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A named network.

    Attributes:
        name: As its source prints it.
        source: The paper or model zoo that defines it.
        make: Makes its spec.
    """

    name: str
    source: str
    make: Callable[[], Spec]


def _regnetx(size: str) -> AnyNetSpec:
    depth, w_0, w_a, w_m, group = _REGNETX[size]
    return regnet(w_0, w_a, w_m, depth, group)


def _regnety(parameters: tuple[int, int, float, float, int]) -> AnyNetSpec:
    depth, w_0, w_a, w_m, group = parameters
    return regnet(w_0, w_a, w_m, depth, group, se_ratio=0.25)


def _regnety_of(
    depths: tuple[int, ...], widths: tuple[int, ...], group: int, train: int, test: int
) -> AnyNetSpec:
    return AnyNetSpec(
        depths, widths, (2,) * 4, (1.0,) * 4, (group,) * 4, se_ratio=0.25,
        image_size=train, test_size=test,
    )  # fmt: skip


def _regnety_4gf() -> AnyNetSpec:
    return regnet(88, 30.3, 2.404, 26, 32, se_ratio=0.25, image_size=240, test_size=272)


def _regnetz(size: str, head_width: int = 1000) -> AnyNetSpec:
    depth, w_0, w_a, w_m, group, train, test = {
        "500MF": (21, 16, 10.7, 2.51, 4, 224, 256),
        "4GF": (28, 48, 14.5, 2.226, 8, 256, 292),
    }[size]
    return regnet(
        w_0, w_a, w_m, depth, group, bot_mul=4.0, se_ratio=0.25,
        block="res_bottleneck_linear_block", activation="silu", head_width=head_width,
        image_size=train, test_size=test,
    )  # fmt: skip


def _resnet(
    layers: int, *, next_: bool = False, stride_1x1: bool = False, wider: int = 1
) -> AnyNetSpec:
    groups = (4, 8, 16, 32) if next_ else tuple(wider * width for width in (64, 128, 256, 512))
    return AnyNetSpec(
        _RESNET_DEPTHS[layers], tuple(wider * width for width in (256, 512, 1024, 2048)),
        (1, 2, 2, 2), (0.5 if next_ else 0.25,) * 4, groups, stem="res_stem_in",
        stem_width=wider * 64, stride_1x1=stride_1x1,
    )  # fmt: skip


def _basic_resnet(*depths: int) -> AnyNetSpec:
    return AnyNetSpec(
        depths, (64, 128, 256, 512), (1, 2, 2, 2), (1.0,) * 4, (1,) * 4, block="res_basic_block",
        stem="res_stem_in", stem_width=64,
    )  # fmt: skip


def _cifar_resnet(layers: int, block: AnyNetBlock = "res_basic_block") -> AnyNetSpec:
    return AnyNetSpec(
        ((layers - 2) // 6,) * 3, (16, 32, 64), (1, 2, 2), (1.0,) * 3, (1,) * 3, block=block,
        stem="res_stem_cifar", stem_width=16, num_classes=10, image_size=32, test_size=32,
    )  # fmt: skip


def _cifar_regnety() -> AnyNetSpec:
    return regnet(
        96, 19.5, 2.942, 12, 8, se_ratio=0.25, stem="res_stem_cifar", stem_width=16,
        num_classes=10, image_size=32, test_size=32,
    )  # fmt: skip


def _mnist_regnety() -> AnyNetSpec:
    """Four strides for 28 px, and fast on a CPU: for examples."""
    return AnyNetSpec(
        (1, 2, 2), (32, 64, 192), (2,) * 3, (1.0,) * 3, (16,) * 3, stem_width=24, se_ratio=0.25,
        num_classes=10, image_size=28, test_size=28,
    )  # fmt: skip


def _efficientnet(size: str) -> EffNetSpec:
    stem, depths, widths, head, train, test = _EFFICIENTNET[size]
    return EffNetSpec(
        depths, widths, (1, 2, 2, 2, 1, 2, 1), (1.0,) + (6.0,) * 6, (3, 3, 5, 3, 5, 5, 3),
        stem_width=stem, head_width=head, image_size=train, test_size=test,
    )  # fmt: skip


def _efficientnet_lite0() -> EffNetSpec:
    """B0 with ReLU6 and without squeeze-and-excitation, for phones."""
    return replace(_efficientnet("B0"), se_ratio=0.0, activation="relu6")


def _vit_p(size: str) -> ViTSpec:
    return ViTSpec(*_VIT[size])


def _vit_c(size: str) -> ViTSpec:
    return matched_stem(_vit_p(size))


def _vit_c_72gf_in21k() -> ViTSpec:
    """The configuration of pycls' unmerged branch; the paper's text says otherwise."""
    stem = ViTStem(
        (64, 128, 128, 256, 256, 256, 512, 512), (3,) * 8, (2, 2, 1, 2, 1, 1, 2, 1), 1, 1
    )
    return replace(_vit_p("72GF"), depth=21, stem=stem, num_classes=IMAGENET_21K_CLASSES)


def _zoo_entries() -> list[Entry]:
    dds = "pycls model zoo"
    entries = [Entry(f"RegNetX-{s}", dds, functools.partial(_regnetx, s)) for s in _REGNETX]
    entries += [
        Entry(f"RegNetY-{s}", dds, functools.partial(_regnety, p)) for s, p in _REGNETY.items()
    ]
    resnets = "Deep Residual Learning (arXiv 1512.03385)"
    entries += [
        Entry("ResNet-18", resnets, functools.partial(_basic_resnet, 2, 2, 2, 2)),
        Entry("ResNet-34", resnets, functools.partial(_basic_resnet, 3, 4, 6, 3)),
    ]
    for layers in (50, 101, 152):
        entries.append(Entry(f"ResNet-{layers}", dds, functools.partial(_resnet, layers)))
        entries.append(
            Entry(f"ResNeXt-{layers}", dds, functools.partial(_resnet, layers, next_=True))
        )
    entries += [
        Entry(f"EfficientNet-{s}", dds, functools.partial(_efficientnet, s)) for s in _EFFICIENTNET
    ]
    entries.append(Entry("EfficientNet-Lite0", "EfficientNet-lite (TPU)", _efficientnet_lite0))
    for layers in (50, 101, 152):
        entries.append(
            Entry(
                f"ResNet-{layers}-MSRA-stride1x1",
                "pycls",
                functools.partial(_resnet, layers, stride_1x1=True),
            )
        )
    for layers in (20, 32, 44, 56, 110):
        entries.append(
            Entry(f"CIFAR-ResNet-{layers}", "pycls", functools.partial(_cifar_resnet, layers))
        )
        entries.append(
            Entry(
                f"CIFAR-Vanilla-{layers}",
                "pycls",
                functools.partial(_cifar_resnet, layers, "vanilla_block"),
            )
        )
    entries.append(Entry("CIFAR-RegNetY-125MF", "pycls", _cifar_regnety))
    entries.append(Entry("MNIST-RegNetY-2MF", "eyespot", _mnist_regnety))
    return entries


def _small_vit_p() -> ViTSpec:
    """A patchify ViT with 16 patches of 8 px."""
    stem = ViTStem(proj_kernel=8, proj_stride=8)
    return ViTSpec(96, 288, 3, 6, stem=stem, num_classes=10, image_size=32, test_size=32)


def _small_regnety() -> AnyNetSpec:
    return AnyNetSpec(
        depths=(1, 2, 3),
        widths=(32, 80, 160),
        strides=(1, 2, 2),
        bot_muls=(1.0, 1.0, 1.0),
        group_widths=(16, 16, 16),
        se_ratio=0.25,
        num_classes=10,
        image_size=32,
        test_size=32,
    )


def _small_entries() -> list[Entry]:
    """Three networks of nearly equal flops for 32 px images, to be trained in minutes on a CPU."""
    source = "Eyespot, for 32 px"
    return [
        Entry("RegNetY-10MF", source, _small_regnety),
        Entry("ViT-P-10MF", source, _small_vit_p),
        Entry("ViT-C-10MF", source, lambda: matched_stem(_small_vit_p())),
    ]


def _paper_entries() -> list[Entry]:
    fams, early = "Fast and Accurate Model Scaling", "Early Convolutions"
    entries = [
        Entry(name, fams, functools.partial(_regnety_of, *numbers))
        for name, numbers in _REGNETY_OF_PAPERS.items()
    ]
    z = _regnetz
    entries += [
        Entry("RegNetY-dWr-4.0GF", fams, _regnety_4gf),
        Entry("RegNetZ-500MF", fams, lambda: z("500MF")),
        Entry("RegNetZ-1GF", fams, lambda: scale(z("500MF"), "dWr", 1.86)),
        Entry("RegNetZ-4GF", fams, lambda: z("4GF")),
        Entry("RegNetZ-16GF", fams, lambda: scale(z("4GF"), "dWr", 3.885)),
        Entry("RegNetZ-32GF", fams, lambda: scale(z("4GF"), "dWr", 8.5)),
        Entry("RegNetZ-500MF-nohead", "ClassyVision", lambda: z("500MF", 0)),
        Entry("RegNetZ-4GF-nohead", "ClassyVision", lambda: z("4GF", 0)),
        Entry("ResNet-200", early, lambda: _resnet(200)),
    ]
    entries += [
        Entry(f"ResNet-50w{wider}", "SwAV", functools.partial(_resnet, 50, wider=wider))
        for wider in (2, 4, 5)
    ]
    for size in _VIT:
        entries.append(Entry(f"ViT-P-{size}", early, functools.partial(_vit_p, size)))
        entries.append(Entry(f"ViT-C-{size}", early, functools.partial(_vit_c, size)))
    entries += [
        Entry("ViT-C-72GF-IN21k", "pycls, branch vitconfigs", _vit_c_72gf_in21k),
        Entry("ViT-P-16GF-48blocks", early, lambda: replace(_vit_p("4.0GF"), depth=48)),
        Entry("ViT-C-16GF-47blocks", early, lambda: replace(_vit_c("4.0GF"), depth=47)),
        Entry("ViT-H16", "ViT", lambda: ViTSpec(1280, 5120, 16, 32)),
    ]
    for name, parameters in _SEER.items():
        source = "ClassyVision" if name == "RegNetY-256GF-seer" else "SEER"
        entries.append(Entry(name, source, functools.partial(_regnety, parameters)))
    return entries


_ALIASES = {
    "regnety_4gf": "RegNetY-dWr-4.0GF",
    "regnety_1gf": "RegNetY-dWr-1.0GF",
    "regnety_4.0gf_zoo": "RegNetY-4.0GF",
    "regnety_16gf_zoo": "RegNetY-16GF",
    "regnety_32gf_zoo": "RegNetY-32GF",
    "regnety_dwr_500mf": "RegNetY-500MF",
    "vit_c_72gf_paper": "ViT-C-72GF",
    "vit_p_16gf": "ViT-P-16GF-48blocks",
    "vit_c_16gf": "ViT-C-16GF-47blocks",
    "rg_8gf": "RegNetY-8.0GF",
    "rg_16gf": "RegNetY-16GF",
    "rg_32gf": "RegNetY-32GF",
    "rg_64gf": "RegNetY-64GF-seer",
    "rg_128gf": "RegNetY-128GF-seer",
    "rg_256gf": "RegNetY-256GF-seer-vissl",
    "rg_10b": "RegNetY-10B-seer",
    "regnety_8gf_seer": "RegNetY-8.0GF",
    "regnety_16gf_seer": "RegNetY-16GF",
    "regnety_32gf_seer": "RegNetY-32GF",
}
_SUFFIX = re.compile(r"_(in21k|pooled|\d+px)$")


def _key(name: str) -> str:
    """Lower case, underscores, and the short names of EfficientNets."""
    key = name.strip().lower().replace("-", "_").replace(" ", "_")
    return re.sub(r"^(effnet|en)_", "efficientnet_", key)


def _whole(key: str) -> str | None:
    """The spelling with a whole number of GF: "1.0gf" as "1gf"; None if there is none."""
    short = key.replace(".0gf", "gf")
    return short if short != key else None


@functools.cache
def _index() -> dict[str, Entry]:
    entries = {
        _key(entry.name): entry for entry in _zoo_entries() + _paper_entries() + _small_entries()
    }
    for key, entry in list(entries.items()):
        short = _whole(key)
        if short and short not in entries and short not in _ALIASES:
            entries[short] = entry
    entries.update({alias: entries[_key(name)] for alias, name in _ALIASES.items()})
    return entries


def entries(pattern: str = "*") -> list[Entry]:
    """Return the named networks whose printed or lower-case name matches a wildcard pattern."""
    wanted = pattern.lower() if any(c in pattern for c in "*?[") else f"*{pattern.lower()}*"
    listed = {id(entry): entry for entry in _index().values()}.values()
    return [
        entry
        for entry in listed
        if fnmatch.fnmatchcase(entry.name.lower(), wanted)
        or fnmatch.fnmatchcase(own_name(entry.name), wanted)
    ]


def own_name(name: str) -> str:
    """Return a printed name in our own spelling: lower case with underscores."""
    return _key(name)


def list_models(pattern: str = "*") -> list[str]:
    """Return the printed names of all networks that match a wildcard pattern."""
    return [entry.name for entry in entries(pattern)]


@functools.lru_cache(maxsize=512)
def spec(name: str) -> Spec:
    """Return the network of a name.

    Args:
        name: A printed or lower-case name; "-IN21k", "-pooled" and "-384px" after any ViT's name;
            "scaled:BASE:STRATEGY:FACTORx" for a scaled one.

    Raises:
        ValueError: If nothing has that name; the nearest names are listed.
    """
    if name.startswith("scaled:"):
        return _scaled(name)
    key = _key(name)
    entry = _index().get(key)
    if entry:
        return entry.make()
    suffix = _SUFFIX.search(key)
    if suffix and key.startswith("vit"):
        return _variant(spec(key[: suffix.start()]), suffix[1])
    raise ValueError(
        unknown_name("model", name, (e.name for e in _index().values()))
        + " `eyespot models` lists all."
    )


def _variant(base: Spec, suffix: str) -> Spec:
    if suffix == "in21k":
        return replace(base, num_classes=IMAGENET_21K_CLASSES)
    if suffix == "pooled":
        if not isinstance(base, ViTSpec):
            raise ValueError("need a ViT for the pooled variant")
        return replace(base, pooling="mean")
    size = int(suffix.removesuffix("px"))
    return replace(base, image_size=size, test_size=size)


def _scaled(name: str) -> Spec:
    parts = name.split(":")
    factor = parts[-1].removesuffix("x")
    try:
        if len(parts) != 4:
            raise ValueError
        number = float(factor)
    except ValueError:
        raise ValueError(
            'need "scaled:BASE:STRATEGY:FACTORx", such as '
            f'"scaled:RegNetY-4GF:d1_w8_g8_r1:4x", got {name!r}'
        ) from None
    return scale(spec(parts[1]), parts[2], number)
