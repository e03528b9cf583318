"""A classifier behind the first layer of a pretraining head, for fine-tuning with few labels.

Papers: SimCLRv2 (arXiv 2006.10029), section 3; SEER (arXiv 2103.01988), section 4.2, as VISSL runs
it: linear layer, batch norm, ReLU, classifier.
"""

import torch
from torch import nn

from eyespot.errors import RecipeError
from eyespot.models.convnet import ConvNet
from eyespot.models.vit import ViT


def keep_projection_(network: ConvNet | ViT, first: nn.Linear, norm: nn.BatchNorm1d | None) -> None:
    """Put a projector's first layer before a network's classifier, which is drawn anew.

    Args:
        network: With a classifier.
        first: The layer, of the width of the network's features.
        norm: The batch norm that followed it; a new one if there was none.

    Raises:
        RecipeError: If the widths differ, or there is no classifier.
    """
    old = network.get_classifier()
    if not isinstance(old, nn.Linear) or old.in_features != first.in_features:
        width = old.in_features if isinstance(old, nn.Linear) else "no"
        raise RecipeError(
            f"need a projection of the network's features, got one of {first.in_features} values "
            f"and a classifier of {width}"
        )
    last = nn.Linear(first.out_features, old.out_features)
    nn.init.normal_(last.weight, 0.0, 0.01)
    nn.init.zeros_(last.bias)
    norm = norm if norm is not None else nn.BatchNorm1d(first.out_features)
    device = old.weight.device
    classifier = nn.Sequential(first, norm, nn.ReLU(inplace=True), last).to(device)
    with torch.no_grad():
        if isinstance(network, ConvNet):
            network.head.fc = classifier
        else:
            network.head = classifier
