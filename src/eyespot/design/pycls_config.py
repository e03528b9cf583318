"""pycls' configs as specs: the YAML files of its model zoo, of its scaler and of its sweeps.

A key that is missing has pycls' default; keys of sections that say nothing about the network
(OPTIM, DATA_LOADER, ...) are ignored, and so are keys nobody knows in sections that do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast, get_args

import yaml

from eyespot.design.regnet import regnet
from eyespot.design.scaling import scale
from eyespot.design.specs import (
    Activation,
    AnyNetBlock,
    AnyNetSpec,
    AnyNetStem,
    EffNetSpec,
    Spec,
    ViTSpec,
    ViTStem,
)
from eyespot.errors import unknown_name

_DEFAULTS: dict[str, dict[str, Any]] = {
    "MODEL": {
        "TYPE": "",
        "DEPTH": 0,
        "NUM_CLASSES": 10,
        "ACTIVATION_FUN": "relu",
        "SCALING_TYPE": "",
        "SCALING_FACTOR": 1.0,
    },
    "ANYNET": {
        "STEM_TYPE": "simple_stem_in",
        "STEM_W": 32,
        "BLOCK_TYPE": "res_bottleneck_block",
        "DEPTHS": (),
        "WIDTHS": (),
        "STRIDES": (),
        "BOT_MULS": (),
        "GROUP_WS": (),
        "HEAD_W": 0,
        "SE_ON": False,
        "SE_R": 0.25,
    },
    "REGNET": {
        "STEM_TYPE": "simple_stem_in",
        "STEM_W": 32,
        "BLOCK_TYPE": "res_bottleneck_block",
        "STRIDE": 2,
        "SE_ON": False,
        "SE_R": 0.25,
        "DEPTH": 10,
        "W0": 32,
        "WA": 5.0,
        "WM": 2.5,
        "GROUP_W": 16,
        "BOT_MUL": 1.0,
        "HEAD_W": 0,
    },
    "RESNET": {
        "TRANS_FUN": "basic_transform",
        "NUM_GROUPS": 1,
        "WIDTH_PER_GROUP": 64,
        "STRIDE_1X1": True,
    },
    "EN": {
        "STEM_W": 32,
        "DEPTHS": (),
        "WIDTHS": (),
        "EXP_RATIOS": (),
        "SE_R": 0.25,
        "STRIDES": (),
        "KERNELS": (),
        "HEAD_W": 1280,
        "DC_RATIO": 0.0,
        "DROPOUT_RATIO": 0.0,
    },
    "VIT": {
        "PATCH_SIZE": 16,
        "STEM_TYPE": "patchify",
        "C_STEM_KERNELS": (),
        "C_STEM_STRIDES": (),
        "C_STEM_DIMS": (),
        "NUM_LAYERS": 12,
        "NUM_HEADS": 12,
        "HIDDEN_DIM": 768,
        "MLP_DIM": 3072,
        "CLASSIFIER_TYPE": "token",
    },
    "BN": {"EPS": 1e-5, "ZERO_INIT_FINAL_GAMMA": False},
    "LN": {"EPS": 1e-5},
    "TRAIN": {"IM_SIZE": 224, "DATASET": ""},
    "TEST": {"IM_SIZE": 256},
}
_RESNET_DEPTHS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
_ACTIVATIONS = {"relu": "relu", "silu": "silu", "swish": "silu", "gelu": "gelu"}

Section = Mapping[str, Any]


def from_pycls_config(
    config: str | Path | Mapping[str, Any],
    *,
    num_classes: int | None = None,
    image_size: int | None = None,
) -> Spec:
    """Return the network a pycls config describes.

    A config with a scaling type is scaled, as pycls' scaler would; take the type out of a config
    that its scaler already wrote, for it stays in there.

    Args:
        config: A YAML file or what it holds: sections (MODEL, ANYNET, ...) of keys. Also a mapping
            with the sections under "config" and, at choice, `num_classes` and `image_size`.
        num_classes: Outputs of the classifier, instead of the config's.
        image_size: Side of a training image, px, instead of the config's.

    Raises:
        ValueError: If the model type is none of pycls', a key the type needs is missing or of
            another kind, or the numbers make no network.
        OSError: If the file cannot be read.
    """
    given = _read(Path(config)) if isinstance(config, str | Path) else config
    if not isinstance(given, Mapping):
        raise ValueError(f"need a pycls config as a mapping of sections, got {given!r:.60}")
    if isinstance(given.get("config"), Mapping):
        num_classes = given.get("num_classes") if num_classes is None else num_classes
        image_size = given.get("image_size") if image_size is None else image_size
        given = given["config"]
    sections = {name: _section(given, name) for name in _DEFAULTS}
    model = sections["MODEL"]
    makers = {
        "anynet": _anynet,
        "regnet": _regnet,
        "resnet": _resnet,
        "effnet": _effnet,
        "vit": _vit,
    }
    if not model["TYPE"]:
        raise ValueError(f"need MODEL.TYPE in a pycls config ({', '.join(makers)}), got none")
    if model["TYPE"] not in makers:
        raise ValueError(unknown_name("MODEL.TYPE of a pycls config", model["TYPE"], makers))
    if sections["BN"]["EPS"] != _DEFAULTS["BN"]["EPS"]:
        raise ValueError(f"need BN.EPS 1e-05, which our networks have, got {sections['BN']['EPS']}")
    spec = makers[model["TYPE"]](sections)
    if model["SCALING_TYPE"]:
        spec = scale(spec, model["SCALING_TYPE"], model["SCALING_FACTOR"])
    changes: dict[str, Any] = {"num_classes": num_classes, "image_size": image_size}
    return replace(spec, **{name: value for name, value in changes.items() if value is not None})


def _read(path: Path) -> Any:
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"need a pycls config of YAML, got {path}: {reason}") from None


def _section(config: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return a section with pycls' defaults, each value of its default's kind."""
    given = config.get(name) or {}
    if not isinstance(given, Mapping):
        raise ValueError(f"need {name} of a pycls config as a mapping of keys, got {given!r:.60}")
    section = {}
    for key, default in _DEFAULTS[name].items():
        section[key] = _value(f"{name}.{key}", given.get(key, default), default)
    return section


