"""Load published weights into a network, all of them or none.

    report = load_weights(create_model("RegNetY-4.0GF"), "RegNetY-4.0GF_dds_8gpu.pyth")

Whatever does not fit (a tensor missing, left over, or of another shape) is one error that names it
and leaves the network as it was.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from eyespot.errors import WeightsError
from eyespot.models.features import FeatureExtractor
from eyespot.weights.checkpoints import ChannelOrder
from eyespot.weights.fit import LoadReport, fit_weights
from eyespot.weights.opened import open_weights


def load_weights(
    model: nn.Module,
    source: str | Path | Mapping[str, Any],
    *,
    head: Literal["load", "drop"] = "load",
    channel_order: ChannelOrder | None = None,
    prefix: str | None = None,
) -> LoadReport:
    """Load weights in any layout we know into a network, in place.

    Layouts: ours and pycls', timm's, torchvision's, transformers' (RegNets), ClassyVision's and
    VISSL's; bare, or inside the checkpoints these write. A feature extractor takes the weights of
    the whole network. Position embeddings of another grid are resampled, and the report says so.

    Args:
        model: The network; it takes RGB images afterwards.
        source: A file, or a state dict or checkpoint in memory.
        head: "drop" leaves the network's classifier as it is, whatever the weights hold.
        channel_order: What the weights expect; "bgr" flips the first convolution. When not given,
            a whole checkpoint of pycls is BGR and everything else is RGB.
        prefix: Where the backbone is part of a larger network: what its keys start with.

    Returns:
        What was loaded and what was not.

    Raises:
        WeightsError: If the file is damaged or of an unknown layout, or anything is missing, left
            over or of another shape; the network is unchanged.
        OSError: If the file cannot be opened.
    """
    cut = isinstance(model, FeatureExtractor)
    body: nn.Module = model.body if isinstance(model, FeatureExtractor) else model
    own = body.state_dict()
    empty = [name for name, tensor in own.items() if tensor.is_meta]
    if empty:
        raise WeightsError(
            f"need a network with memory for its weights, got {empty[0]} and {len(empty) - 1} more "
            'on the meta device; call model.to_empty(device="cpu") first'
        )
    weights = open_weights(source, channel_order=channel_order, prefix=prefix)
    chosen, report = fit_weights(body, weights, head=head, cut=cut)
    with torch.no_grad():
        for name, tensor in chosen.items():
            own[name].copy_(tensor)
    return report
