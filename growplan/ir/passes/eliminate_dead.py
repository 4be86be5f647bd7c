"""Pass: values that nothing stored needs go."""

from __future__ import annotations

from growplan.ir.graph import Graph


def eliminate_dead(graph: Graph) -> Graph:
    """Keep what the stores need; a source tensor that nobody reads is not read.

    before:   nodes of every value, of tensors that were dropped or replaced too
    after:    nodes from which a store can be reached
    """
    alive: set[str] = set()
    stack = list(graph.stores.values())
    while stack:
        id = stack.pop()
        if id not in alive:
            alive.add(id)
            stack.extend(graph.nodes[id].inputs)
    nodes = {id: node for id, node in graph.nodes.items() if id in alive}
    source, *rest = graph.models
    kept = {tensor: value for tensor, value in source.items() if value in alive}
    return Graph(nodes, [kept, *rest], graph.steps, graph.stores)
