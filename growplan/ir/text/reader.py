"""From a parsed `growir` text to a graph: loops unrolled, names resolved, implied parts filled in."""

from __future__ import annotations

from growplan.diagnostics import Source
from growplan.ir.graph import Graph, Node
from growplan.ir.primitives import Load, Store
from growplan.ir.text.implied import implied_id
from growplan.ir.text.step_reader import StepReader
from growplan.ir.text.terms import Parsed, Terms, first, trees, turns


def read_graph(tree: Parsed, source: Source) -> Graph:
    """The graph of a whole text."""
    graph = Graph()
    terms = Terms(source)
    graph.models.append({})
    for load, turn in turns(trees(tree, "source")[0], terms, "load_loop"):
        _read_load(graph, load, turn)
    for step in trees(tree, "step"):
        StepReader(graph, terms, step).read()
    _read_stores(graph, tree, terms)
    return graph


def _read_load(graph: Graph, tree: Parsed, terms: Terms) -> None:
    tensor = terms.names(tree)[0]
    ids = terms.ids(tree)
    id = ids[0] if ids else implied_id(tensor, 0, 0)
    if tensor in graph.models[0] or id in graph.nodes:
        terms.refuse("GP252", f"`{tensor}` is read twice", tree)
    graph.models[0][tensor] = id
    graph.nodes[id] = Node(id, Load(tensor), (), terms.type(trees(tree, "type")[0]), 0)


def _read_stores(graph: Graph, tree: Parsed, terms: Terms) -> None:
    last = graph.models[-1]
    if first(tree, "store_model") is not None:
        for tensor, value in last.items():
            id = f"store {tensor}"
            graph.nodes[id] = Node(id, Store(tensor), (value,), graph.nodes[value].type, len(graph.steps))
            graph.stores[tensor] = id
        return
    for store, turn in turns(trees(tree, "store_listed")[0], terms, "store_loop"):
        (tensor,), (value,) = turn.names(store), turn.ids(store)
        if value not in graph.nodes:
            turn.refuse("GP251", f"no value is called `%{value}`", store)
        graph.stores[tensor] = value
