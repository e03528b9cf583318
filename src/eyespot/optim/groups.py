"""Which parameters are decayed, and how much: parameter groups by kind of module.

Groups are as any torch optimizer takes them, empty ones left out, each with its `name` for logs.
Parameters that need no gradient are in no group. Make the groups after sharding: sharding replaces
parameters.
"""

from typing import Any

from torch import nn

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Modules whose gain and bias are a norm's; the first stands for all batch and instance norms."""


def groups_by_module(
    model: nn.Module,
    *,
    weight_decay: float,
    norm_decay: float | None = None,
    layer_norm_decay: float | None = None,
    bias_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Return four groups: gains and biases of norms, of layer norms, other biases, and the rest.

    pycls' rule, which it reads off the names ("bn", "ln", "bias"); the modules are asked here.
    Paper: Early Convolutions (arXiv 2106.14881), appendix, decays neither norms nor biases
    (`norm_decay=0, bias_decay=0`), and does decay the class token and position embedding, which
    are in the main group here.

    Args:
        model: Whose parameters.
        weight_decay: Of the main group.
        norm_decay: Of the "norm" group; the main one's by default.
        layer_norm_decay: Of the "layer norm" group; the "norm" group's by default.
        bias_decay: Of the "bias" group; the main one's by default.
    """
    norms = weight_decay if norm_decay is None else norm_decay
    decays = {
        "main": weight_decay,
        "norm": norms,
        "layer norm": norms if layer_norm_decay is None else layer_norm_decay,
        "bias": weight_decay if bias_decay is None else bias_decay,
    }
    return _groups(model, _kinds(model), decays)


def _kinds(model: nn.Module) -> dict[str, str]:
    """Say of each parameter's name which group it is in."""
    kinds = {}
    for path, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            kind = "bias" if name.endswith("bias") else "main"
            if isinstance(module, NORMS):
                kind = "layer norm" if isinstance(module, nn.LayerNorm) else "norm"
            kinds[f"{path}.{name}" if path else name] = kind
    return kinds


def _groups(
    model: nn.Module, kinds: dict[str, str], decays: dict[str, float]
) -> list[dict[str, Any]]:
    groups: dict[str, dict[str, Any]] = {
        kind: {"name": kind, "params": [], "weight_decay": decay} for kind, decay in decays.items()
    }
    for name, param in model.named_parameters():
        if param.requires_grad:
            groups[kinds[name]]["params"].append(param)
    return [group for group in groups.values() if group["params"]]
