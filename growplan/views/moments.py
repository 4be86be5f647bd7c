"""What becomes of an optimizer's state, in words: lines of `growplan check --optimizer`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from growplan.ir.moment_report import MomentGroup, StepMoments
from growplan.views import numbers

SHOWN = 2  # tensors that a group names


def moment_facts(step: StepMoments, *, rules: bool = False) -> Iterator[tuple[str, str]]:
    """`adam  exact in 24 tensors: …`, a line for every group; `rules`: one for each primitive too."""
    for group in step.groups:
        yield "adam", _group(group)
    if rules:
        for name, (kind, says) in step.rules.items():
            yield "rule", f"{name}: {kind}, {says}"


def _group(group: MomentGroup) -> str:
    count = numbers.plural(len(group.tensors), "tensor")
    if group.kind == "exact":
        return f"exact in {count}: {_factors(group)}{_fresh(group)}"
    named = ", ".join(group.tensors[:SHOWN]) + (", …" if len(group.tensors) > SHOWN else "")
    return f"{group.kind} in {count} ({named}): {group.why}{_fresh(group)}"


def _factors(group: MomentGroup) -> str:
    """`m × 1/2, v × 1/4 in 20, unchanged in 4`."""
    parts = []
    if (same := group.factors.get("1", 0)) == len(group.tensors):
        return "unchanged"
    for factor, count in group.factors.items():
        parts.append(
            f"m × {factor} and v × its square in {count}" if factor != "1" else f"unchanged in {same}"
        )
    if group.mixed:
        parts.append(f"m × several factors and v × their squares in {group.mixed}")
    return ", ".join(parts)


def _fresh(group: MomentGroup) -> str:
    if not group.fresh:
        return ""
    return f"; new slices of {group.fresh} begin with m = 0 and the mean of v"


def moment_data(step: StepMoments) -> dict[str, Any]:
    """The moments of a step as plain values."""
    return {
        "step": step.id,
        "exact": step.count("exact"),
        "estimate": step.count("estimate"),
        "reset": step.count("reset"),
        "groups": [
            {
                "kind": group.kind,
                "why": group.why,
                "tensors": list(group.tensors),
                "factors": dict(group.factors),
                "mixed": group.mixed,
                "fresh": group.fresh,
            }
            for group in step.groups
        ],
        "rules": {name: {"kind": kind, "does": says} for name, (kind, says) in step.rules.items()},
    }
