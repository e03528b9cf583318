"""The tables of published names: which tensor of theirs is which of ours.

Our CNNs carry pycls' names and our ViTs timm's, so those two tables are the identity. In a template
`{n}` is a stage counted from 1 and `{i}` a block counted from 0 (`key_maps`).
"""

from collections.abc import Collection, Mapping

from torch import Tensor

from eyespot.errors import WeightsError
from eyespot.weights.key_maps import Layout, Rule, has_layout, modules

_BLOCK = "s{n}.b{i+1}."
_SSL_HEADS = (r"projection_head\..*", r"prototypes\..*")
_VISSL_HEADS = (r"\d+\.(projection_head|prototypes\d+|channel_bn|clf\.clf)\..*", r"[1-9]\d*\..*")
_DETECTOR_PARTS = (r"backbone\.fpn.*", r"(rpn|roi_heads|proposal_generator|pixel_).*")
_VISSL_CLASSIFIER = modules("", "", {"0.clf.0": "head.fc"})
_EFFNET_NOTE = (
    "ours are EfficientNets with symmetric padding and batch norm epsilon 1e-5; weights trained "
    "with others (timm's tf_ ones, torchvision's B5 and up) fit the shapes but give other outputs"
)
_LITE_NOTE = (
    "changed the weights of EfficientNet-Lite to take images of ImageNet's mean and spread and "
    "batch norm epsilon 1e-5; they were made with TensorFlow's padding, which a grounder has with "
    "network.padding tensorflow"
)
_SAME = (Rule("{any}", "{any}"),)

_SEQUENCES = {"a.0": "a", "a.1": "a_bn", "b.0": "b", "b.1": "b_bn"}
_CLASSY_BLOCK = {
    "proj": "proj",
    "bn": "bn",
    **{f"f.{theirs}": f"f.{ours}" for theirs, ours in _SEQUENCES.items()},
    "f.se.excitation.0": "f.se.f_ex.0",
    "f.se.excitation.2": "f.se.f_ex.2",
    "f.c": "f.c",
    "f.final_bn": "f.c_bn",
}
_TORCHVISION_REGNET_BLOCK = {
    "proj.0": "proj",
    "proj.1": "bn",
    **{f"f.{theirs}": f"f.{ours}" for theirs, ours in _SEQUENCES.items()},
    "f.se.fc1": "f.se.f_ex.0",
    "f.se.fc2": "f.se.f_ex.2",
    "f.c.0": "f.c",
    "f.c.1": "f.c_bn",
}
_TIMM_REGNET_BLOCK = {
    "downsample.conv": "proj",
    "downsample.bn": "bn",
    "conv1.conv": "f.a",
    "conv1.bn": "f.a_bn",
    "conv2.conv": "f.b",
    "conv2.bn": "f.b_bn",
    "se.fc1": "f.se.f_ex.0",
    "se.fc2": "f.se.f_ex.2",
    "conv3.conv": "f.c",
    "conv3.bn": "f.c_bn",
}
_RESNET_BLOCK = {
    "downsample.0": "proj",
    "downsample.1": "bn",
    "conv1": "f.a",
    "bn1": "f.a_bn",
    "conv2": "f.b",
    "bn2": "f.b_bn",
    "conv3": "f.c",
    "bn3": "f.c_bn",
}


def _batch_first(pos_embedding: Tensor) -> Tensor:
    """Turn pycls' sequence-first position embeddings [T, 1, D] into [1, T, D]."""
    return pos_embedding if pos_embedding.shape[0] == 1 else pos_embedding.transpose(0, 1)


def _encoder(
    block: str, attention: Mapping[str, str], names: Mapping[str, str]
) -> tuple[Rule, ...]:
    """Return the rules of a transformer block.

    Args:
        block: Template of the block's prefix.
        attention: Templates of whole keys inside `self_attention`, theirs to ours.
        names: Their module names to ours, for the rest of the block.
    """
    whole = (
        Rule(f"{block}self_attention.{theirs}", f"blocks.{{i}}.attn.{ours}")
        for theirs, ours in attention.items()
    )
    return (*whole, *modules(block, "blocks.{i}.", names))


