"""Lowering of learned steps: layers blended, sections widened, by leaves that are fitted later."""

from __future__ import annotations

from dataclasses import dataclass, field

from growplan.check.general import GeneralLayout
from growplan.check.operators import LigoLayout, Section
from growplan.check.typed import TypedStep
from growplan.families.model import Param
from growplan.ir.graph import Graph, LearnedLaw, Node, TensorType, Widened
from growplan.ir.learned_laws import OF_SOURCE
from growplan.ir.lower_general import General
from growplan.ir.primitives import BlendLayers, Leaf, Primitive, Project
from growplan.ir.record import record
from growplan.ir.typing import result_type


def lower_learned(graph: Graph, step: TypedStep) -> None:
    """The model after a learned step: every tensor from those of the source and the step's leaves."""
    operator = step.operator
    assert operator is not None
    learned: _Learned | General
    if operator.kind == "general":
        learned = General(graph, step, GeneralLayout(step.before, step.after, operator))
    else:
        learned = _Learned(graph, step, LigoLayout(step.before, step.after, operator))
    for spec in step.leaves:
        leaf = Leaf(spec.name, spec.shape, "F64" if step.before.dtype == "F64" else "F32", "trainable")
        graph.add(Node(learned.id(spec.name), leaf, (), TensorType(leaf.shape, leaf.dtype), step.index))
    before = graph.models[-1]
    model = {name: learned.tensor(name, param, layer) for name, param, layer in step.after.tensors()}
    carried = {name: before[name] for name in step.before.extra_tensors if name in before}
    graph.models.append({**model, **carried})
    graph.steps.append(record(step, learned=tuple(learned.laws)))


@dataclass
class _Learned:
    """The tensors of one step, and what is claimed of each."""

    graph: Graph
    step: TypedStep
    layout: LigoLayout
    laws: list[LearnedLaw] = field(default_factory=list)
    widened: dict[tuple[str, int], str] = field(default_factory=dict)  # of an old layer, before it is blended

    def id(self, leaf: str) -> str:
        """The value of a leaf."""
        return f"{leaf}@{self.step.index}"

    def tensor(self, name: str, param: Param, layer: int | None) -> str:
        """The value of one tensor of the grown model."""
        before, sections = self.graph.models[-1], self.layout.sections(param)
        blended = layer is not None and self.layout.deeper
        if not sections and not blended:
            return before[name]
        depth = self.layout.depth_leaf(self.step.id, param) if blended else ""
        width_first = blended and self.layout.operator.order == "width-first"
        if not blended:
            source, value = name, self._widen(name, before[name], sections, layer)
        else:
            assert layer is not None
            names = [self.step.before.tensor_name(param, old) for old in range(self.step.before.depth)]
            source, values = names[0], [before[old] for old in names]
            if width_first:
                values = [self._widen_old(old, sections, at) for at, old in enumerate(names)]
            value = self._add(f"{name}@{self.step.index}.1", BlendLayers(layer), (self.id(depth), *values))
            if not width_first:
                value = self._widen(name, value, sections, layer, done=1)
        layers = self.step.before.depth if blended else 0
        at = OF_SOURCE if width_first else layer
        sides = tuple(
            Widened(s.dim, s.start, s.count, s.inner, self.layout.width_leaf(self.step.id, s.of, at))
            for s in sections
        )
        row = layer or 0 if blended else 0
        self.laws.append(LearnedLaw(name, source, layers, depth, row, sides, width_first and bool(sides)))
        return value

    def _widen_old(self, name: str, sections: tuple[Section, ...], layer: int) -> str:
        """A tensor of an old layer, widened before it is blended; once for all new layers."""
        if (name, layer) not in self.widened:
            value = self.graph.models[-1][name]
            self.widened[name, layer] = self._widen(name, value, sections, layer, word="w")
        return self.widened[name, layer]

    def _widen(
        self,
        name: str,
        value: str,
        sections: tuple[Section, ...],
        layer: int | None,
        done: int = 0,
        word: str = "",
    ) -> str:
        """The sections of a value widened, the last of a dimension first, so that starts stay true."""
        for s in sorted(sections, key=lambda s: (s.dim, -s.start)):
            leaf = self.id(self.layout.width_leaf(self.step.id, s.of, layer))
            done += 1
            op = Project(s.dim, s.start, s.count, s.inner)
            value = self._add(f"{name}@{self.step.index}.{word}{done}", op, (value, leaf))
        return value

    def _add(self, id: str, op: Primitive, inputs: tuple[str, ...]) -> str:
        type_ = result_type(op, tuple(self.graph.nodes[name].type for name in inputs))
        assert type_ is not None
        return self.graph.add(Node(id, op, inputs, type_, self.step.index))
