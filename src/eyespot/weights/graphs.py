"""A grounding network as a graph that runs without this package: torch.export and ONNX.

Shapes: B images, K tokens, H W of the images; all of them may differ from call to call.
"""

import importlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from eyespot.models.grounder import GrounderSpec, naming_logits
from eyespot.models.masks import SegmentationOutput, SegmentingDetector
from eyespot.models.mdetr import GroundingOutput, ModulatedDetector

INPUTS = ("images", "pad_mask", "token_ids", "text_pad_mask")


def output_names(spec: GrounderSpec) -> tuple[str, ...]:
    """Return what an exported network gives, all of its last decoder layer.

    - `probabilities` [B, Q, T] of each token position for each query; the last is "no object".
    - `boxes_cxcywh` [B, Q, 4], relative to the image without its padding.
    - `final_probabilities` [B, Q], with an is-final head: that the whole text means the box.
    - `mask_logits` [B, Q, h, w], with a segmentation head, over the padded image.
    """
    final = ("final_probabilities",) if spec.with_is_final else ()
    return ("probabilities", "boxes_cxcywh", *final, *(("mask_logits",) if spec.with_masks else ()))


class LastLayer(nn.Module):
    """A network that returns what is used of its output, as `output_names` says.

    Args:
        model: The network.
        spec: What it was built from.
    """

    def __init__(self, model: ModulatedDetector | SegmentingDetector, spec: GrounderSpec) -> None:
        super().__init__()
        self.model = model
        self.spec = spec

    def forward(
        self,
        images: Float[Tensor, "b 3 hpx wpx"],
        pad_mask: Bool[Tensor, "b hpx wpx"],
        token_ids: Int[Tensor, "b k"],
        text_pad_mask: Bool[Tensor, "b k"],
    ) -> tuple[Tensor, ...]:
        """Return what is named; arguments as those of `ModulatedDetector.forward`."""
        output: GroundingOutput | SegmentationOutput
        output = self.model(images, pad_mask, token_ids, text_pad_mask)
        masks: tuple[Tensor, ...] = ()
        if isinstance(output, SegmentationOutput):
            masks = (output.mask_logits,)
            output = output.grounding
        probabilities = naming_logits(output, self.spec, text_pad_mask).softmax(dim=-1)
        final: tuple[Tensor, ...] = ()
        if output.is_final_logits is not None:
            final = (output.is_final_logits[-1].sigmoid(),)
        return (probabilities, output.boxes_cxcywh[-1], *final, *masks)


def export_grounder(
    model: ModulatedDetector | SegmentingDetector, spec: GrounderSpec
) -> torch.export.ExportedProgram:
    """Return the network as a graph; batch, size of the images and length of the texts may vary.

    Images must be at least four tokens of the backbone's last map high and wide.

    Args:
        model: The network; it is traced in evaluation mode.
        spec: What it was built from.

    Raises:
        ValueError: If it has no room for texts.
    """
    wrapped = LastLayer(model, spec).eval()
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
    if spec.max_tokens < 9:
        raise ValueError(f"need room for texts of at least 9 tokens, got {spec.max_tokens}")
    with torch.no_grad():
        return torch.export.export(wrapped, example, dynamic_shapes=shapes)


def export_onnx(
    model: ModulatedDetector | SegmentingDetector, spec: GrounderSpec, path: Path
) -> None:
    """Write the network as an ONNX file with the inputs `INPUTS` and outputs `output_names(spec)`.

    Args:
        model: As in `export_grounder`.
        spec: Likewise.
        path: The file to write.

    Raises:
        ValueError: If onnx or onnxscript is not installed.
        OSError: If the file cannot be written.
    """
    for name in ("onnx", "onnxscript"):
        try:
            importlib.import_module(name)
        except ImportError:
            raise ValueError(
                f"need the package {name} for ONNX; pip install 'eyespot[export]'"
            ) from None
    program = export_grounder(model, spec)
    with _quiet():
        made = torch.onnx.export(
            program,
            input_names=list(INPUTS),
            output_names=list(output_names(spec)),
            dynamo=True,
            verbose=False,
        )
    assert made is not None, "the exporter returns a program unless it is given a file"
    made.save(str(path))


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out what the exporter says of itself, such as that it misses torchvision."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
