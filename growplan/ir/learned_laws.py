"""Laws of learned steps: what a tensor is made of, exactly, whatever the values of the leaves.

Nothing is preserved, so that there is no function to prove. What is proved is that every tensor is
the sum and the products that its step says: of these layers, by these leaves, at these slices.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from growplan.ir.graph import Graph, LearnedLaw, TensorLaw, Widened
from growplan.ir.laws import check_law
from growplan.ir.layers import in_layer
from growplan.ir.primitives import AddLeaf, BlendLayers, Leaf, Project, Transform
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
    step, before, after = graph.steps[k - 1], graph.models[k - 1], graph.models[k]
    states = _States(graph, k)
    for law in step.learned:
        try:
            missing = next((name for name in sources(law) if name not in before), None)
            if missing is not None:
                raise Objection("GP262", f"is made from `{missing}`, which the model before the step lacks")
            if law.tensor not in after:
                raise Objection("GP262", "has a law, but the model after the step has no such tensor")
            if law.rows is not None:
                states.check_rows(law, before, after)
            elif states.of(after[law.tensor]) != states.expected(law, before):
                raise Objection("GP273", "is not made of the layers and leaves that its step says")
        except Objection as objection:
            yield law.tensor, objection


class _States:
    """The meaning of every value of one step, in terms of the values before it."""

    def __init__(self, graph: Graph, k: int) -> None:
        self.graph, self.k = graph, k
        self.known = {value: self._old(value) for value in graph.models[k - 1].values()}
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

    def expected(self, law: LearnedLaw, before: Mapping[str, str]) -> State:
        """The meaning that a law gives its tensor."""
        layers = [self.known[before[name]] for name in sources(law)]
        if law.widened_first:
            layers = [self._widened(x, law.sides, layer) for layer, x in enumerate(layers)]
        x = layers[0]
        if law.layers:
            x = apply(BlendLayers(law.row), (self._leaf(law.depth), *layers))
        x = x if law.widened_first else self._widened(x, law.sides)
        return apply(AddLeaf(), (x, self._leaf(law.residual))) if law.residual else x

    def check_rows(self, law: LearnedLaw, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """A norm is its rows of the old one, and a leaf added. Raises Objection."""
        old, added = before[law.source], self.of(after[law.tensor]).base
        leaf = self._leaf(law.residual)
        if not (isinstance(added, Made) and added.op == AddLeaf() and added.inputs[1] == leaf):
            raise Objection("GP275", f"should be what static steps make of it, plus `{law.residual}`")
        if law.layers or law.depth or law.sides:
            raise Objection("GP275", "is said to be rows of one old tensor, and blended or widened as well")
        made = added.inputs[0]
        if made.base != ("old", old) or self._read(after[law.tensor]) != {old}:
            raise Objection("GP262", f"is not made from `{law.source}` before the step alone")
        assert law.rows is not None
        shape = self.graph.nodes[old].type.shape
        check_law(made, TensorLaw(law.tensor, law.source, law.rows, None, 0, None), shape)

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
            x = apply(kind(side.dim, side.start, side.count, side.inner), (x, self._leaf(name)))
        return x

    def _leaf(self, name: str) -> State:
        leaf = self.leaves.get(name)
        if leaf is None or leaf.kind != "trainable":
            raise Objection("GP273", f"should be made by a trainable leaf `{name}`, and there is none")
        return apply(leaf, ())
