"""Lowering of general operators: layers blended, every end made anew, learned values added.

Norms are no products: theirs is what the static steps make of them, in the same primitives, plus a leaf.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from growplan.algebra import Expansion
from growplan.check.general import GeneralLayout
from growplan.check.typed import ParamRewrite, TypedStep
from growplan.families.model import Param
from growplan.ir.chain import Chain
from growplan.ir.graph import Graph, LearnedLaw, Node, Widened
from growplan.ir.primitives import AddLeaf, BlendLayers, Primitive, Transform
from growplan.ir.typing import result_type


def layer_map(start: Sequence[TypedStep], depth: int) -> list[int]:
    """The old layer that each new one begins as."""
    found = next((step.layers for step in start if step.layers), None)
    return list(range(depth)) if found is None else [source.layer for source in found]


@dataclass
class General:
    """The tensors of one step, and what is claimed of each."""

    graph: Graph
    step: TypedStep
    layout: GeneralLayout
    laws: list[LearnedLaw] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._layers = layer_map(self.step.start, self.step.after.depth)
        self._rewrites = {
            (rewrite.module, rewrite.leaf): (step, rewrite)
            for step in self.step.start
            for rewrite in step.rewrites
        }

    def tensor(self, name: str, param: Param, layer: int | None) -> str:
        """The value of one tensor of the grown model."""
        before = self.graph.models[-1]
        if not self.layout.touched(param):
            return before[name]
        if self.layout.is_norm(param):
            return self._norm(name, param, layer)
        return self._product(name, param, layer)

    def _norm(self, name: str, param: Param, layer: int | None) -> str:
        """A norm's scale or shift: the static steps' rows of the layer it begins as, and a leaf."""
        source = self.step.before.tensor_name(param, None if layer is None else self._layers[layer])
        static = self._rewrites.get((param.module, param.leaf))
        step, rewrite = static or (self.step, _same(param, self.layout))
        value = self.graph.models[-1][source]
        chain = Chain(self.graph, name, replace(step, index=self.step.index), param, value)
        chain.rows(rewrite, norm=True)
        leaf = self.layout.added_leaf(self.step.id, param, layer)
        value = self._add(name, chain.count, AddLeaf(), (chain.value, self.id(leaf)))
        self.laws.append(LearnedLaw(name, source, residual=leaf, rows=rewrite.rows))
        return value

    def _product(self, name: str, param: Param, layer: int | None) -> str:
        """A weight or bias: old layers blended, its ends made anew, a residual added."""
        id, before, count = self.step.id, self.graph.models[-1], 0
        blended = layer is not None and self.layout.deeper
        olds = range(self.step.before.depth) if blended else (layer,)
        names = [self.step.before.tensor_name(param, old) for old in olds]
        value, depth = before[names[0]], self.layout.depth_leaf(id) if blended else ""
        if blended:
            assert layer is not None
            inputs = (self.id(depth), *(before[old] for old in names))
            value, count = self._add(name, 0, BlendLayers(layer), inputs), 1
        sides = []
        for end in sorted(self.layout.ends(param), key=lambda end: (end.dim, -end.start)):
            leaf = self.layout.end_leaf(id, end, layer)
            op = Transform(end.dim, end.start, end.count, end.inner)
            value, count = self._add(name, count, op, (value, self.id(leaf))), count + 1
            sides.append(Widened(end.dim, end.start, end.count, end.inner, leaf, whole=True))
        residual = self.layout.added_leaf(id, param, layer)
        if residual:
            value = self._add(name, count, AddLeaf(), (value, self.id(residual)))
        row, layers = (layer or 0, len(names)) if blended else (0, 0)
        self.laws.append(LearnedLaw(name, names[0], layers, depth, row, _in_order(sides), residual=residual))
        return value

    def id(self, leaf: str) -> str:
        """The value of a leaf."""
        return f"{leaf}@{self.step.index}"

    def _add(self, name: str, count: int, op: Primitive, inputs: tuple[str, ...]) -> str:
        type_ = result_type(op, tuple(self.graph.nodes[each].type for each in inputs))
        assert type_ is not None
        node = Node(f"{name}@{self.step.index}.{count + 1}", op, inputs, type_, self.step.index)
        return self.graph.add(node)


def _same(param: Param, layout: GeneralLayout) -> ParamRewrite:
    """The rewrite of a tensor that no static step rewrites."""
    rows = Expansion.identity(param.rows.size(layout.before.sizes))
    return ParamRewrite(param.module, param.leaf, rows, None)


def _in_order(sides: list[Widened]) -> tuple[Widened, ...]:
    return tuple(sorted(sides, key=lambda side: (side.dim, side.start)))
