"""Laws of learned steps: what a tensor is made of, exactly, whatever the values of the leaves.

Nothing is preserved, so that there is no function to prove. What is proved is that every tensor is
the sum and the products that its step says: of these layers, by these leaves, at these slices.
"""

from __future__ import annotations

from collections.abc import Iterator

from growplan.algebra import Expansion
from growplan.ir.graph import Graph, LearnedLaw, TensorLaw, Widened
from growplan.ir.laws import check_law
from growplan.ir.layers import in_layer
from growplan.ir.primitives import (
    AddLeaf,
    BlendLayers,
    CoreMatrix,
    Join,
    Leaf,
    Pack,
    Project,
    RingMap,
    Transform,
)
from growplan.ir.rings import RingGroup, RingLaw
from growplan.ir.slices import Objection
from growplan.ir.symbolic import Made, State, apply

OF_SOURCE = (
    "~"  # in the name of a leaf: the number of the old layer, where layers are widened before they blend
)


def sources(law: LearnedLaw) -> tuple[str, ...]:
    """The tensors of the model before the step that a law speaks of."""
    return tuple(in_layer(law.source, 0, layer) for layer in range(law.layers)) or (law.source,)


def broken_laws(graph: Graph, k: int) -> Iterator[tuple[str, Objection]]:
    """The learned laws of step `k` that its graph does not keep, with the reason."""
    step, after, states = graph.steps[k - 1], graph.models[k], _States(graph, k)
    for law in step.of_leaves:
        try:
            if law.tensor not in after:
                raise Objection("GP262", "has a law, but the model after the step has no such tensor")
            states.check(law, after[law.tensor])
        except Objection as objection:
            yield law.tensor, objection


