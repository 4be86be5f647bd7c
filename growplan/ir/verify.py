"""The verifier: every step keeps its promise, tensor by tensor, proved without weights.

For each `TensorLaw` of a step the chain of primitives from the tensor before the step to the
tensor after it is evaluated symbolically (`growplan.ir.symbolic`) and held against the law
(`growplan.ir.laws`; `growplan.ir.blocks` where nothing is preserved). A tensor that changed
without a law is an error: a lowering can be wrong, but not silently. Chains
that differ only in their layer are proved once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from growplan.diagnostics import Diagnostic
from growplan.ir.blocks import check_above, check_blocks
from growplan.ir.graph import BlockLaw, Graph, Node, Provenance, Step, TensorLaw
from growplan.ir.laws import check_law
from growplan.ir.layers import in_layer, layers_between
from growplan.ir.learned_laws import broken_laws
from growplan.ir.primitives import CopyLayer, CopyTensor, Drawn, FromLeaf, Leaf, Primitive, leaf_name
from growplan.ir.slices import Objection
from growplan.ir.symbolic import State, apply
from growplan.ir.wellformed import REPORT, origin_note, well_formed

LIMIT = 20
Link = tuple[Primitive, tuple[int, ...]]  # a primitive and the places of its inputs; -1 is the base, -2
# the base of a graft
Key = tuple[object, ...]


def verify(graph: Graph) -> list[Diagnostic]:
    """Everything wrong with a lowered graph, at most 20 findings; [] when it is proved.

    Form and types first; then, per step, laws, provenance and draws. A finding names the
    tensor, the primitive and the plan line of its step.
    """
    findings = well_formed(graph)
    if not findings:
        verifier = _Verifier(graph)
        for k in range(1, len(graph.steps) + 1):
            findings += verifier.step(k)
        findings += _shared_draws(graph)
    return findings[:LIMIT]


@dataclass
class _Chain:
    """The primitives between a tensor before a step and one after it, in order."""

    nodes: list[Node]
    links: tuple[Link, ...]


@dataclass
class _Verifier:
    graph: Graph
    proved: dict[Key, Objection | None] = field(default_factory=dict)

    def step(self, k: int) -> Iterator[Diagnostic]:
        step, before, after = self.graph.steps[k - 1], self.graph.models[k - 1], self.graph.models[k]
        found: dict[tuple[str, str], list[tuple[str, Objection]]] = {}
        for tensor, objection in (*self._objections(k), *broken_laws(self.graph, k)):
            op = objection.op.name if objection.op else ""
            found.setdefault((objection.code, f"{op}: {objection.message}"), []).append((tensor, objection))
        yield from (_finding(step, tensors) for tensors in found.values())
        known = {law.tensor for law in step.laws} | {p.tensor for p in step.provenance}
        known |= {law.tensor for law in step.of_leaves}
        loose = [t for t, value in after.items() if t not in known and before.get(t) != value]
        if loose:
            yield _finding(step, [(t, Objection("GP267", "changes, but no law says how")) for t in loose])

    def _objections(self, k: int) -> Iterator[tuple[str, Objection]]:
        step = self.graph.steps[k - 1]
        claims: list[TensorLaw | Provenance] = [*step.laws, *step.provenance]
        for claim in claims:
            try:
                above = claim.above if isinstance(claim, BlockLaw) else None
                chain = self._chain(k, claim.tensor, claim.source, above.source if above else None)
                if isinstance(claim, TensorLaw):
                    self._prove(k, claim, chain)
                else:
                    _check_unchanged(claim, chain)
                _check_names(claim, chain)
                _check_layer(claim, step)
                if isinstance(claim, BlockLaw):
                    check_above(claim)
            except Objection as objection:
                yield claim.tensor, objection
        yield from _unused_layers(step)

    def _chain(self, k: int, tensor: str, source: str, graft: str | None = None) -> _Chain:
        """From the source (and the graft's) before step k to the tensor after it, and from nothing else."""
        before, after = self.graph.models[k - 1], self.graph.models[k]
        lacking = [name for name in (source, graft) if name is not None and name not in before]
        if lacking:
            raise Objection("GP262", f"is made from `{lacking[0]}`, which the model before the step lacks")
        if tensor not in after:
            raise Objection("GP262", "has a law, but the model after the step has no such tensor")
        places = {before[source]: -1}
        if graft is not None:
            places.setdefault(before[graft], -2)
        nodes: list[Node] = []
        links: list[Link] = []
        keys: dict[str, str] = {}
        for node in self._between(after[tensor], places, k, source):
            inputs = tuple(places[name] for name in node.inputs)
            links.append((_anonymous(node.op, keys), inputs))
            places[node.id] = len(nodes)
            nodes.append(node)
        return _Chain(nodes, tuple(links))

    def _between(self, value: str, base: dict[str, int], k: int, source: str) -> list[Node]:
        """Nodes of step k that `value` needs, inputs first."""
        out: list[Node] = []
        done = set(base)
        stack = [value]
        while stack:
            node = self.graph.nodes[stack[-1]]
            waiting = [name for name in node.inputs if name not in done]
            if node.id in done:
                stack.pop()
            elif node.step < k:
                raise Objection("GP262", f"reads `{node.id}`, which is not `{source}` before the step")
            elif waiting:
                stack += waiting
            else:
                done.add(node.id)
                out.append(node)
                stack.pop()
        return out

    def _prove(self, k: int, law: TensorLaw, chain: _Chain) -> None:
        base = self.graph.nodes[self.graph.models[k - 1][law.source]].type.shape
        slices = None
        if isinstance(law, BlockLaw):
            slices = law.above and (law.above.dim, law.above.at)
        key = (
            chain.links,
            base,
            type(law),
            law.rows,
            law.cols,
            law.row_dim,
            law.col_dim,
            law.constant,
            law.given,
            law.twins,
            slices,
        )
        if key not in self.proved:
            self.proved[key] = _broken(chain.links, law, base)
        objection = self.proved[key]
        if objection is not None:
            raise objection


def _broken(links: tuple[Link, ...], law: TensorLaw, shape: tuple[int, ...]) -> Objection | None:
    """The objection to a chain under a law, or None: the law is proved."""
    bases = {-1: State.start("old", shape), -2: State.start("above", shape)}
    values: list[State] = []
    try:
        for op, inputs in links:
            values.append(apply(op, tuple(bases[i] if i < 0 else values[i] for i in inputs)))
        found = values[-1] if values else bases[-1]
        if isinstance(law, BlockLaw):
            check_blocks(found, law, shape)
        elif found.base != bases[-1].base:
            raise Objection("GP262", "is a leaf, not made from the tensor before the step")
        else:
            check_law(found, law, shape)
    except Objection as objection:
        return objection
    return None


def _anonymous(op: Primitive, keys: dict[str, str]) -> Primitive:
    """`op` without its layer or names; keys of draws are told apart, not compared."""
    if isinstance(op, CopyLayer):
        return CopyLayer(0, 0)
    if isinstance(op, CopyTensor):
        return CopyTensor("old", "new")
    if isinstance(op, Leaf):
        return replace(op, leaf=keys.setdefault(f"leaf {op.leaf}", f"key {len(keys)}"))
    names = [name for name in ("key", "units") if getattr(op, name, "")]
    told = {n: keys.setdefault(getattr(op, n), f"key {len(keys)}") for n in names if isinstance(op, Drawn)}
    return replace(op, **told) if told else op


# provenance and names ----------------------------------------------------------------------------


def _check_unchanged(claim: Provenance, chain: _Chain) -> None:
    """Nothing but `copy_layer`, and the one `resample` that the claim names."""
    wanted = [] if claim.resample is None else [claim.resample]
    for node in chain.nodes:
        if isinstance(node.op, CopyLayer | CopyTensor):
            continue
        if node.op not in wanted:
            said = "bit for bit" if claim.resample is None else "interpolated as the claim says, once"
            raise Objection("GP271", f"should be `{claim.source}` {said}", op=node.op)
        wanted = []
    if wanted:
        raise Objection("GP271", f"should be `{claim.source}` interpolated, and is not")


def _check_names(claim: TensorLaw | Provenance, chain: _Chain) -> None:
    """`copy_layer` and `copy_tensor` are the only ways from one name to another, and say which."""
    name = claim.source
    for node in chain.nodes:
        if isinstance(node.op, CopyLayer):
            name = in_layer(name, node.op.source, node.op.target)
        elif isinstance(node.op, CopyTensor):
            name = node.op.target if name == node.op.source else f"{name}, no {node.op.source}"
    if name != claim.tensor:
        raise Objection("GP269", f"is made from `{claim.source}`, and the copies between lead to `{name}`")


def _check_layer(claim: TensorLaw | Provenance, step: Step) -> None:
    """A depth step says which layer every layer comes from; its tensors must.

    A silent layer may carry the norm of the kept one below it instead.
    """
    layers = layers_between(claim.source, claim.tensor)
    if step.layers and layers is not None:
        source, layer = layers
        said = step.layers[layer][0] if layer < len(step.layers) else None
        if said != source and not (step.layers[layer][1] and source == _kept_below(step, layer)):
            raise Objection("GP269", f"is made from layer {source}, the step says {said}")


def _unused_layers(step: Step) -> Iterator[tuple[str, Objection]]:
    """Something of every layer comes from where the step says it comes from."""
    found: dict[int, tuple[str, set[int]]] = {}
    for law in step.laws if step.layers else ():
        layers = layers_between(law.source, law.tensor)
        if layers is not None:
            found.setdefault(layers[1], (law.tensor, set()))[1].add(layers[0])
    for layer, (said, _) in enumerate(step.layers):
        if layer in found and said not in found[layer][1]:
            yield found[layer][0], Objection("GP269", f"is of layer {layer}, none of which comes from {said}")


def _kept_below(step: Step, layer: int) -> int | None:
    """The old layer that is the nearest kept one below `layer`."""
    return next((source for source, silent in step.layers[:layer][::-1] if not silent), None)


# draws -------------------------------------------------------------------------------------------


def _shared_draws(graph: Graph) -> Iterator[Diagnostic]:
    """Two tensors that draw by one key would get the same numbers; a data leaf is measured for one tensor."""
    owner: dict[str, str] = {}
    for k, step in enumerate(graph.steps, 1):
        for tensor, value in graph.models[k].items():
            for node in _made_in(graph, value, k):
                key = node.op.key if isinstance(node.op, Drawn) else ""
                place = f"{tensor} in step {k}"
                if key and owner.setdefault(key, place) != place:
                    message = f"draws by the key `{key}`, as {owner[key]} does"
                    yield _finding(step, [(tensor, Objection("GP270", message, op=node.op))])
                leaf = graph.nodes[node.inputs[1]].op if isinstance(node.op, FromLeaf) else None
                if isinstance(leaf, Leaf) and leaf.kind == "data" and leaf.leaf != leaf_name(step.id, tensor):
                    message = f"fills from the leaf `{leaf.leaf}`, which was measured for another tensor"
                    yield _finding(step, [(tensor, Objection("GP270", message, op=node.op))])


def _made_in(graph: Graph, value: str, k: int) -> Iterator[Node]:
    """The nodes of step k on the main line of `value`."""
    node = graph.nodes[value]
    while node.step == k and node.inputs:
        yield node
        node = graph.nodes[node.inputs[0]]


def _finding(step: Step, found: list[tuple[str, Objection]]) -> Diagnostic:
    """One diagnostic for the same objection to many tensors."""
    tensor, objection = found[0]
    op = f"`{objection.op.name}` of " if objection.op else ""
    notes = [origin_note(step)]
    if len(found) > 1:
        notes.append(("also", f"{len(found) - 1} more tensors, up to {found[-1][0]}"))
    help = (objection.help or REPORT,)
    return Diagnostic(objection.code, f"{op}`{tensor}` {objection.message}", None, tuple(notes), help)
