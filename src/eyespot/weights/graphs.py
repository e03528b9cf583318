"""A grounding network as a graph that runs without this package: torch.export and ONNX.

Shapes: B images, K tokens, H W of the images; all of them may differ from call to call.
"""

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from eyespot.models.masks import SegmentingDetector
from eyespot.models.mdetr import ModulatedDetector

INPUTS = ("images", "pad_mask", "token_ids", "text_pad_mask")
OUTPUTS = ("probabilities", "boxes_cxcywh")


class GraphOutput(NamedTuple):
    """What an exported network returns, of its last decoder layer."""

    probabilities: Float[Tensor, "b q t"]  # of each token position; the last is "no object"
    boxes_cxcywh: Float[Tensor, "b q 4"]


class LastLayer(nn.Module):
    """A network that returns what is used of its output.

    Args:
        model: The network.
    """

    def __init__(self, model: ModulatedDetector | SegmentingDetector) -> None:
        super().__init__()
        self.model = model.detr if isinstance(model, SegmentingDetector) else model

    def forward(
        self,
        images: Float[Tensor, "b 3 hpx wpx"],
        pad_mask: Bool[Tensor, "b hpx wpx"],
        token_ids: Int[Tensor, "b k"],
        text_pad_mask: Bool[Tensor, "b k"],
    ) -> GraphOutput:
        """Return probabilities and boxes; arguments as those of `ModulatedDetector.forward`."""
        output = self.model(images, pad_mask, token_ids, text_pad_mask)
        return GraphOutput(output.logits[-1].softmax(dim=-1), output.boxes_cxcywh[-1])


def export_grounder(
    model: ModulatedDetector | SegmentingDetector, *, max_tokens: int
) -> torch.export.ExportedProgram:
    """Return the network as a graph; batch, size of the images and length of the texts may vary.

    Images must be at least four tokens of the backbone's last map high and wide.

    Args:
        model: The network; it is traced in evaluation mode.
        max_tokens: Longest text.
    """
    wrapped = LastLayer(model).eval()
    example = (
        torch.zeros(2, 3, 160, 192),
        torch.zeros(2, 160, 192, dtype=torch.bool),
        torch.ones(2, 9, dtype=torch.long),
        torch.zeros(2, 9, dtype=torch.bool),
    )
    batch, height, width = (torch.export.Dim.DYNAMIC for _ in range(3))
    length = torch.export.Dim.DYNAMIC
    shapes: Any = (
        {0: batch, 2: height, 3: width},
        {0: batch, 1: height, 2: width},
        {0: batch, 1: length},
        {0: batch, 1: length},
    )
    if max_tokens < 9:
        raise ValueError(f"need room for texts of at least 9 tokens, got {max_tokens}")
    with torch.no_grad():
        return torch.export.export(wrapped, example, dynamic_shapes=shapes)


def export_onnx(
    model: ModulatedDetector | SegmentingDetector, path: Path, *, max_tokens: int
) -> None:
    """Write the network as an ONNX file with the inputs `INPUTS` and the outputs `OUTPUTS`.

    Args:
        model: As in `export_grounder`.
        path: The file to write.
        max_tokens: As in `export_grounder`.

    Raises:
        ValueError: If onnx or onnxscript is not installed.
        OSError: If the file cannot be written.
    """
    for name in ("onnx", "onnxscript"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise ValueError(f"need the package {name} for ONNX; pip install {name}") from None
    program = export_grounder(model, max_tokens=max_tokens)
    made = torch.onnx.export(
        program,
        input_names=list(INPUTS),
        output_names=list(OUTPUTS),
        dynamo=True,
        verbose=False,
    )
    assert made is not None, "the exporter returns a program unless it is given a file"
    made.save(str(path))