def _transformers_regnet(prefix: str, name: str) -> Layout:
    block = f"{prefix}encoder.stages.{{n-1}}.layers.{{i}}."
    shared = {
        "shortcut.convolution": "proj",
        "shortcut.normalization": "bn",
        "layer.0.convolution": "f.a",
        "layer.0.normalization": "f.a_bn",
        "layer.1.convolution": "f.b",
        "layer.1.normalization": "f.b_bn",
    }
    gates = {"layer.2.attention.0": "f.se.f_ex.0", "layer.2.attention.2": "f.se.f_ex.2"}
    stem = {
        "embedder.embedder.convolution": "stem.conv",
        "embedder.embedder.normalization": "stem.bn",
    }
    return Layout(
        name,
        signature=(f"{block}layer.0.convolution.weight",),
        rules=(
            *modules(prefix, "", stem),
            *modules(block, _BLOCK, {**shared, **gates}),
            *modules(f"{block}layer.2.", _BLOCK, _LAST, variant=False),
            *modules(f"{block}layer.3.", _BLOCK, _LAST, variant=True),
            *modules("", "", {"classifier.1": "head.fc"}),
        ),
        marker=(f"{block}layer.2.attention.0.weight", f"{_BLOCK}f.se.f_ex.0.weight"),
    )


_LAST = {"convolution": "f.c", "normalization": "f.c_bn"}
_VISSL_BLOCK = "_feature_blocks.res{n+1}.block{n}-{i}."
_VISSL_GROUPED_BLOCK = "_feature_blocks.res{n+1}.block{n}-part{part}.block{n}-{i}."
_CLASSY = "trunk_output.block{n}.block{n}-{i}."
_CLASSY_GROUPED = "trunk_output.block{n}.block{n}-part{part}.block{n}-{i}."
_TIMM_EFFNET = "blocks.{n-1}.{i}."
_EFFNET_LITE = "_blocks.{n}.{i}."
_TORCHVISION_EFFNET = "features.{n}.{i}.block."

