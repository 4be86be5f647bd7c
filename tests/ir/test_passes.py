"""Passes: they shorten what is made, never change it; what is between them is verified."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings

from growplan.algebra import Expansion, Root
from growplan.diagnostics import DiagnosticError
from growplan.ir.equivalence import Nonsense, equivalent, stored_states
from growplan.ir.graph import Graph
from growplan.ir.passes import PASSES, preserved, run_passes
from growplan.ir.passes.one_step import as_one_step
from growplan.ir.primitives import CopyLayer, DuplicateRow, Load, Scale, SplitColumn, Store
from growplan.ir.text import parse_ir, print_ir
from growplan.ir.wellformed import well_formed
from tests.ir.build import GRAPHS
from tests.ir.builder import Builder, E
from tests.ir.mutants import mutants
from tests.ir.strategies import graphs


@pytest.mark.parametrize("name", GRAPHS)
def test_golden(name: str, golden) -> None:
    golden(print_ir(run_passes(GRAPHS[name]())))


@pytest.mark.parametrize("name", GRAPHS)
def test_each_pass_keeps_form_and_meaning(name: str) -> None:
    seen = []
    graph = GRAPHS[name]()
    final = run_passes(graph, lambda name, before, after: seen.append((name, before, after)))
    assert [name for name, _, _ in seen] == ["as_one_step", *(p.__name__ for p in PASSES)]
    for _, before, after in seen:
        assert well_formed(after) == []
        assert equivalent(before, after)
    assert equivalent(graph, final)
    assert stored_states(final).keys() == graph.models[-1].keys()
    assert parse_ir(print_ir(final)) == final


@given(graph=graphs())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_on_anything_well_formed(graph: Graph) -> None:
    sound = not any(isinstance(state.base, Nonsense) for state, _ in stored_states(graph).values())
    if sound and not well_formed(graph):
        assert equivalent(graph, run_passes(graph))


def test_composes_even_copies() -> None:
    """8→16→32 on the stream: one gather and one split per tensor."""
    final = run_passes(GRAPHS["doubled_twice"](1))
    maps = [n.op.map for n in final.nodes.values() if isinstance(n.op, DuplicateRow | SplitColumn)]
    assert set(maps) == {Expansion.circular(8, 32)}
    kinds = [type(n.op) for n in final.nodes.values()]
    assert kinds.count(SplitColumn) == 1
    assert kinds.count(DuplicateRow) == 6


def chain(ops: list, shape: tuple[int, ...] = (4, 4)) -> Graph:
    b = Builder({"w": shape})
    b.make("w", ops)
    b.end("s", "widen hidden 4→8")
    return b.done()


def made(graph: Graph) -> list:
    return [n.op for n in run_passes(graph).nodes.values() if not isinstance(n.op, Load | Store)]


TWICE = Expansion.circular(4, 8)


def test_composition_stops_where_the_language_does() -> None:
    uneven = E(8, ("copy", 8), ("copy", 1))
    halves = [SplitColumn(1, TWICE, "even"), SplitColumn(1, uneven, "even")]
    assert made(chain(halves)) == halves  # shares 1/4, 1/4, 1/2 are not even
    drawn = [SplitColumn(1, TWICE, "uneven", "k"), SplitColumn(1, Expansion.circular(8, 16), "even")]
    assert made(chain(drawn)) == drawn
    past_a_draw = [DuplicateRow(0, TWICE), SplitColumn(1, TWICE, "uneven", "k"), DuplicateRow(0, uneven)]
    assert made(chain(past_a_draw)) == past_a_draw


def test_composition_passes_by_other_dimensions() -> None:
    between = [SplitColumn(1, TWICE, "even"), Scale(Root.rational(2))]
    ops = [DuplicateRow(0, TWICE), *between, DuplicateRow(0, E(8, ("copy", 2, 3)))]
    assert made(chain(ops)) == [
        *between,
        DuplicateRow(0, E(4, ("copy", 1, 3), ("copy", 1, 0))),
    ]


def test_untouched_tensors_become_byte_copies() -> None:
    final = run_passes(GRAPHS["mean_then_stack"](2))
    ops = [final.nodes[i].op for i in final.nodes[final.stores["h.3.attn.c_attn.bias"]].inputs]
    assert ops == [Load("h.1.attn.c_attn.bias")]
    assert not any(isinstance(n.op, CopyLayer) for n in final.nodes.values())


def test_drops_what_nobody_stores() -> None:
    b = Builder({"w": (4,), "v": (4,)})
    b.make("w", [DuplicateRow(0, TWICE)])
    b.end("s", "widen hidden 4→8")
    graph = b.done()
    del graph.models[-1]["v"], graph.stores["v"], graph.nodes["store v"]
    final = run_passes(graph)
    assert list(final.nodes) == ["w@0", "w@1.1", "store w"]
    assert final.models == [{"w": "w@0"}, {"w": "w@1.1"}]


def test_order_is_depth_first() -> None:
    """At most one tensor's values, and what stacked copies share, are alive at once."""
    for name in GRAPHS:
        final = run_passes(GRAPHS[name](3))
        last = {i: at for at, n in enumerate(final.nodes.values()) for i in n.inputs}
        alive: set[str] = set()
        for at, node in enumerate(final.nodes.values()):
            alive = {v for v in alive if last[v] >= at}
            if node.id in last:
                alive.add(node.id)
            assert len(alive) <= 4


def test_a_pass_that_changes_a_tensor_is_caught() -> None:
    """Every single fault that leaves a graph well formed changes what is stored, and is found."""
    for name in GRAPHS:
        graph = as_one_step(GRAPHS[name](1))
        caught = 0
        for mutant in mutants(graph):
            if mutant.graph.nodes != graph.nodes and not well_formed(mutant.graph):
                same = equivalent(graph, mutant.graph)
                # layers are but names, and another input may be the same by another path
                assert not same or "copy_layer" in mutant.what or ": input" in mutant.what, mutant.what
                caught += not same
        assert caught > 10


def test_names_the_pass() -> None:
    graph = as_one_step(GRAPHS["masked"](1))
    node = graph.nodes["h.0.attn.c_attn.bias@1.1"]
    half = replace(node, op=DuplicateRow(0, node.op.map.scaled(Root.rational(1) / Root.rational(2))))
    broken = replace(graph, nodes={**graph.nodes, node.id: half})
    with pytest.raises(DiagnosticError) as error:
        preserved("compose_maps", graph, broken)
    found = error.value.diagnostics[0]
    assert (found.code, found.message) == ("GP272", "compose_maps stores another `h.0.attn.c_attn.bias`")
