"""A checked plan as one self-contained page: no scripts, no requests."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from growplan.check.typed import TypedPlan, TypedStep
from growplan.views import numbers
from growplan.views.names import model_line, shown_axes, step_title
from growplan.views.show.table import ParameterRow, parameters

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --exact: #1a7f37; --approximate: #9a6700; --none: #777; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .75rem; text-align: left; }
td.n, th.n { text-align: right; }
ol { padding-left: 1.2rem; } li { margin: .6rem 0; }
code { font-family: ui-monospace, monospace; }
.claim { border-radius: 1rem; padding: 0 .6rem; color: #fff; font-size: .85em; }
.exact { background: var(--exact); } .approximate { background: var(--approximate); }
.none { background: var(--none); }
.why { opacity: .75; font-size: .92em; }
"""


def render(typed: TypedPlan, name: str) -> str:
    """The page."""
    claim = typed.claim
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(name)}</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(name)} <span class='claim {claim.strength}'>{escape(str(claim))}</span></h1>",
        f"<p>{escape(model_line(typed.source))}, in eval mode (dropout off)</p>",
        "<h2>Sizes</h2>",
        _sizes(typed),
        "<h2>Steps</h2><ol>",
        *(_step(step) for step in typed.steps),
        "</ol><h2>Cost</h2>",
        _cost(typed),
        "<h2>Parameters</h2>",
        _parameters(parameters(typed)),
        "</body></html>",
    ]
    return "\n".join(parts)


def _table(head: Iterable[str], rows: Iterable[Iterable[str]], numeric: bool = True) -> str:
    kind = " class='n'" if numeric else ""

    def cells(tag: str, row: Iterable[str]) -> str:
        return "".join(f"<{tag}{kind if k else ''}>{escape(c)}</{tag}>" for k, c in enumerate(row))

    body = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f"<table><tr>{cells('th', head)}</tr>{body}</table>"


def _sizes(typed: TypedPlan) -> str:
    before, after = typed.source.sizes, typed.target.sizes
    axes = shown_axes(before, after)
    rows = ((axis, str(before.get(axis, "")), str(after.get(axis, ""))) for axis in axes)
    return _table(("axis", "before", "after"), rows)


def _step(step: TypedStep) -> str:
    claim = step.proof.claim
    reasons = "".join(f"<div class='why'>{escape(reason)}</div>" for reason in step.proof.reasons)
    how = f" · {escape(step.candidate)}" if step.candidate else ""
    return (
        f"<li><code>{escape(step_title(step))}</code>{how} "
        f"<span class='claim {claim.strength}'>{escape(str(claim))}</span>{reasons}</li>"
    )


def _cost(typed: TypedPlan) -> str:
    old, new = typed.cost_before, typed.cost_after
    rows = [
        ("parameters", numbers.count(old.parameters), numbers.count(new.parameters)),
        ("FLOPs per token", numbers.flops(old.flops_per_token), numbers.flops(new.flops_per_token)),
        ("checkpoint", numbers.size(old.bytes), numbers.size(new.bytes)),
        ("peak memory while applying", "", numbers.size(typed.peak_memory)),
    ]
    return _table(("", "before", "after"), rows)


def _parameters(rows: Iterable[ParameterRow]) -> str:
    def shape(value: tuple[int, ...] | None) -> str:
        return "" if value is None else " × ".join(map(str, value))

    def steps(row: ParameterRow) -> str:
        return ", ".join(map(str, row.steps)) or "carried"

    body = ((r.name, shape(r.before), shape(r.after), steps(r)) for r in rows)
    return _table(("tensor", "before", "after", "steps"), body, numeric=False)