PYCLS = Layout(
    "pycls",
    ("s{n}.b{i}.f.a.weight", "s{n}.b{i}.a.weight", "s{n}.b{i}.dwise.weight"),
    _SAME,
)
TIMM_VIT = Layout("timm-vit", ("blocks.{i}.attn.qkv.weight",), _SAME)
PYCLS_VIT = Layout(
    "pycls-vit",
    ("encoder.block_{i}.ln_1.weight",),
    (
        Rule("class_token", "cls_token"),
        Rule("pos_embedding", "pos_embed", convert=_batch_first),
        *modules(
            "stem.",
            "patch_embed.",
            {
                "patchify": "proj",
                "cstem_last_conv": "proj",
                "cstem{i}_conv": "layers.conv{i}",
                "cstem{i}_bn": "layers.norm{i}",
            },
        ),
        *_encoder(
            "encoder.block_{i}.",
            {
                "block.in_proj_{leaf}": "qkv.{leaf}",
                "block.out_proj.{leaf}": "proj.{leaf}",
                "attn_proj.{leaf}": "qkv.{leaf}",
                "out_proj.{leaf}": "proj.{leaf}",
            },
            {
                "ln_1": "norm1",
                "ln_2": "norm2",
                "mlp_block.linear_1": "mlp.fc1",
                "mlp_block.linear_2": "mlp.fc2",
            },
        ),
        *modules("", "", {"encoder.ln": "norm", "head.head_fc": "head"}),
    ),
)
TORCHVISION_VIT = Layout(
    "torchvision-vit",
    ("encoder.layers.encoder_layer_{i}.ln_1.weight",),
    (
        Rule("class_token", "cls_token"),
        Rule("encoder.pos_embedding", "pos_embed"),
        *modules("", "patch_embed.", {"conv_proj": "proj"}, variant=False),
        *modules("conv_proj.", "patch_embed.", {"conv_last": "proj"}, variant=True),
        *modules(
            "conv_proj.",
            "patch_embed.layers.",
            {"conv_bn_relu_{i}.0": "conv{i}", "conv_bn_relu_{i}.1": "norm{i}"},
        ),
        *_encoder(
            "encoder.layers.encoder_layer_{i}.",
            {"in_proj_{leaf}": "qkv.{leaf}", "out_proj.{leaf}": "proj.{leaf}"},
            {
                "ln_1": "norm1",
                "ln_2": "norm2",
                "mlp.0": "mlp.fc1",
                "mlp.3": "mlp.fc2",
                "mlp.linear_1": "mlp.fc1",
                "mlp.linear_2": "mlp.fc2",
            },
        ),
        *modules("", "", {"encoder.ln": "norm", "heads.head": "head"}),
    ),
    marker=("conv_proj.conv_last.weight", "patch_embed.layers.conv0.weight"),
)
TORCHVISION_REGNET = Layout(
    "torchvision-regnet",
    (f"{_CLASSY}f.c.0.weight",),
    (
        *modules("", "", {"stem.0": "stem.conv", "stem.1": "stem.bn", "fc": "head.fc"}),
        *modules(_CLASSY, _BLOCK, _TORCHVISION_REGNET_BLOCK),
    ),
)
CLASSY_REGNET = Layout(
    "classyvision-regnet",
    (f"{_CLASSY}f.c.weight", f"{_CLASSY_GROUPED}f.c.weight"),
    (
        *modules("stem.", "stem.", {"stem.0": "conv", "stem.1": "bn"}),
        *modules(_CLASSY, _BLOCK, _CLASSY_BLOCK),
        *modules(_CLASSY_GROUPED, _BLOCK, _CLASSY_BLOCK),
        *modules("", "", {"head.fc": "head.fc", "head": "head.fc", "fc": "head.fc"}),
    ),
    heads=(*_SSL_HEADS, r"heads\..*"),
)
VISSL_REGNET = Layout(
    "vissl-regnet",
    (f"{_VISSL_BLOCK}f.c.weight", f"{_VISSL_GROUPED_BLOCK}f.c.weight"),
    (
        *modules("_feature_blocks.conv1.", "stem.", {"stem.0": "conv", "stem.1": "bn"}),
        *modules(_VISSL_BLOCK, _BLOCK, _CLASSY_BLOCK),
        *modules(_VISSL_GROUPED_BLOCK, _BLOCK, _CLASSY_BLOCK),
        *_VISSL_CLASSIFIER,
    ),
    heads=_VISSL_HEADS,
)
VISSL_RESNET = Layout(
    "vissl-resnet",
    ("_feature_blocks.layer{n}.{i}.conv1.weight",),
    (
        *modules("_feature_blocks.", "stem.", {"conv1": "conv", "bn1": "bn"}),
        *modules("_feature_blocks.layer{n}.{i}.", _BLOCK, _RESNET_BLOCK),
        *_VISSL_CLASSIFIER,
    ),
    heads=_VISSL_HEADS,
)
RESNET = Layout(
    "torchvision-resnet",
    ("layer{n}.{i}.conv1.weight",),
    (
        *modules("", "", {"conv1": "stem.conv", "bn1": "stem.bn", "fc": "head.fc"}),
        *modules("layer{n}.{i}.", _BLOCK, _RESNET_BLOCK),
    ),
    heads=_SSL_HEADS,
)
_DETECTRON2 = "backbone.bottom_up."
DETECTRON2_RESNET = Layout(
    "detectron2-resnet",
    (f"{_DETECTRON2}res{{n+1}}.{{i}}.conv1.weight",),
    (
        *modules(f"{_DETECTRON2}stem.", "stem.", {"conv1": "conv", "conv1.norm": "bn"}),
        *modules(
            f"{_DETECTRON2}res{{n+1}}.{{i}}.",
            _BLOCK,
            {
                "shortcut": "proj",
                "shortcut.norm": "bn",
                "conv1": "f.a",
                "conv1.norm": "f.a_bn",
                "conv2": "f.b",
                "conv2.norm": "f.b_bn",
                "conv3": "f.c",
                "conv3.norm": "f.c_bn",
            },
        ),
    ),
    heads=_DETECTOR_PARTS,
)
DETECTRON2_REGNET = Layout(
    "detectron2-regnet",
    (f"{_DETECTRON2}s{{n}}.b{{i}}.f.a.weight",),
    (Rule(f"{_DETECTRON2}{{any}}", "{any}"),),
    heads=_DETECTOR_PARTS,
)
TORCHVISION_FPN_RESNET = Layout(
    "torchvision-fpn-resnet",
    ("backbone.body.layer{n}.{i}.conv1.weight",),
    (
        *modules("backbone.body.", "", {"conv1": "stem.conv", "bn1": "stem.bn"}),
        *modules("backbone.body.layer{n}.{i}.", _BLOCK, _RESNET_BLOCK),
    ),
    heads=_DETECTOR_PARTS,
)
TIMM_REGNET = Layout(
    "timm-regnet",
    ("s{n}.b{i}.conv1.conv.weight",),
    (
        *modules("", "", {"stem.conv": "stem.conv", "stem.bn": "stem.bn", "head.fc": "head.fc"}),
        *modules("final_conv.", "head.", {"conv": "conv", "bn": "bn"}),
        *modules(_BLOCK, _BLOCK, _TIMM_REGNET_BLOCK),
    ),
)
TRANSFORMERS_REGNET = _transformers_regnet("regnet.", "transformers-regnet")
TRANSFORMERS_REGNET_TRUNK = _transformers_regnet("", "transformers-regnet-trunk")
TIMM_EFFNET = Layout(
    "timm-efficientnet",
    ("blocks.{n}.{i}.conv_dw.weight",),
    (
        *modules("", "stem.", {"conv_stem": "conv", "bn1": "bn"}),
        *modules("", "head.", {"conv_head": "conv", "bn2": "conv_bn", "classifier": "fc"}),
        *modules(
            _TIMM_EFFNET, _BLOCK, {"se.conv_reduce": "se.f_ex.0", "se.conv_expand": "se.f_ex.2"}
        ),
        *modules(
            _TIMM_EFFNET,
            _BLOCK,
            {
                "conv_pw": "exp",
                "bn1": "exp_bn",
                "conv_dw": "dwise",
                "bn2": "dwise_bn",
                "conv_pwl": "lin_proj",
                "bn3": "lin_proj_bn",
            },
            variant=True,
        ),
        *modules(
            _TIMM_EFFNET,
            _BLOCK,
            {"conv_dw": "dwise", "bn1": "dwise_bn", "conv_pw": "lin_proj", "bn2": "lin_proj_bn"},
            variant=False,
        ),
    ),
    marker=(f"{_TIMM_EFFNET}conv_pwl.weight", f"{_BLOCK}exp.weight"),
    note=_EFFNET_NOTE,
)
EFFNET_LITE = Layout(
    "efficientnet-lite",
    (f"{_EFFNET_LITE}_depthwise_conv.weight",),
    (
        *modules("", "stem.", {"_conv_stem": "conv", "_bn0": "bn"}),
        *modules("", "head.", {"_conv_head": "conv", "_bn1": "conv_bn", "_fc": "fc"}),
        *modules(
            _EFFNET_LITE,
            _BLOCK,
            {
                "_expand_conv": "exp",
                "_bn0": "exp_bn",
                "_depthwise_conv": "dwise",
                "_bn1": "dwise_bn",
                "_project_conv": "lin_proj",
                "_bn2": "lin_proj_bn",
            },
        ),
    ),
    note=_LITE_NOTE,
)
TORCHVISION_EFFNET = Layout(
    "torchvision-efficientnet",
    (f"{_TORCHVISION_EFFNET}0.0.weight",),
    (
        *modules("features.0.", "stem.", {"0": "conv", "1": "bn"}),
        *modules("features.{stages+1}.", "head.", {"0": "conv", "1": "conv_bn"}),
        *modules("", "", {"classifier.1": "head.fc"}),
        *modules(
            _TORCHVISION_EFFNET,
            _BLOCK,
            {
                "0.0": "exp",
                "0.1": "exp_bn",
                "1.0": "dwise",
                "1.1": "dwise_bn",
                "2.fc1": "se.f_ex.0",
                "2.fc2": "se.f_ex.2",
                "3.0": "lin_proj",
                "3.1": "lin_proj_bn",
            },
            variant=True,
        ),
        *modules(
            _TORCHVISION_EFFNET,
            _BLOCK,
            {
                "0.0": "dwise",
                "0.1": "dwise_bn",
                "1.fc1": "se.f_ex.0",
                "1.fc2": "se.f_ex.2",
                "2.0": "lin_proj",
                "2.1": "lin_proj_bn",
            },
            variant=False,
        ),
    ),
    marker=(f"{_TORCHVISION_EFFNET}3.0.weight", f"{_BLOCK}exp.weight"),
    note=_EFFNET_NOTE,
)

