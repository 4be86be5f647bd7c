"""Options that nothing in a plan reads, which only its proofs show: refused, since they would be ignored."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from growplan.check.typed import ParamRewrite, TypedStep
from growplan.diagnostics import Diagnostic
from growplan.language.plan import Step


def idle_options(written: Sequence[Step], steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """GP230: `noise` where no unit is copied and no leaf has it, `init` beside rows where nothing is drawn.

    A step's options hold for the steps that it implies too. A step that grows nothing is left alone.
    """
    for step in written:
        own = [s for s in steps if s.id == step.id or (s.implied and s.id.startswith(f"{step.id}/"))]
        if step.verb not in ("widen", "grow") or not any(old != new for s in own for _, old, new in s.axes):
            continue
        rewrites = [rewrite for s in own for rewrite in s.rewrites]
        if any(s.operator is not None for s in own):
            if "noise" in step.options and not any(map(_noisy, own)):
                message = "`noise` is that of `-noisy` inits, and of a ring's other bonds: here is neither"
                yield Diagnostic("GP230", message, step.place("noise"), help=("leave `noise` out",))
            continue
        noise, rows = step.options.get("noise", "none"), step.options.get("rows", "fresh")
        if noise != "none" and not any(rewrite.has_noise for rewrite in rewrites):
            message = "`noise` cancels over the copies of a unit, and this step copies none"
            yield Diagnostic("GP230", message, step.place("noise"), help=("leave `noise` out",))
        if "init" in step.options and rows != "fresh" and not any(map(_draws, rewrites)):
            message = f"`init` is how new rows are drawn, and `rows {rows}` draws none"
            ways = ("leave `init` out", "or write `rows fresh`")
            yield Diagnostic("GP230", message, step.place("init"), help=ways)


def _noisy(step: TypedStep) -> bool:
    """Whether a leaf of the step begins with noise in it."""
    return any(
        leaf.init.endswith("-noisy") or (len(leaf.shape) == 4 and max(leaf.shape[0], leaf.shape[3]) > 1)
        for leaf in step.leaves
    )


def _draws(rewrite: ParamRewrite) -> bool:
    """Whether a row or column is neither an old one nor a mean of them."""
    maps = (rewrite.made_rows or rewrite.rows, rewrite.made_cols or rewrite.cols)
    return any(run.kind not in ("copy", "mean") for e in maps if e is not None for run in e.runs)
