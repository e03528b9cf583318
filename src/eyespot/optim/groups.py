"""Which parameters are decayed: parameter groups by name, by kind of module, or as VISSL does.

Every function returns groups as any torch optimizer takes them, empty ones left out, each with its
`name` for logs. Parameters that need no gradient are in no group. Make the groups after sharding:
sharding replaces parameters.
"""

from typing import Any

from torch import nn

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
"""Modules whose gain and bias are a norm's; the first stands for all batch and instance norms."""


def groups_by_name(
    model: nn.Module,
    *,
    weight_decay: float,
    bn_decay: float | None = None,
    ln_decay: float | None = None,
    bias_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Return pycls's groups: a name with "bn" in it, else with "ln", else with "bias", else main.

    True to the reference, and true only to models named as it names them: `groups_by_module` asks
    the modules instead.

    Args:
        model: Whose parameters.
        weight_decay: Of the main group.
        bn_decay: Of the "bn" group; the main one's by default, as everywhere in the zoo's runs.
        ln_decay: Of the "ln" group, likewise.
        bias_decay: Of the "bias" group, likewise.
    """
    decays = {"bn": bn_decay, "ln": ln_decay, "bias": bias_decay}
    kinds = {
        name: next((kind for kind in decays if kind in name), "main")
        for name, _ in model.named_parameters()
    }
    return _groups(model, kinds, {"main": weight_decay} | _filled(decays, weight_decay))


def groups_by_module(
    model: nn.Module,
    *,
    weight_decay: float,
    norm_decay: float | None = None,
    bias_decay: float | None = None,
) -> list[dict[str, Any]]:
    """Return three groups: gains and biases of norms, all other biases, and the rest.

    Paper: Early Convolutions (arXiv 2106.14881), appendix, decays neither norms nor biases
    (`norm_decay=0, bias_decay=0`), and does decay the class token and position embedding, which
    are in the main group here.

    Args:
        model: Whose parameters.
        weight_decay: Of the main group.
        norm_decay: Of the "norm" group; the main one's by default.
        bias_decay: Of the "bias" group; the main one's by default.
    """
    decays = _filled({"norm": norm_decay, "bias": bias_decay}, weight_decay)
    return _groups(model, _kinds(model), {"main": weight_decay} | decays)


def vissl_groups(
    trunk: nn.Module,
    head: nn.Module,
    *,
    weight_decay: float,
    regularize_norms: bool,
    regularize_biases: bool,
    head_weight_decay: float | None = None,
    head_lr: float | None = None,
) -> list[dict[str, Any]]:
    """Return VISSL's groups: trunk and head, each with a decayed and an undecayed part.

    SwAV and SEER decay everything: both switches on.

    Args:
        trunk: Backbone.
        head: Projector and prototypes, or a classifier.
        weight_decay: Of the decayed parts.
        regularize_norms: Decay gains of norms; their biases too if `regularize_biases` is also on.
        regularize_biases: Decay all other biases.
        head_weight_decay: Of the head's decayed part; the trunk's by default.
        head_lr: Learning rate of the head's groups; the optimizer's by default.
    """
    groups = []
    for part, module, decay in (
        ("trunk", trunk, weight_decay),
        ("head", head, weight_decay if head_weight_decay is None else head_weight_decay),
    ):
        kinds = {}
        for name, kind in _kinds(module).items():
            is_bias = kind == "bias" or (kind == "norm" and _is_bias(name))
            decayed = (regularize_norms or kind != "norm") and (regularize_biases or not is_bias)
            kinds[name] = f"{part}, decayed" if decayed else f"{part}, not decayed"
        groups += _groups(module, kinds, {f"{part}, decayed": decay, f"{part}, not decayed": 0.0})
    if head_lr is not None:
        for group in groups:
            if group["name"].startswith("head"):
                group["lr"] = head_lr
    return groups


def _kinds(model: nn.Module) -> dict[str, str]:
    """Say of each parameter's name whether it is a norm's, another bias, or neither."""
    kinds = {}
    for path, module in model.named_modules():
        for name, _ in module.named_parameters(recurse=False):
            full_name = f"{path}.{name}" if path else name
            if isinstance(module, NORMS):
                kinds[full_name] = "norm"
            else:
                kinds[full_name] = "bias" if _is_bias(name) else "main"
    return kinds


def _is_bias(name: str) -> bool:
    return name.endswith("bias")


def _filled(decays: dict[str, float | None], default: float) -> dict[str, float]:
    return {kind: default if decay is None else decay for kind, decay in decays.items()}


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