LAYOUTS = (
    PYCLS,
    TIMM_VIT,
    PYCLS_VIT,
    TORCHVISION_VIT,
    TORCHVISION_REGNET,
    CLASSY_REGNET,
    VISSL_REGNET,
    VISSL_RESNET,
    DETECTRON2_RESNET,
    DETECTRON2_REGNET,
    TORCHVISION_FPN_RESNET,
    RESNET,
    TIMM_REGNET,
    TRANSFORMERS_REGNET,
    TRANSFORMERS_REGNET_TRUNK,
    TIMM_EFFNET,
    EFFNET_LITE,
    TORCHVISION_EFFNET,
)


def recognise(keys: Collection[str]) -> Layout:
    """Return the layout of a state dict with these keys.

    Raises:
        WeightsError: If no layout fits, or it is a network of a kind we do not have.
    """
    if "dist_token" in keys:
        raise WeightsError(
            "need a ViT with at most a class token, got a distilled DeiT with a second one "
            "(dist_token); use the DeiT of the same size without distillation"
        )
    for layout in LAYOUTS:
        if has_layout(layout, keys):
            return layout
    shown = ", ".join(sorted(keys)[:4])
    known = ", ".join(layout.name for layout in LAYOUTS)
    raise WeightsError(
        f"need weights named as one of {known}, got keys such as {shown}; if the backbone is part "
        "of a larger network, pass the prefix of its keys"
    )