class _States:
    """The meaning of every value of one step, in terms of the values before it."""

    def __init__(self, graph: Graph, k: int) -> None:
        self.graph, self.k, self.before = graph, k, graph.models[k - 1]
        self.known = {value: self._old(value) for value in self.before.values()}
        self.groups = {group.name: group for group in graph.steps[k - 1].groups}
        self.packs: dict[tuple[str, int], State] = {}
        self.leaves = {n.op.leaf: n.op for n in graph.nodes.values() if isinstance(n.op, Leaf)}

    def _old(self, value: str) -> State:
        return State.start(("old", value), self.graph.nodes[value].type.shape)

    def of(self, value: str) -> State:
        """The meaning of a value. Raises Objection where it reads what came before the step."""
        stack = [value]
        while stack:
            node = self.graph.nodes[stack[-1]]
            waiting = [name for name in node.inputs if name not in self.known]
            if node.id in self.known:
                stack.pop()
            elif node.step < self.k:
                raise Objection("GP262", f"reads `{node.id}`, which is not of the model before the step")
            elif waiting:
                stack += waiting
            else:
                self.known[node.id] = apply(node.op, tuple(self.known[name] for name in node.inputs))
                stack.pop()
        return self.known[value]

    def expected(self, law: LearnedLaw) -> State:
        """The meaning that a law gives its tensor."""
        layers = [self._before(name) for name in sources(law)]
        if law.widened_first:
            layers = [self._widened(x, law.sides, layer) for layer, x in enumerate(layers)]
        x = layers[0]
        if law.layers:
            x = apply(BlendLayers(law.row), (self._matrix(law.depth), *layers))
        x = x if law.widened_first else self._widened(x, law.sides)
        return apply(AddLeaf(), (x, self._leaf(law.residual))) if law.residual else x

    def check(self, law: LearnedLaw | RingLaw, value: str) -> None:
        """Raise the Objection that a value is not what its law says."""
        if isinstance(law, RingLaw):
            if self.of(value) != self.blocks(law):
                raise Objection("GP274", "is not made of the blocks and cores that its step says")
        elif law.rows is not None:
            self._check_rows(law, law.rows, value)
        elif self.of(value) != self.expected(law):
            raise Objection("GP273", "is not made of the layers and leaves that its step says")

    def _check_rows(self, law: LearnedLaw, rows: Expansion, value: str) -> None:
        """A norm is its rows of the old one, and a leaf added. Raises Objection."""
        self._before(law.source)
        old, added = self.before[law.source], self.of(value).base
        leaf = self._leaf(law.residual)
        if not (isinstance(added, Made) and added.op == AddLeaf() and added.inputs[1] == leaf):
            raise Objection("GP275", f"should be what static steps make of it, plus `{law.residual}`")
        if law.layers or law.depth or law.sides:
            raise Objection("GP275", "is said to be rows of one old tensor, and blended or widened as well")
        made = added.inputs[0]
        if made.base != ("old", old) or self._read(value) != {old}:
            raise Objection("GP262", f"is not made from `{law.source}` before the step alone")
        shape = self.graph.nodes[old].type.shape
        check_law(made, TensorLaw(law.tensor, law.source, rows, None, 0, None), shape)

    def _read(self, value: str) -> set[str]:
        """The values before the step that a value is made of."""
        nodes = self.graph.chain(value)
        inputs = {name for node in nodes if node.step == self.k for name in node.inputs}
        return {name for name in inputs if self.graph.nodes[name].step < self.k}

    def _widened(self, x: State, sides: tuple[Widened, ...], layer: int | None = None) -> State:
        """The sections of a tensor widened, the last first, so that every place is one of the old tensor."""
        for side in sorted(sides, key=lambda side: (side.dim, -side.start)):
            name = side.leaf if layer is None else side.leaf.replace(OF_SOURCE, str(layer))
            kind = Transform if side.whole else Project
            x = apply(kind(side.dim, side.start, side.count, side.inner), (x, self._matrix(name)))
        return x

    def blocks(self, law: RingLaw) -> State:
        """The meaning that a law of blocks gives its tensor."""
        parts: list[State] = []
        for name, cut in law.parts:
            group = self.groups.get(name)
            if group is None:
                raise Objection("GP274", f"should be blocks of `{name}`, which is no group of the step")
            cores = (self._leaf(core) for core in group.cores)
            layers = (self._packed(group, layer) for layer in range(group.layers))
            parts.append(apply(RingMap(law.layer, cut), (*cores, *layers)))
        if not parts:
            raise Objection("GP274", "should be blocks of no group")
        return parts[0] if len(parts) == 1 else apply(Join(law.dim), tuple(parts))

    def _packed(self, group: RingGroup, layer: int) -> State:
        """The blocks of one old layer."""
        key = (group.name, layer)
        if key not in self.packs:
            for (name, _), source in zip(group.members, group.sources(layer), strict=True):
                self._check_covered(name, self._before(source))
            pack = Pack(group.rows, group.cols, tuple(cut for _, cut in group.members))
            self.packs[key] = apply(pack, tuple(self._before(name) for name in group.sources(layer)))
        return self.packs[key]

    def _check_covered(self, name: str, packed: State) -> None:
        """Every row of a packed tensor is in one block of one group. Raises Objection."""
        cuts = [
            (cut.start, cut.start + cut.down * group.rows, int(cut.transposed))
            for group in self.groups.values()
            for member, cut in group.members
            if member == name
        ]
        done = 0
        for start, stop, _ in sorted(cuts):
            done = stop if start == done else -1
        if done != packed.axes[cuts[0][2]].size:
            raise Objection("GP274", f"should be made of `{name}`, whose rows are not each in one block")

    def _before(self, name: str) -> State:
        """A tensor of the model before the step."""
        if name not in self.before:
            raise Objection("GP262", f"is made from `{name}`, which the model before the step lacks")
        return self.known[self.before[name]]

    def _matrix(self, name: str) -> State:
        """A leaf as a matrix; of a core, the matrix at its first bonds."""
        leaf = self._leaf(name)
        return leaf if len(leaf.axes) == 2 else apply(CoreMatrix(), (leaf,))

    def _leaf(self, name: str) -> State:
        leaf = self.leaves.get(name)
        if leaf is None or leaf.kind != "trainable":
            raise Objection("GP273", f"should be made by a trainable leaf `{name}`, and there is none")
        return apply(leaf, ())
