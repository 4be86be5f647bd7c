"""Lints: sound plans that train badly. Warnings, never errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    """Norm factors that half precision cannot hold widen the measured error."""
    if step.config and step.before.dtype in ("BF16", "F16"):
        yield Diagnostic(
            "GP903",
            f"norm scales are multiplied by an irrational or odd factor and rounded to "
            f"{step.before.dtype.lower()}: exact over the reals, the stored error is larger",
            step.span,
            help=("a multiple of the old size needs no factor",),
            severity="warning",
        )
