"""The published forward vectors: weights under published names give the published numbers."""

import json

import pytest
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch.testing import assert_close

from eyespot import create_model, from_pycls_config, load_weights
from tests.reference import VECTORS

FILE = VECTORS / "backbone_forward.safetensors"
LABELS = torch.tensor([1, 4, 7])
OUR_NAMES = {"class_token": "cls_token", "pos_embedding": "pos_embed"}


def kinds():
    with safe_open(FILE, "pt") as file:
        return json.loads(file.metadata()["json"])


def read(kind):
    """The tensors of one network, without its name."""
    with safe_open(FILE, "pt") as file:
        return {
            name.removeprefix(f"{kind}/"): file.get_tensor(name)
            for name in file.keys()  # noqa: SIM118
            if name.startswith(f"{kind}/")
        }


def state_dict_of(tensors):
    start = "state_dict/"
    return {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", kinds())
def test_published_weights_give_the_published_numbers(kind):
    tensors = read(kind)
    model = create_model(from_pycls_config(kinds()[kind]))
    report = load_weights(model, state_dict_of(tensors))
    assert report.layout == ("pycls-vit" if kind.startswith("vit") else "pycls")
    assert set(report.loaded) == set(model.state_dict())
    assert not report.unused
    close = {"rtol": 1e-4, "atol": 1e-5}
    with torch.no_grad():
        assert_close(model.eval()(tensors["input"]), tensors["output_eval"], **close)
    logits = model.train()(tensors["input"])
    assert_close(logits, tensors["output_train"], **close)
    loss = F.cross_entropy(logits, LABELS)
    assert_close(loss.reshape(1), tensors["loss_train_labels_1_4_7"], **close)
    loss.backward()
    gradients = {k.removeprefix("grad/"): v for k, v in tensors.items() if k.startswith("grad/")}
    assert gradients
    for name, wanted in gradients.items():
        got = model.get_parameter(OUR_NAMES.get(name, name)).grad
        assert_close(got, wanted.transpose(0, 1) if name == "pos_embedding" else wanted, **close)


@pytest.mark.parametrize("kind", ["regnety", "effnet", "vit_p", "vit_c"])
def test_bgr_weights_see_rgb_images_as_they_saw_bgr_ones(kind):
    tensors = read(kind)
    checkpoint = {
        "epoch": 99,
        "model_state": state_dict_of(tensors),
        "optimizer_state": {},
        "cfg": "MODEL: {}",
    }
    model = create_model(from_pycls_config(kinds()[kind])).eval()
    close = {"rtol": 1e-4, "atol": 1e-5}
    for source, order in ((checkpoint, None), (checkpoint["model_state"], "bgr")):
        report = load_weights(model, source, channel_order=order)
        assert any("BGR to RGB" in note for note in report.notes)
        with torch.no_grad():
            assert_close(model(tensors["input"].flip(1)), tensors["output_eval"], **close)
    report = load_weights(model, checkpoint, channel_order="rgb")
    with torch.no_grad():
        assert_close(model(tensors["input"]), tensors["output_eval"], **close)


def test_a_bare_state_dict_is_taken_as_rgb_and_the_report_says_so():
    tensors = read("regnety")
    model = create_model(from_pycls_config(kinds()["regnety"]))
    report = load_weights(model, state_dict_of(tensors))
    assert_close(model.stem.conv.weight, tensors["state_dict/stem.conv.weight"], rtol=0, atol=0)
    assert any('channel_order="bgr"' in note for note in report.notes)


@pytest.mark.parametrize("kind", ["vit_p", "vit_c"])
def test_the_unmerged_branch_of_pycls_names_attention_otherwise(kind):
    tensors = read(kind)
    branch = {}
    for name, tensor in state_dict_of(tensors).items():
        name = name.replace("self_attention.block.in_proj_", "self_attention.attn_proj.")
        name = name.replace("self_attention.block.", "self_attention.")
        branch[name] = tensor.transpose(0, 1) if name == "pos_embedding" else tensor
    assert branch["pos_embedding"].shape[0] == 1
    model = create_model(from_pycls_config(kinds()[kind])).eval()
    load_weights(model, branch)
    with torch.no_grad():
        assert_close(model(tensors["input"]), tensors["output_eval"], rtol=1e-4, atol=1e-5)
