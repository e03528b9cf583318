"""Exported networks give the network's own outputs, at every size of input."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from eyespot.weights.graphs import INPUTS, LastLayer, export_grounder, export_onnx
from tests.predict.grounders import small_grounder

SIZES = [(2, 160, 192, 9), (3, 130, 97, 20), (1, 64, 96, 3)]


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
    "changes", [{}, {"with_proposals": False, "num_levels": 2, "frozen_norms": True}]
)
def test_graph_and_onnx(tmp_path, changes):
    model = small_grounder(**changes).model
    module = export_grounder(model, max_tokens=40).module()
    for size in SIZES:
        for found, expected in zip(
            module(*inputs(*size)), LastLayer(model)(*inputs(*size)), strict=True
        ):
            assert_close(found, expected)
    runtime = pytest.importorskip("onnxruntime", reason="an extra")
    pytest.importorskip("onnxscript", reason="an extra")
    export_onnx(model, tmp_path / "a.onnx", max_tokens=40)
    session = runtime.InferenceSession(str(tmp_path / "a.onnx"))
    for size in SIZES:
        given = inputs(*size)
        found = session.run(None, {n: v.numpy() for n, v in zip(INPUTS, given, strict=True)})
        for one, expected in zip(found, LastLayer(model)(*given), strict=True):
            np.testing.assert_allclose(one, expected.numpy(), rtol=1e-3, atol=1e-4)


def test_too_short_texts_are_refused():
    with pytest.raises(ValueError, match="got 5"):
        export_grounder(small_grounder().model, max_tokens=5)
