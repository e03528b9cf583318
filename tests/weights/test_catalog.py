import re

import pytest

from eyespot.data.normalize import SWAV_STD
from eyespot.design import zoo
from eyespot.design.complexity import complexity
from eyespot.weights.catalog import catalog, find_published, notices, published
from eyespot.weights.convert import published_as


def test_every_row_of_pycls_zoo_is_there():
    rows = find_published("pycls/")
    assert len(rows) == 36
    assert {row.model for row in rows} == {
        entry.name for entry in zoo.entries() if entry.source == "pycls model zoo"
    }
    assert all(row.licence.name == "MIT" and row.licence.commercial for row in rows)


def test_rows_that_were_read_by_hand():
    row = published("RegNetY-4.0GF")
    assert row.url == (
        "https://dl.fbaipublicfiles.com/pycls/dds_baselines/160906838/RegNetY-4.0GF_dds_8gpu.pyth"
    )
    assert row.metrics["top1_error_percent"] == 20.64
    assert row.metrics["top5_error_percent"] == 5.336
    assert published("pycls/resnext-152").file == "X-152-32x4d_dds_8gpu.pyth"
    assert published("seer/RG-128-in1k").url.endswith(
        "/vissl/model_zoo/seer_finetuned/"
        "seer_regnet128_finetuned_in1k_model_final_checkpoint_phase78.torch"
    )
    assert published("swav/resnet-50-800ep").metrics == {"linear_top1_percent": 75.3}


def test_bigger_networks_of_a_family_err_less():
    # as published for RegNetX up to 3.2GF and for the ResNets; a slipped row would show
    for names in (
        [f"RegNetX-{size}" for size in ("200MF", "400MF", "600MF", "800MF", "1.6GF", "3.2GF")],
        ["ResNet-50", "ResNet-101", "ResNet-152"],
    ):
        errors = [published(f"pycls/{name}").metrics["top1_error_percent"] for name in names]
        assert errors == sorted(errors, reverse=True)
        costs = [complexity(zoo.spec(name)).flops for name in names]
        assert costs == sorted(costs)


def test_names_and_addresses_are_sane():
    entries = catalog()
    assert len({entry.name for entry in entries}) == len(entries)
    assert len({entry.url for entry in entries}) == len(entries)
    for entry in entries:
        assert re.fullmatch(
            r"https://dl\.fbaipublicfiles\.com/[\w./-]+\.(pyth|torch|tar)"
            r"|https://zenodo\.org/record/4721981/files/[\w%]+_checkpoint\.pth"
            r"|https://huggingface\.co/[\w./-]+/tokenizer\.json",
            entry.url,
        )
        assert entry.sha256 is None
        assert entry.model is None or zoo.spec(entry.model)


def test_swavs_networks_are_ours_and_their_images_are_divided_by_its_numbers():
    rows = [row for row in catalog() if row.file.endswith("_pretrain.pth.tar")]
    assert len(rows) == 15
    assert {row.std for row in rows} == {SWAV_STD}
    wide = {row.model for row in rows if "RN50w" in row.file}
    assert wide == {"ResNet-50w2", "ResNet-50w4", "ResNet-50w5"}
    assert {row.model for row in rows} == wide | {"ResNet-50"}
    assert {row.std for row in catalog() if row not in rows} == {None}


def test_licences_of_converted_files_are_known_by_their_names():
    assert notices("") == notices("of the moon") == []
    assert [text.split()[0] for text in notices("SEER or MIT")] == ["SEER", "MIT"]


def test_who_may_use_what():
    assert all(not row.licence.commercial for row in find_published("seer/"))
    assert len(find_published("seer/")) == 10
    assert all("non-commercial" in row.licence.notice for row in find_published("swav/"))


def test_names_that_nobody_or_several_have():
    with pytest.raises(ValueError, match=r"unknown published file 'RegNetQ'.*weights list"):
        published("RegNetQ")
    with pytest.raises(ValueError, match="need one of swav/ResNet-50-400ep, deepclusterv2/"):
        published("ResNet-50-400ep")
    assert find_published("no such thing") == []


def test_a_file_is_known_by_its_name(tmp_path):
    assert [row.name for row in published_as(tmp_path / "EN-B3_dds_8gpu.pyth")] == [
        "pycls/EfficientNet-B3"
    ]
    assert published_as(tmp_path / "mine.pyth") == []
