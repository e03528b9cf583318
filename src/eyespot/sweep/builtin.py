"""Runs that come with the package: what there is to measure without training."""

from typing import Any

from eyespot.design.complexity import complexity as count
from eyespot.design.spec_files import spec_from_dict


def complexity(point: dict[str, Any]) -> dict[str, Any]:
    """Count the network of a point: params, flops (multiply-adds) and activations of one image.

    Raises:
        ValueError: If the point has no network.
    """
    return count(spec_from_dict(point["spec"]))._asdict()
