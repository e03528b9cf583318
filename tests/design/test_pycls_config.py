import json

import pytest
from safetensors import safe_open

from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.design.pycls_config import from_pycls_config
from eyespot.design.scaling import scale
from eyespot.design.specs import AnyNetSpec, EffNetSpec, ViTSpec, ViTStem
from tests.reference import VECTORS, read_csv

IMAGENET = {"NUM_CLASSES": 1000}


def vector_entries():
    with safe_open(VECTORS / "backbone_forward.safetensors", "pt") as file:
        return json.loads(file.metadata()["json"])


@pytest.mark.parametrize("kind", vector_entries())
def test_configs_of_the_vectors_count_their_params(kind):
    entry = vector_entries()[kind]
    spec = from_pycls_config(entry)
    assert complexity(spec).params == entry["params"]
    assert (spec.num_classes, spec.image_size) == (10, 64)


def test_a_regnet_config_is_the_zoo_network():
    config = {
        "MODEL": {"TYPE": "regnet", **IMAGENET},
        "REGNET": {"SE_ON": True, "DEPTH": 22, "W0": 96, "WA": 31.41, "WM": 2.24, "GROUP_W": 64},
    }
    assert from_pycls_config(config) == zoo.spec("RegNetY-4.0GF")


def test_regnet_defaults_are_those_of_pycls():
    spec = from_pycls_config({"MODEL": {"TYPE": "regnet"}})
    # u = 32, 37, ..., 77 and k is 1 from u > 32 * sqrt(2.5) = 50.6 on: the last six of ten
    assert (spec.depths, spec.widths) == ((4, 6), (32, 80))
    assert spec.group_widths == (16, 16)
    assert (spec.stem_width, spec.num_classes) == (32, 10)
    assert (spec.image_size, spec.test_size, spec.se_ratio) == (224, 256, 0.0)


@pytest.mark.parametrize("depth", [50, 101, 152])
@pytest.mark.parametrize(("groups", "width"), [(1, 64), (32, 4)])
def test_the_older_resnet_class(depth, groups, width):
    config = {
        "MODEL": {"TYPE": "resnet", "DEPTH": depth, **IMAGENET},
        "RESNET": {
            "TRANS_FUN": "bottleneck_transform",
            "NUM_GROUPS": groups,
            "WIDTH_PER_GROUP": width,
            "STRIDE_1X1": False,
        },
    }
    name = f"ResNe{'X' if groups > 1 else ''}t-{depth}"
    assert from_pycls_config(config) == zoo.spec(name)


def test_the_older_resnet_class_strides_its_1x1_by_default():
    config = {
        "MODEL": {"TYPE": "resnet", "DEPTH": 50, **IMAGENET},
        "RESNET": {"TRANS_FUN": "bottleneck_transform"},
    }
    row = next(r for r in read_csv("complexity.csv") if r["model"] == "ResNet-50-MSRA-stride1x1")
    assert complexity(from_pycls_config(config)).flops == int(row["flops"])


def test_cifar_resnets_by_data_set():
    config = {
        "MODEL": {"TYPE": "resnet", "DEPTH": 56},
        "TRAIN": {"DATASET": "cifar10", "IM_SIZE": 32},
        "TEST": {"IM_SIZE": 32},
    }
    assert from_pycls_config(config) == zoo.spec("CIFAR-ResNet-56")
    config["MODEL"]["DEPTH"] = 57
    with pytest.raises(ValueError, match=r"6 n \+ 2 .* got 57"):
        from_pycls_config(config)


def test_an_effnet_config_is_the_zoo_network():
    config = {
        "MODEL": {"TYPE": "effnet", "ACTIVATION_FUN": "swish", **IMAGENET},
        "EN": {
            "STEM_W": 40,
            "DEPTHS": [2, 3, 3, 5, 5, 6, 2],
            "WIDTHS": [24, 32, 48, 96, 136, 232, 384],
            "EXP_RATIOS": [1, 6, 6, 6, 6, 6, 6],
            "STRIDES": [1, 2, 2, 2, 1, 2, 1],
            "KERNELS": [3, 3, 5, 3, 5, 5, 3],
            "HEAD_W": 1536,
        },
        "TRAIN": {"IM_SIZE": 300},
        "TEST": {"IM_SIZE": 342},
        "OPTIM": {"BASE_LR": 0.4},
    }
    assert from_pycls_config(config) == zoo.spec("EfficientNet-B3")


