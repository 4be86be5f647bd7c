"""The rewrite of one tensor, as a candidate asks for it: maps, shares, draws, grafts and grids."""

from __future__ import annotations

from typing import Literal

from growplan.algebra import Expansion
from growplan.check.rules import Refusal
from growplan.check.typed import ParamRewrite
from growplan.families.model import AxisExpr, Model, Module
from growplan.methods.base import Candidate, Grid


def param_rewrite(
    model: Model, candidate: Candidate, module: Module, leaf: str, rows: Expansion, cols: Expansion | None
) -> ParamRewrite:
    """The rewrite of one tensor: `rows` on the axis it writes, `cols` on the axis it reads.

    Raises Refusal where the candidate interpolates an axis that the tensor does not have alone.
    """
    noise, ids = candidate.noise, module.kind == "embedding" and leaf == "weight"
    return ParamRewrite(
        module.name,
        "weight" if leaf == "weight" else "bias",
        rows,
        cols,
        candidate.shares,
        "constant(1)" if candidate.masked and module.is_norm else candidate.init,
        candidate.masked,
        None if noise is None or module.outs.axes & set(noise.spared) else noise,
        _graft(model, candidate, module, rows, cols),
        _grid(candidate, module, leaf),
        made_rows=_made(model, candidate, module.outs),
        made_cols=_made(model, candidate, module.ins) if ids else None,
        null=candidate.null,
    )


def _made(model: Model, candidate: Candidate, axis: AxisExpr | None) -> Expansion | None:
    """How slices over an axis of ids are built, where the candidate says it."""
    tables = candidate.tables
    if axis is None or not axis.axes & set(tables):
        return None
    return axis.expansion({**candidate.maps, **tables}, model.sizes)


def _graft(
    model: Model, candidate: Candidate, module: Module, rows: Expansion, cols: Expansion | None
) -> Literal["", "rows", "cols"]:
    """Which side of a parameter takes its new units from the layer above (Candidate.graft)."""
    reading = candidate.graft
    if not reading or not module.in_layer or module.is_norm or model.depth < 2:
        return ""
    residual = "hidden" in module.outs.axes
    if rows.repeats and (reading == "rows" or not residual):
        return "rows"
    return "cols" if reading == "inner" and residual and cols is not None and cols.repeats else ""


def _grid(candidate: Candidate, module: Module, leaf: str) -> Grid | None:
    """How the rows of a table are interpolated, where the candidate says so of its axis."""
    grid = candidate.grid
    if grid is None or module.ins is None or leaf != "weight" or grid.axis not in module.ins.axes:
        return None
    if module.ins != AxisExpr(((grid.axis,),)):
        raise Refusal(f"a table with a row for each of `{grid.axis}`", str(module.ins), module.name)
    return grid
