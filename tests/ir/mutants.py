"""Single faults planted in a graph: every one of them must be found by the verifier.

A mutant keeps what it can of shapes and types, so that it is the law that must object. What no
law can see is left alone: how free slices are drawn, the names of masks, config and module laws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from growplan.algebra import Expansion
from growplan.ir.graph import Graph, Node, TensorType
from growplan.ir.primitives import (
    AddNoise,
    AddNull,
    BlendLayers,
    CopyLayer,
    CopyTensor,
    CoreMatrix,
    DropUnits,
    DuplicateRow,
    Fill,
    Fresh,
    FromLeaf,
    Graft,
    Join,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Pack,
    Primitive,
    Project,
    Resample,
    RescaleNorm,
    RingMap,
    SampleUnits,
    Scale,
    SplitColumn,
    Store,
    Transform,
    ZeroOut,
)
from tests.ir.law_mutants import TWO, faults_of_cut, faults_of_map, faults_of_step


@dataclass(frozen=True)
class Mutant:
    what: str
    graph: Graph


def mutants(graph: Graph) -> Iterator[Mutant]:
    """Every mutant of a graph that differs from it."""
    for mutant in _all(graph):
        if mutant.graph != graph:
            yield mutant


def _all(graph: Graph) -> Iterator[Mutant]:
    for node in graph.nodes.values():
        for what, op in _ops(node.op):
            yield Mutant(f"{node.op.name} of {node.id}: {what}", _with_node(graph, replace(node, op=op)))
        for what, changed in _nodes(graph, node):
            yield Mutant(f"{node.op.name} of {node.id}: {what}", _with_node(graph, changed))
        if node.inputs and not isinstance(node.op, Store):
            yield Mutant(f"{node.op.name} of {node.id}: dropped", _without(graph, node))
    for k, step in enumerate(graph.steps):
        for what, changed_step in faults_of_step(step):
            steps = [*graph.steps[:k], changed_step, *graph.steps[k + 1 :]]
            yield Mutant(f"step {step.index}: {what}", replace(graph, steps=steps))
    yield from _bindings(graph)


# one primitive -----------------------------------------------------------------------------------


def _ops(op: Primitive) -> Iterator[tuple[str, Primitive]]:
    match op:
        case DuplicateRow(map=map) | SplitColumn(map=map):
            for what, e in faults_of_map(map):
                yield what, replace(op, map=e)
            yield "other dim", replace(op, dim=1 - op.dim)
            if isinstance(op, SplitColumn):
                if op.shares == "own":
                    yield "no rows", replace(op, rows=None)
                elif op.shares == "first":
                    yield "drawn without a key", replace(op, shares="uneven")
                elif op.shares == "even":
                    yield "other shares", replace(op, shares="uneven")
                elif max(map.counts) > 1:
                    yield "no key", replace(op, key="")
        case AddNull(map=map):
            for what, e in faults_of_map(map):
                yield what, replace(op, map=e)
            yield "other dim", replace(op, dim=1 - op.dim)
            yield "no key", replace(op, key="")
            for pairing in {"centred", "first", "paired"} - {op.pairing}:
                yield f"{pairing} instead", replace(op, pairing=pairing)
        case LnAverage():
            yield "flipped coefficient", replace(op, c=-op.c)
            yield "zero out instead", ZeroOut(op.dim, op.at)
            yield "drawn instead", Fresh(op.dim, op.at, "like", "some key")
            yield from _slices(op)
        case ZeroOut():
            yield from _slices(op)
        case Fill(value=value):
            yield "doubled", Fill(value * TWO)
            yield "flipped", Fill(-value)
            yield "zero out instead", ZeroOut(0, ((0, 1),))
            yield "drawn instead", Scale(value * TWO)
        case Fresh():
            yield from _slices(op)
        case Mask() | FromLeaf() | Graft():
            yield from _slices(op)
        case Resample(kept=kept, new=new):
            yield "another grid", replace(op, new=new + 1)
            yield "other tokens", replace(op, kept=kept + 1)
            yield "other dim", replace(op, dim=0)
            first = Expansion.of_units(kept + op.old**2, [0] * (kept + new**2))
            yield "the first row instead", DuplicateRow(op.dim, first)
        case Leaf():
            yield "no name", replace(op, leaf="")
            yield "another tensor's", replace(op, leaf=op.leaf + "x")
            yield "other kind", replace(op, kind="guessed")
            yield "one slice more", replace(op, shape=(op.shape[0] + 1, *op.shape[1:]))
            yield "other dtype", replace(op, dtype="F16")
        case BlendLayers(layer=layer):
            yield "row of another layer", BlendLayers(layer + 1)
            yield "row of the layer below", BlendLayers(max(0, layer - 1))
        case (
            Project(start=start, count=count, inner=inner) | Transform(start=start, count=count, inner=inner)
        ):
            yield "the other kind", _other_kind(op)
            yield "other dim", replace(op, dim=1 - op.dim)
            yield "one slice later", replace(op, start=start + 1)
            yield "one slice earlier", replace(op, start=start - 1)
            yield "one unit less", replace(op, count=count - 1)
            yield "units and slices swapped", replace(op, count=inner, inner=count)
        case Pack(rows=rows, cols=cols, cuts=cuts):
            yield "blocks turned round", replace(op, rows=cols, cols=rows)
            yield "half as many rows", replace(op, rows=rows // 2)
            for i, cut in enumerate(cuts):
                for what, changed in faults_of_cut(cut):
                    yield f"cut {i}, {what}", replace(op, cuts=(*cuts[:i], changed, *cuts[i + 1 :]))
        case RingMap(layer=layer, cut=cut):
            yield "the layer above", replace(op, layer=layer + 1)
            yield "the layer below", replace(op, layer=max(0, layer - 1))
            for what, changed in faults_of_cut(cut):
                yield what, replace(op, cut=changed)
        case CoreMatrix():
            yield "the layers of something", BlendLayers(0)
        case Join(dim=dim):
            yield "other dim", Join(1 - dim)
        case Scale(by=by) | RescaleNorm(by=by):
            yield "doubled", replace(op, by=by * TWO)
            yield "flipped", replace(op, by=-by)
        case CopyLayer(source=source, target=target):
            yield "other source", CopyLayer(source + 1, target)
            yield "other target", CopyLayer(source, target + 1)
            yield "turned round", CopyLayer(target, source)
        case CopyTensor(source=source_name, target=target_name):
            yield "other source", CopyTensor(source_name + "x", target_name)
            yield "other target", CopyTensor(source_name, target_name + "x")
            yield "turned round", CopyTensor(target_name, source_name)
        case SampleUnits(count=count, key=key):
            yield "one more", replace(op, count=count + 1)
            yield "other key", replace(op, key=key + "x")
        case DropUnits(count=count, units=units):
            yield "one more", replace(op, count=count + 1)
            yield "other units", replace(op, units=units + "x")
            yield "other dim", replace(op, dim=1 - op.dim)
        case AddNoise():
            yield "other dim", replace(op, dim=1 - op.dim)
        case Load(tensor=tensor) | Store(tensor=tensor):
            yield "other tensor", replace(op, tensor=tensor + "x")


def _other_kind(op: Project | Transform) -> Primitive:
    """`transform` where `project` stood, and the other way round."""
    other = Transform if isinstance(op, Project) else Project
    return other(op.dim, op.start, op.count, op.inner)


def _slices(op: LnAverage | ZeroOut | Fresh | FromLeaf | Mask | Graft) -> Iterator[tuple[str, Primitive]]:
    (a, b), *rest = op.at
    yield "one slice less", replace(op, at=((a, b - 1), *rest))
    yield "one slice more", replace(op, at=((a - 1, b), *rest))
    yield "shifted", replace(op, at=((a - 1, b - 1), *rest))
    yield "other dim", replace(op, dim=1 - op.dim)


# one node ----------------------------------------------------------------------------------------


def _nodes(graph: Graph, node: Node) -> Iterator[tuple[str, Node]]:
    shape = node.type.shape
    yield "another dtype", replace(node, type=TensorType(shape, "F16"))
    yield "another shape", replace(node, type=TensorType((*shape[:-1], shape[-1] + 1), node.type.dtype))
    yield "later step", replace(node, step=node.step + 1)
    if node.step:
        yield "earlier step", replace(node, step=node.step - 1)
    for i, name in enumerate(node.inputs):
        type_, own = graph.nodes[name].type, (*node.inputs, node.id)
        others = (n.id for n in graph.nodes.values() if n.type == type_ and n.step <= node.step)
        for other in islice((id for id in others if id not in own), 2):
            yield f"input {i} is {other}", _with_input(node, i, other)


def _with_input(node: Node, i: int, name: str) -> Node:
    return replace(node, inputs=(*node.inputs[:i], name, *node.inputs[i + 1 :]))


def _with_node(graph: Graph, node: Node) -> Graph:
    return replace(graph, nodes={**graph.nodes, node.id: node})


def _without(graph: Graph, node: Node) -> Graph:
    """The graph with a value's readers reading its first input instead."""
    into = {node.id: node.inputs[0]}
    nodes = {
        id: replace(n, inputs=tuple(into.get(i, i) for i in n.inputs))
        for id, n in graph.nodes.items()
        if id != node.id
    }
    models = [{t: into.get(v, v) for t, v in model.items()} for model in graph.models]
    return Graph(nodes, models, graph.steps, graph.stores)


# one binding ---------------------------------------------------------------------------


def _bindings(graph: Graph) -> Iterator[Mutant]:
    for k, model in enumerate(graph.models):
        tensors = list(model)
        for a, b in pairwise(tensors):
            models = [*graph.models[:k], {**model, a: model[b], b: model[a]}, *graph.models[k + 1 :]]
            yield Mutant(f"model {k}: {a} and {b} swapped", replace(graph, models=models))
    stored = list(graph.stores)
    for a, b in pairwise(stored):
        stores = {**graph.stores, a: graph.stores[b], b: graph.stores[a]}
        yield Mutant(f"stores of {a} and {b} swapped", replace(graph, stores=stores))
    for a in stored:
        stores = {t: v for t, v in graph.stores.items() if t != a}
        yield Mutant(f"{a} not stored", replace(graph, stores=stores))
