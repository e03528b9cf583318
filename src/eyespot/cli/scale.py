"""`eyespot scale`: scale a network by a factor, or to a budget."""

import json
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, arg

from eyespot.cli.predicted import latency_budget, memory_budget
from eyespot.design.budget import Fit, fit_budget
from eyespot.design.by_name import count_budgets, to_spec
from eyespot.design.quantities import short
from eyespot.design.scaling import ScaleReport, scale_with_report
from eyespot.design.spec_files import spec_to_dict, write_spec
from eyespot.design.specs import Spec, ViTSpec


def scale(
    name: Annotated[Positional[str], arg(metavar="NETWORK")],
    factor: float | None = None,
    flops: str | None = None,
    params: str | None = None,
    acts: str | None = None,
    latency_ms: float | None = None,
    memory_gb: float | None = None,
    batch: int = 1,
    calibration: Path | None = None,
    strategy: str = "dWr",
    out: Path | None = None,
    as_json: Annotated[bool, arg(name="json")] = False,
) -> None:
    """Scale a network by a factor of its flops, or to the largest one within a budget.

    Args:
        name: A name (`eyespot models`) or a spec.json.
        factor: Grow flops by this factor (below 1 shrinks).
        flops: At most so many multiply-adds, such as 4G.
        params: At most so many parameters, such as 20M.
        acts: At most so many activations, such as 15M.
        latency_ms: At most so many milliseconds a batch, by `eyespot calibrate` on this device.
        memory_gb: At most so many gigabytes (1e9 bytes) to train in bfloat16 with SGD.
        batch: Images a batch, for latency and memory.
        calibration: The calibration.json of another device or setting, for latency.
        strategy: d, w, r, dw, dr, wr, dwr, dWr, a type string such as d1_w8_g8_r1, or alpha=0.8.
        out: Write the scaled network here as a spec.json.
        as_json: Print JSON.
    """
    spec = to_spec(name)
    budgets = count_budgets(flops=flops, params=params, acts=acts)
    if latency_ms is not None:
        budgets.append(latency_budget(latency_ms, calibration, batch))
    if memory_gb is not None:
        budgets.append(memory_budget(memory_gb, batch))
    if (factor is None) == (not budgets):
        raise ValueError("need --factor, or one or more budgets (--flops, ...), and not both")
    if budgets:
        fit = fit_budget(spec, strategy, budgets)
        scaled, report = fit.spec, fit.report
    else:
        assert factor is not None
        fit = None
        scaled, report = scale_with_report(spec, strategy, factor)
    if out is not None:
        write_spec(scaled, out)
    if as_json:
        print(json.dumps(_as_data(scaled, report, fit)))
    else:
        _print_report(name, spec, scaled, report, fit)
        if out is not None:
            print(f"written: {out}")


def _as_data(scaled: Spec, report: ScaleReport, fit: Fit | None) -> dict[str, Any]:
    data: dict[str, Any] = {
        "spec": spec_to_dict(scaled),
        "strategy": report.strategy,
        "factor": report.factor,
        "asked": report.asked._asdict(),
        "before": report.before._asdict(),
        "after": report.after._asdict(),
        "flops_growth": report.flops_growth,
        "notes": list(report.notes),
    }
    if fit:
        data["budget"] = {"asked": fit.asked, "got": fit.got, "next_larger": fit.above}
    return data


def _print_report(
    name: str, base: Spec, scaled: Spec, report: ScaleReport, fit: Fit | None
) -> None:
    print(f"{name} scaled by {report.factor:.4g} with {report.strategy}")
    print(f"  {'':10} {'before':>26} {'after':>30}")
    for label, before, after in _shape_rows(base, scaled):
        print(f"  {label:10} {before:>26} {after:>30}")
    for field in report.before._fields:
        old, new = getattr(report.before, field), getattr(report.after, field)
        print(f"  {field:10} {short(old):>26} {short(new):>30}  x{new / old:.3f}")
    asked = ", ".join(f"{k} x{v:.3f}" for k, v in report.asked._asdict().items() if v != 1)
    print(f"rounding: asked {asked or 'no change'}; flops x{report.factor:.3f} asked, ", end="")
    print(f"x{report.flops_growth:.3f} got")
    for note in report.notes:
        print(f"  {note}")
    if fit:
        for field, limit in fit.asked.items():
            got, above = fit.got[field], fit.above[field]
            print(
                f"{field} budget: asked {short(limit)}, got {short(got)} ({got / limit:.1%}); ",
                end="",
            )
            print(f"the next larger network has {short(above)}")


def _shape_rows(base: Spec, scaled: Spec) -> list[tuple[str, str, str]]:
    if isinstance(base, ViTSpec):
        fields = ["depth", "hidden_dim", "num_heads", "mlp_dim", "image_size"]
    else:
        fields = ["depths", "widths", "group_widths", "image_size"]

    def text(spec: Spec, field: str) -> str:
        value = getattr(spec, field)
        return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)

    return [
        (field, text(base, field), text(scaled, field)) for field in fields if hasattr(base, field)
    ]