def _value(key: str, value: Any, default: Any) -> Any:
    """Return a config's value as its default's kind.

    YAML reads 1e-6 as text and lets 3 stand for 3.0; pycls reads both as numbers, and so do we.
    """
    if isinstance(default, tuple):
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise ValueError(f"need a list for {key} in a pycls config, got {value!r:.60}")
        return tuple(_value(key, item, 0.0) for item in value)
    kind = type(default)
    if kind in (int, float) and isinstance(value, str):
        value = _number(value)
    if kind is float and type(value) is int:
        value = float(value)
    if kind is int and type(value) is float and value.is_integer():
        value = int(value)
    if type(value) is not kind:
        raise ValueError(f"need {key} of a pycls config as {kind.__name__}, got {value!r:.60}")
    return value


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _ints(section: Section, name: str, key: str) -> tuple[int, ...]:
    """Return a list of whole numbers that the model type needs."""
    values = section[key]
    if not values:
        raise ValueError(f"need {name}.{key} in a pycls config of this model type, got none")
    if any(value != int(value) for value in values):
        raise ValueError(f"need whole numbers for {name}.{key}, got {list(values)}")
    return tuple(int(value) for value in values)


def _choice(value: str, known: Sequence[str], key: str) -> str:
    if value not in known:
        raise ValueError(unknown_name(f"{key} of a pycls config", value, known))
    return value


def _activation(sections: Mapping[str, Section]) -> Activation:
    name = sections["MODEL"]["ACTIVATION_FUN"]
    return cast(Activation, _ACTIVATIONS[_choice(name, list(_ACTIVATIONS), "MODEL.ACTIVATION_FUN")])


