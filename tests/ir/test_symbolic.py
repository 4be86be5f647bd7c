"""The verifier against arithmetic: what it proves holds, and what it refuses does not."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from growplan.algebra import Expansion, Run
from growplan.ir.graph import Graph
from growplan.ir.primitives import SplitColumn
from growplan.ir.verify import verify
from growplan.ir.wellformed import well_formed
from tests.ir.builder import Builder
from tests.ir.dense import law_holds, run
from tests.ir.mutants import mutants

ROWS = ("copy", "mean", "zero", "free")
LAW_CODES = {"GP260", "GP264", "GP265", "GP266"}


@st.composite
def maps(draw: st.DrawFn, old: int) -> Expansion:
    """A map that keeps every unit: some copies again, and rows of one other kind."""
    runs = [Run("copy", old)]
    for _ in range(draw(st.integers(0, 2))):
        start = draw(st.integers(0, old - 1))
        runs.append(Run("copy", draw(st.integers(1, old - start)), start))
    runs = list(draw(st.permutations(runs)))
    kind = draw(st.sampled_from(ROWS))
    return Expansion(old, (*runs, Run(kind, draw(st.integers(0, 2)))))  # type: ignore[arg-type]


@st.composite
def rewrites(draw: st.DrawFn) -> Graph:
    """One matrix, one step, lowered as a linear is."""
    shape = (draw(st.integers(2, 4)), draw(st.integers(2, 4)))
    row_dim = draw(st.integers(0, 1))
    b = Builder({"w": shape, "v": shape})
    rows, cols = draw(maps(shape[row_dim])), draw(maps(shape[1 - row_dim]))
    shares = draw(st.sampled_from(["even", "uneven", "first", "own"])) if cols.most_copies > 1 else "even"
    noise = draw(st.sampled_from(["", "centred", "first", "paired"]))
    b.linear("w", rows, cols, row_dim, shares, masked=draw(st.booleans()), noise=noise)
    b.end("s", "widen hidden")
    return b.done()


def holds(graph: Graph, seed: int) -> bool:
    rng = Random(seed)
    values = run(graph, rng)
    (law,) = graph.steps[0].laws
    return law_holds(law, values[graph.models[0][law.source]], values[graph.models[1]["w"]], rng)


@given(graph=rewrites(), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_what_lowering_makes_is_proved_and_true(graph: Graph, seed: int) -> None:
    assert verify(graph) == []
    assert holds(graph, seed)


@given(graph=rewrites(), data=st.data(), seed=st.integers(0, 99))
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
def test_a_fault_is_refused_just_where_it_is_one(graph: Graph, data: st.DataObject, seed: int) -> None:
    """Sound: what is proved is true. Not vacuous: what the law refuses is false."""
    faults = [m for m in mutants(graph) if not well_formed(m.graph) and m.graph.steps[0].laws]
    assume(faults)
    mutant = data.draw(st.sampled_from(faults))
    found = verify(mutant.graph)
    codes = {"strict" if "before they are written" in d.message else d.code for d in found}
    if not codes:
        assert holds(mutant.graph, seed), mutant.what
    elif codes <= LAW_CODES and not _reads_its_own(mutant.graph):
        assert not holds(mutant.graph, seed), mutant.what


def _reads_its_own(graph: Graph) -> bool:
    """Shares by rank: a copy that no row reads may be of any unit, which the proof does not look into."""
    ops = (node.op for node in graph.nodes.values())
    return any(isinstance(op, SplitColumn) and op.shares == "own" for op in ops)


@pytest.mark.parametrize("seed", range(3))
def test_the_oracle_is_no_yes_man(seed: int) -> None:
    b = Builder({"w": (3, 3), "v": (3, 3)})
    b.linear("w", Expansion.circular(3, 5), Expansion.circular(3, 5))
    b.end("s", "widen hidden")
    graph = b.done()
    assert holds(graph, seed)
    for mutant in mutants(graph):
        if "doubled" in mutant.what:
            assert not holds(mutant.graph, seed)
