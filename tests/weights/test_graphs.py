"""Exported networks give the network's own outputs, at every size of input."""

import json
from dataclasses import replace

import numpy as np
import pytest
import tokenizers
import torch
from torch.testing import assert_close

from eyespot.cli import main
from eyespot.models.mdetr import AnswerHead
from eyespot.weights.graph_files import _largest_difference
from eyespot.weights.graphs import INPUTS, LastLayer, export_grounder, export_onnx, output_names
from eyespot.weights.grounders import save_grounder
from tests.predict.grounders import CONV_VIT, VIT, small_grounder

SIZES = [(2, 160, 192, 9), (3, 130, 97, 20), (1, 64, 96, 3), (1, 64, 64, 3)]


def inputs(batch, height, width, length):
    torch.manual_seed(batch)
    pad_mask = torch.zeros(batch, height, width, dtype=torch.bool)
    pad_mask[-1, :, width - 20 :] = True
    text_pad = torch.zeros(batch, length, dtype=torch.bool)
    text_pad[-1, length - 1 :] = True
    images = torch.randn(batch, 3, height, width).masked_fill(pad_mask[:, None], 0)
    return images, pad_mask, torch.randint(4, 100, (batch, length)), text_pad


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"with_proposals": False, "num_levels": 2, "frozen_norms": True},
        {"with_is_final": True, "names_by": "alignment"},
        {"with_masks": True, "with_is_final": True, "dim": 128, "num_heads": 8},
        {"backbone": CONV_VIT, "num_levels": 2},
        {"backbone": VIT, "with_masks": True, "dim": 128, "num_heads": 8, "with_proposals": False},
    ],
)
def test_graph_and_onnx(tmp_path, changes):
    model, spec, _ = small_grounder(**changes)
    assert len(LastLayer(model, spec)(*inputs(*SIZES[0]))) == len(output_names(spec))
    module = export_grounder(model, spec).module()
    for size in SIZES:
        for found, expected in zip(
            module(*inputs(*size)), LastLayer(model, spec)(*inputs(*size)), strict=True
        ):
            assert_close(found, expected)
    runtime = pytest.importorskip("onnxruntime", reason="an extra")
    pytest.importorskip("onnxscript", reason="an extra")
    export_onnx(model, spec, tmp_path / "a.onnx")
    session = runtime.InferenceSession(str(tmp_path / "a.onnx"))
    for size in SIZES:
        given = inputs(*size)
        found = session.run(None, {n: v.numpy() for n, v in zip(INPUTS, given, strict=True)})
        for one, expected in zip(found, LastLayer(model, spec)(*given), strict=True):
            np.testing.assert_allclose(one, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_too_short_texts_are_refused():
    model, spec, _ = small_grounder()
    with pytest.raises(ValueError, match="got 5"):
        export_grounder(model, replace(spec, num_classes=6))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_a_grounder_is_exported_and_checked_from_the_command_line(tmp_path, suffix, capsys):
    """What was written runs alone, with the tokenizer beside it, and gives the network's output."""
    if suffix == ".onnx":
        pytest.importorskip("onnxruntime", reason="an extra")
        pytest.importorskip("onnxscript", reason="an extra")
    loaded = small_grounder(with_is_final=True, answer_heads=(AnswerHead("", 4),))
    save_grounder(*loaded, tmp_path / "w.safetensors")
    out = tmp_path / "graph" / f"a{suffix}"
    main(["weights", "export", str(tmp_path / "w.safetensors"), "--out", str(out)])
    said = capsys.readouterr()
    assert float(said.out.split()[-1]) < 1e-4
    assert "left out: the answer heads" in said.err
    facts = json.loads(out.with_suffix(".json").read_text())
    assert facts["outputs"] == ["probabilities", "boxes_cxcywh", "final_probabilities"]
    assert facts["image"]["short_side_px"] == 64
    words = tokenizers.Tokenizer.from_file(str(out.with_suffix(".tokenizer.json")))
    assert words.encode("a red cup").ids == loaded.tokenizer.encode("a red cup").ids
    if suffix == ".pt2":
        given = inputs(1, 100, 130, 6)
        found = torch.export.load(out).module()(*given)
        for one, expected in zip(found, LastLayer(loaded.model, loaded.spec)(*given), strict=True):
            assert_close(one, expected)


def test_a_wrong_graph_is_noticed():
    loaded = small_grounder()
    plain = LastLayer(loaded.model, loaded.spec)

    def wrong(given):
        probabilities, boxes = plain(*given)
        return [probabilities, boxes + (given[0].shape[0] == 3) * 0.25]  # at one size only

    assert _largest_difference(loaded, wrong) == pytest.approx(0.25)


def test_exports_say_what_they_need(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["weights", "export", "scenes-small", "--out", str(tmp_path / "a.txt")])
    assert "ends in .onnx or .pt2" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["weights", "export", "scenes-smal", "--out", str(tmp_path / "a.onnx")])
    assert "scenes-small" in capsys.readouterr().err