def _stem_and_block(section: Section, name: str) -> tuple[AnyNetStem, AnyNetBlock]:
    stem = _choice(section["STEM_TYPE"], get_args(AnyNetStem), f"{name}.STEM_TYPE")
    block = _choice(section["BLOCK_TYPE"], get_args(AnyNetBlock), f"{name}.BLOCK_TYPE")
    return cast(AnyNetStem, stem), cast(AnyNetBlock, block)


def _common(sections: Mapping[str, Section]) -> dict[str, Any]:
    """Return what every kind of spec takes from the config."""
    return {
        "num_classes": sections["MODEL"]["NUM_CLASSES"],
        "image_size": sections["TRAIN"]["IM_SIZE"],
        "test_size": sections["TEST"]["IM_SIZE"],
    }


def _anynet(sections: Mapping[str, Section]) -> Spec:
    net = sections["ANYNET"]
    stem, block = _stem_and_block(net, "ANYNET")
    depths = _ints(net, "ANYNET", "DEPTHS")
    ones = (1.0,) * len(depths)
    return AnyNetSpec(
        depths=depths,
        widths=_ints(net, "ANYNET", "WIDTHS"),
        strides=_ints(net, "ANYNET", "STRIDES"),
        bot_muls=tuple(float(value) for value in net["BOT_MULS"] or ones),
        group_widths=tuple(int(value) for value in net["GROUP_WS"] or ones),
        block=block,
        stem=stem,
        stem_width=net["STEM_W"],
        se_ratio=net["SE_R"] if net["SE_ON"] else 0.0,
        activation=_activation(sections),
        head_width=net["HEAD_W"],
        zero_init_residual=sections["BN"]["ZERO_INIT_FINAL_GAMMA"],
        **_common(sections),
    )


def _regnet(sections: Mapping[str, Section]) -> Spec:
    net = sections["REGNET"]
    stem, block = _stem_and_block(net, "REGNET")
    spec = regnet(
        net["W0"],
        net["WA"],
        net["WM"],
        net["DEPTH"],
        net["GROUP_W"],
        bot_mul=float(net["BOT_MUL"]),
        stride=net["STRIDE"],
        se_ratio=net["SE_R"] if net["SE_ON"] else 0.0,
        block=block,
        stem=stem,
        stem_width=net["STEM_W"],
        activation=_activation(sections),
        head_width=net["HEAD_W"],
        **_common(sections),
    )
    return replace(spec, zero_init_residual=sections["BN"]["ZERO_INIT_FINAL_GAMMA"])


