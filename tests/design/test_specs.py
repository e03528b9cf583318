"""What is no network, and specs as files."""

import json
import stat
from dataclasses import replace

import pytest

from eyespot.design import zoo
from eyespot.design.by_name import to_spec
from eyespot.design.spec_files import read_spec, spec_from_dict, spec_to_dict, write_spec
from eyespot.design.specs import AnyNetSpec, EffNetSpec, ViTSpec, ViTStem


@pytest.mark.parametrize("name", zoo.list_models())
def test_a_spec_survives_a_file(name, tmp_path):
    path = tmp_path / "spec.json"
    write_spec(zoo.spec(name), path)
    assert read_spec(path) == zoo.spec(name)
    assert to_spec(str(path)) == zoo.spec(name)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [path]


def _anynet(**changes):
    fields = {
        "depths": (1, 1), "widths": (16, 32), "strides": (2, 2), "bot_muls": (1.0, 1.0),
        "group_widths": (8, 8),
    }  # fmt: skip
    return AnyNetSpec(**{**fields, **changes})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: _anynet(depths=(1,)), "lists of one length.*'depths': 1, 'widths': 2"),
        (lambda: _anynet(depths=(0, 1)), r"every number of depths above 0, got \[0, 1\]"),
        (lambda: _anynet(group_widths=(8, 12)), "group width 12 for 32 channels"),
        (lambda: _anynet(se_ratio=-0.1), r"se_ratio in \[0, 1\], got -0.1"),
        (lambda: _anynet(image_size=0), "image_size of 1 or more, got 0"),
        (lambda: _anynet(num_classes=-1), "num_classes of 0 or more, got -1"),
        (lambda: ViTSpec(100, 200, 3, 2), "hidden_dim 100 and 3 heads"),
        (lambda: replace(zoo.spec("ViT-P-4GF"), image_size=230), "patch size 16, got 230.*is 224"),
        (lambda: ViTStem((8,), (4,), (2,)), "kernel 4 with stride 2"),
        (lambda: ViTStem((8, 8), (3,), (2,)), "got 2, 1 and 1"),
        (
            lambda: EffNetSpec((1,), (8,), (1,), (1.0,), (4,)),
            r"odd kernels, got \[4\]",
        ),
        (
            lambda: EffNetSpec((1,), (3,), (1,), (1.0,), (3,)),
            "one channel of squeeze-and-excitation, got width 3 with se_ratio 0.25",
        ),
    ],
)
def test_what_is_no_network_is_refused_with_its_numbers(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"depths": "1,2"}, "need a list for depths, got '1,2'"),
        ({"depths": [1, 2, 3, 4.5]}, "need depths as int, got 4.5"),
        ({"num_classes": True}, "need num_classes as int, got True"),
        ({"wdiths": [1]}, "unknown field of anynet spec 'wdiths'. Did you mean widths"),
        ({"family": "anynets"}, "unknown family of networks 'anynets'. Did you mean anynet"),
        ({"block": "res_block"}, "unknown block 'res_block'"),
        ({"image_size": None}, "need image_size as int, got None"),
    ],
)
def test_a_malformed_spec_names_the_field(change, sentence, tmp_path):
    data = json.loads(json.dumps(spec_to_dict(zoo.spec("RegNetY-4GF")))) | change
    with pytest.raises(ValueError, match=sentence):
        spec_from_dict(data)
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(data))
    with pytest.raises(ValueError, match=r"bad\.json: "):
        read_spec(path)


def test_a_missing_field_is_named():
    data = spec_to_dict(zoo.spec("ViT-C-4GF"))
    del data["depth"]
    with pytest.raises(ValueError, match="need depth in a vit spec"):
        spec_from_dict(data)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", '"x"', "\x00\xff", "null"])
def test_what_is_no_spec_file_is_refused(text, tmp_path):
    path = tmp_path / "spec.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"spec\.json"):
        read_spec(path)


def test_a_missing_file_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.json"):
        to_spec(tmp_path / "none.json")