def test_vit_configs_are_the_papers_networks():
    config = {
        "MODEL": {"TYPE": "vit", **IMAGENET},
        "LN": {"EPS": 1e-6},
        "VIT": {"HIDDEN_DIM": 384, "MLP_DIM": 1152, "NUM_HEADS": 6},
    }
    assert from_pycls_config(config) == zoo.spec("ViT-P-4GF")
    config["VIT"] |= {
        "NUM_LAYERS": 11,
        "STEM_TYPE": "conv",
        "C_STEM_KERNELS": [3, 3, 3, 3, 1],
        "C_STEM_STRIDES": [2, 2, 2, 2, 1],
        "C_STEM_DIMS": [48, 96, 192, 384, 384],
    }
    assert from_pycls_config(config) == zoo.spec("ViT-C-4GF")


def test_vit_defaults_are_those_of_pycls():
    assert from_pycls_config({"MODEL": {"TYPE": "vit"}}) == ViTSpec(
        768, 3072, 12, 12, stem=ViTStem(), ln_eps=1e-5, num_classes=10
    )


def test_a_yaml_file_reads_as_pycls_reads_it(tmp_path):
    file = tmp_path / "vit.yaml"
    file.write_text("MODEL: {TYPE: vit}\nLN: {EPS: 1e-6}\nVIT: {CLASSIFIER_TYPE: pooled}\n")
    spec = from_pycls_config(file, num_classes=7, image_size=320)
    assert spec == ViTSpec(768, 3072, 12, 12, pooling="mean", num_classes=7, image_size=320)
    assert from_pycls_config(str(file)).num_classes == 10


def test_scaling_keys_scale():
    config = {
        "MODEL": {
            "TYPE": "regnet",
            "SCALING_TYPE": "d1_w8_g8_r1",
            "SCALING_FACTOR": 4,
            **IMAGENET,
        },
        "REGNET": {"SE_ON": True, "DEPTH": 26, "W0": 88, "WA": 30.3, "WM": 2.404, "GROUP_W": 32},
        "TRAIN": {"IM_SIZE": 240},
        "TEST": {"IM_SIZE": 274},
    }
    spec = from_pycls_config(config)
    assert spec == zoo.spec("RegNetY-dWr-16GF")
    config["MODEL"]["SCALING_TYPE"] = ""
    unscaled = from_pycls_config(config)
    assert unscaled.depths == (2, 6, 16, 2)
    assert scale(unscaled, "d1_w8_g8_r1", 4) == spec