def _resnet(sections: Mapping[str, Section]) -> Spec:
    """The older class of pycls: ImageNet ResNets and ResNeXts, and CIFAR's ResNets by data set."""
    net, depth = sections["RESNET"], sections["MODEL"]["DEPTH"]
    kinds = ("basic_transform", "bottleneck_transform")
    basic = _choice(net["TRANS_FUN"], kinds, "RESNET.TRANS_FUN") == kinds[0]
    block: AnyNetBlock = "res_basic_block" if basic else "res_bottleneck_block"
    shared: dict[str, Any] = {
        "block": block,
        "activation": _activation(sections),
        "zero_init_residual": sections["BN"]["ZERO_INIT_FINAL_GAMMA"],
        **_common(sections),
    }
    if "cifar" in sections["TRAIN"]["DATASET"].lower():
        if depth < 8 or depth % 6 != 2 or not basic:
            raise ValueError(
                "need MODEL.DEPTH 6 n + 2 and RESNET.TRANS_FUN basic_transform for CIFAR's "
                f"ResNets, got {depth} and {net['TRANS_FUN']}"
            )
        return AnyNetSpec(
            ((depth - 2) // 6,) * 3, (16, 32, 64), (1, 2, 2), (1.0,) * 3, (1,) * 3,
            stem="res_stem_cifar", stem_width=16, **shared,
        )  # fmt: skip
    if depth not in _RESNET_DEPTHS:
        raise ValueError(f"need MODEL.DEPTH 50, 101 or 152 for a ResNet of ImageNet, got {depth}")
    inner = net["NUM_GROUPS"] * net["WIDTH_PER_GROUP"]
    widths = (256, 512, 1024, 2048)
    return AnyNetSpec(
        _RESNET_DEPTHS[depth], widths, (1, 2, 2, 2), (inner / 256,) * 4,
        tuple(net["WIDTH_PER_GROUP"] * w // 256 for w in widths), stem="res_stem_in",
        stem_width=64, stride_1x1=net["STRIDE_1X1"], **shared,
    )  # fmt: skip


def _effnet(sections: Mapping[str, Section]) -> Spec:
    net = sections["EN"]
    exp_ratios = net["EXP_RATIOS"]
    if not exp_ratios:
        raise ValueError("need EN.EXP_RATIOS in a pycls config of this model type, got none")
    return EffNetSpec(
        depths=_ints(net, "EN", "DEPTHS"),
        widths=_ints(net, "EN", "WIDTHS"),
        strides=_ints(net, "EN", "STRIDES"),
        exp_ratios=tuple(float(value) for value in exp_ratios),
        kernels=_ints(net, "EN", "KERNELS"),
        stem_width=net["STEM_W"],
        head_width=net["HEAD_W"],
        se_ratio=net["SE_R"],
        activation=_activation(sections),
        drop_connect=net["DC_RATIO"],
        dropout=net["DROPOUT_RATIO"],
        **_common(sections),
    )


def _vit(sections: Mapping[str, Section]) -> Spec:
    """The stem's lists end with the projection; activations are ReLU and GELU whatever is asked."""
    net = sections["VIT"]
    pooling = _choice(net["CLASSIFIER_TYPE"], ("token", "pooled"), "VIT.CLASSIFIER_TYPE")
    patch = net["PATCH_SIZE"]
    if _choice(net["STEM_TYPE"], ("patchify", "conv"), "VIT.STEM_TYPE") == "patchify":
        stem = ViTStem(proj_kernel=patch, proj_stride=patch)
    else:
        stem = _conv_stem(net)
    return ViTSpec(
        hidden_dim=net["HIDDEN_DIM"],
        mlp_dim=net["MLP_DIM"],
        num_heads=net["NUM_HEADS"],
        depth=net["NUM_LAYERS"],
        stem=stem,
        pooling="token" if pooling == "token" else "mean",
        ln_eps=sections["LN"]["EPS"],
        **_common(sections),
    )


def _conv_stem(net: Section) -> ViTStem:
    """Return the stem that pycls builds: whatever the kernels say, all but the last are 3x3."""
    kernels, strides, dims = (
        _ints(net, "VIT", f"C_STEM_{key}") for key in ("KERNELS", "STRIDES", "DIMS")
    )
    if not len(kernels) == len(strides) == len(dims):
        raise ValueError(
            "need as many VIT.C_STEM_KERNELS as C_STEM_STRIDES and C_STEM_DIMS, got "
            f"{len(kernels)}, {len(strides)} and {len(dims)}"
        )
    threes = (3,) * len(dims[:-1])
    stem = ViTStem(dims[:-1], threes, strides[:-1], kernels[-1], strides[-1])
    if dims[-1] != net["HIDDEN_DIM"] or stem.patch_size != net["PATCH_SIZE"]:
        raise ValueError(
            "need a ViT stem that ends in HIDDEN_DIM channels and whose strides multiply to "
            f"PATCH_SIZE, got {dims[-1]} channels for {net['HIDDEN_DIM']} and a stride of "
            f"{stem.patch_size} for {net['PATCH_SIZE']}"
        )
    return stem
