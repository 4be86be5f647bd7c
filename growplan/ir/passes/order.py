"""Pass: an order with a small working set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from growplan.ir.graph import Graph, Node
from growplan.ir.primitives import Leaf, Load, Store


def order(graph: Graph) -> Graph:
    """One stored tensor after another, depth first; tensors that share a source stand together.

    before:   all loads, then all values, then all stores
    after:    load a | … | store a, load b | … | store b, …     in the order of the source

    A value lives from its making to its last reader, so what is held at once is one tensor's
    values, and those that tensors made from the same source share. Values are renamed after
    the tensor that they are made for.
    """
    if not graph.steps:
        return graph
    tensors = {id: tensor for tensor, id in graph.stores.items()}
    names: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for store, needed in _depth_first(graph):
        made = 0
        for id in needed:
            node = graph.nodes[id]
            if not isinstance(node.op, Leaf | Load | Store):
                made += 1
            name = id if isinstance(node.op, Leaf | Load | Store) else f"{tensors[store]}@1.{made}"
            names[id] = name
            nodes[name] = replace(node, id=name, inputs=tuple(names[i] for i in node.inputs))
    models = [{tensor: names.get(v, v) for tensor, v in model.items()} for model in graph.models]
    return Graph(nodes, models, graph.steps, graph.stores)


def _depth_first(graph: Graph) -> Iterator[tuple[str, list[str]]]:
    """(store, the values it needs that no store before it needed, inputs first, itself last)."""
    import networkx as nx

    reads: Any = nx.DiGraph()
    reads.add_nodes_from(graph.nodes)
    reads.add_edges_from((node.id, name) for node in graph.nodes.values() for name in node.inputs)
    place = {id: at for at, id in enumerate(graph.nodes)}
    groups = sorted(nx.weakly_connected_components(reads), key=lambda group: min(place[id] for id in group))
    done: set[str] = set()
    for group in groups:
        stores = (id for id in group if isinstance(graph.nodes[id].op, Store))
        for store in sorted(stores, key=place.__getitem__):
            needed = [id for id in nx.dfs_postorder_nodes(reads, store) if id not in done]
            done.update(needed)
            yield store, needed
