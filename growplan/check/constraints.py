"""Hard constraints of a family, held against the sizes where a plan ends."""

from __future__ import annotations

from growplan.diagnostics import Span, fail
from growplan.families import evaluate_size
from growplan.families.model import Model


def check_constraints(model: Model, source: Model, span: Span | None) -> None:
    """Every `a % b == 0` of the family. Raises GP203 with the nearest sizes that `source` can grow to."""
    for left, right in model.family.constraints:
        a, b = evaluate_size(left, model.sizes), evaluate_size(right, model.sizes)
        if a % b:
            below = int(a // b * b)
            sizes = [size for size in (below, below + int(b)) if size >= evaluate_size(left, source.sizes)]
            fail(
                "GP203",
                f"no transformers config can express the result: {left} {a} is no multiple of {right} {b}",
                span,
                help=f"use {left} {' or '.join(map(str, sizes))}",
            )
