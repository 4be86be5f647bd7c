"""The graph at the end of all ramps: growth masks are 1, so that every value is what was drawn or copied."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from growplan.ir.graph import Graph
from growplan.ir.primitives import Mask, Primitive, Store


def unmasked(graph: Graph, steps: Collection[int]) -> Graph:
    """`graph` with the masks of `steps` left out; its laws, which hold at masks of 0, are left out too."""
    instead: dict[str, str] = {}  # value -> what stands for it
    out = Graph()
    for id, node in graph.nodes.items():
        inputs = tuple(instead.get(name, name) for name in node.inputs)
        if isinstance(node.op, Mask) and node.step in steps:
            instead[id] = inputs[0]
        else:
            out.add(replace(node, inputs=inputs))
    out.models = [
        {name: instead.get(value, value) for name, value in model.items()} for model in graph.models
    ]
    out.steps = [replace(step, laws=(), modules=(), provenance=(), learned=()) for step in graph.steps]
    out.stores = dict(graph.stores)
    return out


def only(graph: Graph, tensors: Collection[str]) -> Graph:
    """`graph` with nothing stored, and nothing in its last model, but `tensors`."""
    last = {name: value for name, value in graph.models[-1].items() if name in tensors}
    stores = {name: value for name, value in graph.stores.items() if name in tensors}
    kept = {
        name: node
        for name, node in graph.nodes.items()
        if not isinstance(node.op, Store) or node.op.tensor in tensors
    }
    return Graph(kept, [*graph.models[:-1], last], list(graph.steps), stores)


def differing(stored: Graph, trained: Graph) -> tuple[str, ...]:
    """The tensors that two graphs store otherwise: by other primitives on the way."""
    return tuple(
        tensor
        for tensor, value in stored.stores.items()
        if _ops(stored, value) != _ops(trained, trained.stores[tensor])
    )


def _ops(graph: Graph, value: str) -> list[Primitive]:
    return [node.op for node in graph.chain(value)]
