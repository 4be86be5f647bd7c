"""Passes: a visible tuple of functions Graph -> Graph, verified one by one.

A pass acts on what is stored: it may change how a stored tensor is made, never what it is.
Assertions run on the graph as lowered, so passes work on a copy whose steps are one.
"""

from __future__ import annotations

from collections.abc import Callable

from growplan.diagnostics import DiagnosticError
from growplan.ir.equivalence import different_stores
from growplan.ir.graph import Graph
from growplan.ir.passes.carry_untouched import carry_untouched
from growplan.ir.passes.compose_maps import compose_maps
from growplan.ir.passes.eliminate_dead import eliminate_dead
from growplan.ir.passes.one_step import as_one_step
from growplan.ir.passes.order import order
from growplan.ir.wellformed import well_formed

Pass = Callable[[Graph], Graph]
Between = Callable[[str, Graph, Graph], None]

PASSES: tuple[Pass, ...] = (compose_maps, carry_untouched, eliminate_dead, order)


def preserved(name: str, before: Graph, after: Graph) -> None:
    """Raise what pass `name` broke: form, types, or the value of a stored tensor (GP272)."""
    findings = well_formed(after) or different_stores(before, after, name)
    if findings:
        raise DiagnosticError(*findings[:20])


def run_passes(graph: Graph, between: Between = preserved) -> Graph:
    """The graph to execute: the same stored tensors as `graph`, made with less.

    Its models are the source (as far as it is read) and the result; its one step stands for
    all, without laws. `between(name, before, after)` is called after every pass.
    """
    now = as_one_step(graph)
    between("as_one_step", graph, now)
    for each in PASSES:
        after = each(now)
        between(each.__name__, now, after)
        now = after
    return now
