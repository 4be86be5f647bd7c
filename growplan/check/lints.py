"""Lints: sound plans that train badly. Warnings, never errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from growplan.algebra import Root
from growplan.check.typed import TypedStep
from growplan.diagnostics import Diagnostic


def lint(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """Every warning about the steps of a checked plan."""
    for step in steps:
        yield from _twins(step)
        yield from _dead(step)
        yield from _rounding(step)


def _twins(step: TypedStep) -> Iterator[Diagnostic]:
    """Copies with even shares and no noise get identical gradients and stay identical."""
    copied = [axis for axis, e in step.maps.items() if e.most_copies > 1]
    if copied and step.rewrites and step.rewrites[0].shares == "even":
        yield Diagnostic(
            "GP901",
            f"copies of {', '.join(f'`{a}`' for a in copied)} share their weights evenly: "
            "a deterministic optimiser keeps them identical for ever",
            step.span,
            help=("`split uneven`, which is as exact",),
            severity="warning",
        )


def _dead(step: TypedStep) -> Iterator[Diagnostic]:
    """Zero rows read by zero columns never get a gradient."""
    zero_rows = step.stream is not None and {"zero", "mean"} & step.stream.kinds
    if zero_rows and step.rewrites and step.rewrites[0].init in ("normal(0)", "normal(0.0)"):
        yield Diagnostic(
            "GP902",
            "new units are zero on both sides: they never get a gradient",
            step.span,
            help=("leave `init like`, or give `normal(STD)` a positive STD",),
            severity="warning",
        )


def _rounding(step: TypedStep) -> Iterator[Diagnostic]:
    """Factors on stored tensors that half precision cannot hold widen the measured error."""
    if step.before.dtype not in ("BF16", "F16"):
        return
    factors = {c for r in step.rewrites for c in r.rows.scales if not _power_of_two(c)}
    if factors:
        shown = ", ".join(sorted(map(str, factors))[:3])
        yield Diagnostic(
            "GP903",
            f"weights are multiplied by {shown} and rounded to {step.before.dtype.lower()}: exact over the "
            "reals, the stored error is larger",
            step.span,
            help=(_clean_sizes(step),),
            severity="warning",
        )


def _clean_sizes(step: TypedStep) -> str:
    """Sizes that need no factor, or one that every float holds."""
    if any(axis == "head_dim" for axis, _, _ in step.axes):
        return "4 times the old head size needs a factor of 2, which every float holds"
    return "a multiple of the old size needs no factor, or a power of two"


def _power_of_two(c: Root) -> bool:
    value = c.as_rational()
    if value is None or value == 0:
        return value is not None
    parts = (abs(value.numerator), value.denominator)
    return all(part & (part - 1) == 0 for part in parts)
