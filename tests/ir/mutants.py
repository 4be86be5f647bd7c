"""Single faults planted in a graph: every one of them must be found by the verifier.

A mutant keeps what it can of shapes and types, so that it is the law that must object. What no
law can see is left alone: how free slices are drawn, the names of masks, config and module laws.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice, pairwise

from growplan.algebra import Expansion, Root, Run
from growplan.ir.graph import BlockLaw, Graph, LearnedLaw, Node, Step, TensorLaw, TensorType
from growplan.ir.primitives import (
    AddNoise,
    AddNull,
    BlendLayers,
    CopyLayer,
    CopyTensor,
    CoreMatrix,
    Cut,
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
from growplan.ir.rings import RingGroup, RingLaw

TWO = Root.rational(2)


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
        for what, changed_step in _steps(step):
            steps = [*graph.steps[:k], changed_step, *graph.steps[k + 1 :]]
            yield Mutant(f"step {step.index}: {what}", replace(graph, steps=steps))
    yield from _bindings(graph)


# one primitive -----------------------------------------------------------------------------------


def _ops(op: Primitive) -> Iterator[tuple[str, Primitive]]:
    match op:
        case DuplicateRow(map=map) | SplitColumn(map=map):
            for what, e in _maps(map):
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
            for what, e in _maps(map):
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
                for what, changed in _cuts(cut):
                    yield f"cut {i}, {what}", replace(op, cuts=(*cuts[:i], changed, *cuts[i + 1 :]))
        case RingMap(layer=layer, cut=cut):
            yield "the layer above", replace(op, layer=layer + 1)
            yield "the layer below", replace(op, layer=max(0, layer - 1))
            for what, changed in _cuts(cut):
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


def _cuts(cut: Cut) -> Iterator[tuple[str, Cut]]:
    yield "one later", replace(cut, start=cut.start + 1)
    yield "one earlier", replace(cut, start=cut.start - 1)
    yield "one less", replace(cut, count=cut.count - 1)
    yield "one more", replace(cut, count=cut.count + 1)
    yield "the other way across", replace(cut, across=cut.down)
    yield "turned round", replace(cut, transposed=not cut.transposed)


def _maps(e: Expansion) -> Iterator[tuple[str, Expansion]]:
    """Maps of the same size that differ in one run."""
    for i, run in enumerate(e.runs):
        if run.kind != "copy":
            yield f"hole {i} copied", _with_run(e, i, Run("copy", run.count, 0)) if run.count <= e.old else e
            continue
        yield f"run {i} doubled", _with_run(e, i, replace(run, c=run.c * TWO))
        yield f"run {i} flipped", _with_run(e, i, replace(run, c=-run.c))
        yield f"run {i} not written", _with_run(e, i, Run("hole", run.count))
        for start in (run.start + 1, run.start - 1):
            if start >= 0 and start + run.count <= e.old:
                yield f"run {i} shifted", _with_run(e, i, replace(run, start=start))
        if run.count > 1:
            swapped = (Run("copy", 1, run.start + 1, run.c), Run("copy", 1, run.start, run.c))
            rest = Run("copy", run.count - 2, run.start + 2, run.c)
            yield f"run {i} swapped", Expansion(e.old, (*e.runs[:i], *swapped, rest, *e.runs[i + 1 :]))


def _with_run(e: Expansion, i: int, run: Run) -> Expansion:
    return Expansion(e.old, (*e.runs[:i], run, *e.runs[i + 1 :]))


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


# one step, one binding ---------------------------------------------------------------------------


def _steps(step: Step) -> Iterator[tuple[str, Step]]:
    yield "numbered wrong", replace(step, index=step.index + 1)
    for i, law in enumerate(step.laws):
        for what, changed in _laws(law):
            yield (
                f"law of {law.tensor}: {what}",
                replace(step, laws=(*step.laws[:i], changed, *step.laws[i + 1 :])),
            )
        known = any(p.tensor == law.tensor for p in step.provenance)
        if not known:
            yield f"law of {law.tensor}: dropped", replace(step, laws=(*step.laws[:i], *step.laws[i + 1 :]))
    for i, learned in enumerate(step.learned):
        for what, changed_learned in _learned(learned):
            found = (*step.learned[:i], changed_learned, *step.learned[i + 1 :])
            yield f"learned law of {learned.tensor}: {what}", replace(step, learned=found)
        dropped = (*step.learned[:i], *step.learned[i + 1 :])
        yield f"learned law of {learned.tensor}: dropped", replace(step, learned=dropped)
    for i, ring in enumerate(step.rings):
        for what, changed_ring in _rings(ring):
            found_rings = (*step.rings[:i], changed_ring, *step.rings[i + 1 :])
            yield f"blocks of {ring.tensor}: {what}", replace(step, rings=found_rings)
        yield (
            f"blocks of {ring.tensor}: dropped",
            replace(step, rings=(*step.rings[:i], *step.rings[i + 1 :])),
        )
    for i, group in enumerate(step.groups):
        for what, changed_group in _groups(group):
            found_groups = (*step.groups[:i], changed_group, *step.groups[i + 1 :])
            yield f"group {group.name}: {what}", replace(step, groups=found_groups)
        yield f"group {group.name}: dropped", replace(step, groups=(*step.groups[:i], *step.groups[i + 1 :]))
    for i, claim in enumerate(step.provenance):
        others = [p.source for p in step.provenance if p.source != claim.source]
        for source in others[:1]:
            changed_claim = replace(claim, source=source)
            provenance = (*step.provenance[:i], changed_claim, *step.provenance[i + 1 :])
            yield f"provenance of {claim.tensor}: {source}", replace(step, provenance=provenance)
    for i, claim in enumerate(step.provenance):
        if claim.resample is not None:
            for changed in (None, replace(claim.resample, new=claim.resample.new + 1)):
                copy = replace(claim, resample=changed)
                provenance = (*step.provenance[:i], copy, *step.provenance[i + 1 :])
                yield f"provenance of {claim.tensor}: {changed}", replace(step, provenance=provenance)
    for i, (source, silent) in enumerate(step.layers):
        layers = (*step.layers[:i], (source + 1, silent), *step.layers[i + 1 :])
        yield f"layer {i} from another", replace(step, layers=layers)


def _laws(law: TensorLaw) -> Iterator[tuple[str, TensorLaw]]:
    if law.constant is not None:
        yield "doubled constant", replace(law, constant=law.constant * TWO)
        yield "no constant", replace(law, constant=None)
        return
    for what, e in _maps(law.rows):
        yield f"rows, {what}", replace(law, rows=e)
    if law.cols is not None and law.rows.kinds != {"zero"}:  # 0 . E_in = 0 for any E_in
        for what, e in _maps(law.cols):
            if "copied" not in what:  # a copy whose share is 0 is no lie
                yield f"cols, {what}", replace(law, cols=e)
    if law.col_dim is not None and law.rows != law.cols:  # of a square matrix that stays, no lie
        yield "dims swapped", replace(law, row_dim=law.col_dim, col_dim=law.row_dim)
        if law.cols is not None and not law.cols.is_identity:
            yield "no columns", replace(law, cols=None, col_dim=None)
    if isinstance(law, BlockLaw):
        yield from _blocks(law)
    yield "another source", replace(law, source=law.source + "x")
    for source, target in (("free", "zero"), ("zero", "free"), ("mean", "zero"), ("zero", "mean")):
        if source in law.rows.kinds and (source, target) != ("zero", "free"):
            yield f"rows, {source} as {target}", replace(law, rows=law.rows.map_kind(source, target))
        if law.cols is not None and source in law.cols.kinds and source == "zero":
            yield f"cols, {source} as {target}", replace(law, cols=law.cols.map_kind(source, target))


def _blocks(law: BlockLaw) -> Iterator[tuple[str, TensorLaw]]:
    if law.above is None:
        return
    yield "grafts nothing", replace(law, above=None)
    (a, b), *rest = law.above.at
    for what, above in (
        ("other slices", replace(law.above, at=((a, b - 1), *rest))),
        ("other dim", replace(law.above, dim=1 - law.above.dim)),
        ("its own layer", replace(law.above, source=law.source)),
        ("no layer", replace(law.above, source=law.above.source + "x")),
    ):
        yield f"grafts {what}", replace(law, above=above)


def _learned(law: LearnedLaw) -> Iterator[tuple[str, LearnedLaw]]:
    yield "another source", replace(law, source=law.source + "x")
    yield "one layer more", replace(law, layers=law.layers + 1)
    if law.layers:
        yield "one layer less", replace(law, layers=law.layers - 1)
        yield "other weights", replace(law, depth=law.depth + "x")
        yield "another row", replace(law, row=law.row + 1)
        if law.sides:
            yield "the other order", replace(law, widened_first=not law.widened_first)
    if law.rows is not None:
        yield "no rows", replace(law, rows=None)
        for what, e in _maps(law.rows):
            yield f"rows, {what}", replace(law, rows=e)
    yield "another residual", replace(law, residual=law.residual + "x")
    if law.residual:
        yield "no residual", replace(law, residual="")
    for i, side in enumerate(law.sides):
        for what, changed in (
            ("another leaf", replace(side, leaf=side.leaf + "x")),
            ("one slice later", replace(side, start=side.start + 1)),
            ("units doubled", replace(side, inner=side.inner * 2)),
            ("the other kind", replace(side, whole=not side.whole)),
        ):
            yield f"side {i}: {what}", replace(law, sides=(*law.sides[:i], changed, *law.sides[i + 1 :]))
        yield f"side {i}: dropped", replace(law, sides=(*law.sides[:i], *law.sides[i + 1 :]))


def _rings(law: RingLaw) -> Iterator[tuple[str, RingLaw]]:
    yield "another layer", replace(law, layer=law.layer + 1)
    yield "no parts", replace(law, parts=())
    for i, (name, cut) in enumerate(law.parts):
        for what, part in (
            ("another group", (name + "x", cut)),
            *((what, (name, changed)) for what, changed in _cuts(cut)),
        ):
            yield f"part {i}: {what}", replace(law, parts=(*law.parts[:i], part, *law.parts[i + 1 :]))
    if len(law.parts) > 1:
        yield "joined along another dim", replace(law, dim=1 - law.dim)
        yield "a part less", replace(law, parts=law.parts[:-1])


def _groups(group: RingGroup) -> Iterator[tuple[str, RingGroup]]:
    yield "called otherwise", replace(group, name=group.name + "x")
    yield "one layer less", replace(group, layers=group.layers - 1)
    yield "turned round", replace(group, rows=group.cols, cols=group.rows)
    yield "half as many rows", replace(group, rows=group.rows // 2)
    for i, core in enumerate(group.cores):
        cores = (*group.cores[:i], core + "x", *group.cores[i + 1 :])
        yield f"core {i} another", replace(group, cores=cores)  # type: ignore[arg-type]
    for i, (name, cut) in enumerate(group.members):
        for what, member in (
            ("another tensor", (name + "x", cut)),
            *((what, (name, changed)) for what, changed in _cuts(cut)),
        ):
            members = (*group.members[:i], member, *group.members[i + 1 :])
            yield f"member {i}: {what}", replace(group, members=members)
    if len(group.members) > 1:
        yield "the other order", replace(group, members=group.members[::-1])


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