def test_block_options_reach_the_spec():
    config = {
        "MODEL": {"TYPE": "anynet", "ACTIVATION_FUN": "silu"},
        "ANYNET": {
            "DEPTHS": [1, 2],
            "WIDTHS": [16, 32],
            "STRIDES": [2, 1],
            "BOT_MULS": [4, 4],
            "GROUP_WS": [4, 8],
            "BLOCK_TYPE": "res_bottleneck_linear_block",
            "STEM_TYPE": "res_stem_in",
            "STEM_W": 24,
            "HEAD_W": 80,
            "SE_ON": True,
            "SE_R": 0.5,
        },
        "BN": {"ZERO_INIT_FINAL_GAMMA": True},
    }
    assert from_pycls_config(config) == AnyNetSpec(
        (1, 2), (16, 32), (2, 1), (4.0, 4.0), (4, 8), block="res_bottleneck_linear_block",
        stem="res_stem_in", stem_width=24, se_ratio=0.5, activation="silu", head_width=80,
        zero_init_residual=True, num_classes=10,
    )  # fmt: skip
    effnet = {"DEPTHS": [1], "WIDTHS": [8], "STRIDES": [1], "EXP_RATIOS": [6], "KERNELS": [3]}
    rates = {"DC_RATIO": 0.2, "DROPOUT_RATIO": 0.3}
    spec = from_pycls_config({"MODEL": {"TYPE": "effnet"}, "EN": effnet | rates})
    assert spec == EffNetSpec(
        (1,), (8,), (1,), (6.0,), (3,), activation="relu", drop_connect=0.2, dropout=0.3,
        num_classes=10,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "need MODEL.TYPE"),
        ({"MODEL": {"TYPE": "vgg"}}, "unknown MODEL.TYPE of a pycls config 'vgg'"),
        ({"MODEL": {"TYPE": "anynet"}}, "need ANYNET.DEPTHS"),
        ({"MODEL": {"TYPE": "anynet"}, "ANYNET": {"DEPTHS": [1], "WIDTHS": [8]}}, "ANYNET.STRIDES"),
        ({"MODEL": {"TYPE": "effnet"}}, "need EN.EXP_RATIOS"),
        ({"MODEL": {"TYPE": "regnet"}, "REGNET": {"DEPTH": "ten"}}, "need REGNET.DEPTH .* 'ten'"),
        ({"MODEL": {"TYPE": "regnet"}, "REGNET": {"SE_ON": 1}}, "need REGNET.SE_ON .* bool, got 1"),
        ({"MODEL": {"TYPE": "regnet"}, "BN": {"EPS": 1e-3}}, "need BN.EPS 1e-05.* got 0.001"),
        ({"MODEL": {"TYPE": "vit"}, "VIT": {"CLASSIFIER_TYPE": "cls"}}, "CLASSIFIER_TYPE .* 'cls'"),
        ({"MODEL": {"TYPE": "vit"}, "VIT": {"STEM_TYPE": "conv"}}, "need VIT.C_STEM_KERNELS"),
        ({"MODEL": "vit"}, "need MODEL of a pycls config as a mapping"),
        ({"MODEL": {"TYPE": "resnet", "DEPTH": 18}}, "need MODEL.DEPTH 50, 101 or 152 .* got 18"),
    ],
)
def test_mistakes_are_named(config, sentence):
    with pytest.raises(ValueError, match=sentence):
        from_pycls_config(config)


def test_a_file_that_is_no_yaml_is_named(tmp_path):
    file = tmp_path / "broken.yaml"
    file.write_text("MODEL: {TYPE: vit")
    with pytest.raises(ValueError, match=r"need a pycls config of YAML, got .*broken.yaml"):
        from_pycls_config(file)


def test_a_yaml_list_is_no_config(tmp_path):
    file = tmp_path / "list.yaml"
    file.write_text("- 1\n- 2\n")
    with pytest.raises(ValueError, match=r"need a pycls config as a mapping .* got \[1, 2\]"):
        from_pycls_config(file)


def test_a_conv_stem_that_does_not_fit_is_refused():
    stem = {"C_STEM_KERNELS": [3, 2], "C_STEM_STRIDES": [16, 1], "C_STEM_DIMS": [24, 768]}
    config = {"MODEL": {"TYPE": "vit"}, "VIT": {"STEM_TYPE": "conv", **stem}}
    with pytest.raises(ValueError, match="kernel 2 with stride 1"):
        from_pycls_config(config)


def test_all_but_the_last_of_a_conv_stem_are_three_by_three_as_pycls_builds_them():
    """Numbers of pycls' own `ViT.complexity` for these configs."""
    vit = {"PATCH_SIZE": 2, "NUM_LAYERS": 4, "NUM_HEADS": 3, "HIDDEN_DIM": 48, "MLP_DIM": 200}
    vit |= {"CLASSIFIER_TYPE": "pooled", "STEM_TYPE": "conv", "C_STEM_DIMS": [16, 48]}
    for kernels, strides, counts in (
        ([5, 1], [2, 1], (9040362, 121130, 178186)),
        ([2, 5], [2, 1], (10220010, 139562, 178186)),
        ([3, 1], [1, 2], (9123306, 121130, 181258)),
    ):
        vit |= {"C_STEM_KERNELS": kernels, "C_STEM_STRIDES": strides}
        sizes = {"MODEL": {"TYPE": "vit", "NUM_CLASSES": 10}, "TRAIN": {"IM_SIZE": 16}}
        found = complexity(from_pycls_config(sizes | {"VIT": vit}))
        assert (found.flops, found.params, found.acts) == counts
