"""The textual form of a graph, for people who review what a plan does to each tensor.

`parse_ir(print_ir(graph)) == graph`. Per step: what it sets, then one statement per tensor,
its law first and then the primitives that make it from the tensor before the step:

    h.{i}.mlp.c_proj.weight: f32[3072, 1024]
      law [copy 0:768, copy 0:768] -> stream
      | duplicate_row dim 1 by law
      | ln_average dim 1 at 768:1024

A law is written in the order of the tensor's dimensions, the arrow from what is read to what
is written. What follows from the rest is left out: types that a primitive implies, ids of
the form TENSOR@STEP.NUMBER, maps that are the law's, tensors that a step leaves alone.
"""

from __future__ import annotations

from collections.abc import Iterable

from growplan.ir.graph import Graph, Node
from growplan.ir.primitives import Store
from growplan.ir.text import words
from growplan.ir.text.fold import Statement, fold, lines, statement
from growplan.ir.text.implied import implied_id
from growplan.ir.text.step_text import StepText


def print_ir(graph: Graph) -> str:
    """A graph as `growir` text, ending in a newline."""
    plain = _stored_plainly(graph)
    done = set(graph.stores.values()) if plain else set()
    steps = [StepText(graph, k, done).text() for k in range(1, len(graph.steps) + 1)]
    stores = "store model" if plain else _stores(graph)
    return "\n\n".join(["growir 1", _source(graph), *steps, stores]) + "\n"


def _source(graph: Graph) -> str:
    """What is read: the tensors of `models[0]` and their types."""
    model = graph.models[0] if graph.models else {}
    return _block("source", [_load(tensor, graph.nodes[value]) for tensor, value in model.items()])


def _load(tensor: str, node: Node) -> Statement:
    id = "" if node.id == implied_id(tensor, 0, 0) else f" as {words.value(node.id)}"
    return statement(f"{words.name(tensor)}: {node.type}{id}", tensor)


def _stored_plainly(graph: Graph) -> bool:
    """Whether the last model is stored, whole, by values called `store TENSOR`."""
    last = graph.models[-1] if graph.models else {}
    return graph.stores == {tensor: f"store {tensor}" for tensor in last} and all(
        graph.nodes.get(id)
        == Node(id, Store(tensor), (last[tensor],), graph.nodes[last[tensor]].type, len(graph.steps))
        for tensor, id in graph.stores.items()
    )


def _stores(graph: Graph) -> str:
    listed = [statement(f"{words.name(t)} = {words.value(v)}", t) for t, v in graph.stores.items()]
    order = [tensor for model in graph.models for tensor in model]
    return _block("store", listed, order)


def _block(head: str, statements: list[Statement], order: Iterable[str] = ()) -> str:
    return "\n".join([f"{head} {{", *lines(fold(statements, order), "  "), "}"])
