"""Lowering of tensor rings: weights packed into blocks, mapped by cores that are fitted later."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

from growplan.check.mango import Group, MangoLayout, Member
from growplan.check.typed import TypedStep
from growplan.diagnostics import fail
from growplan.families.model import Param
from growplan.ir.graph import Graph, LearnedLaw, Node, TensorType, Widened
from growplan.ir.primitives import (
    BlendLayers,
    CoreMatrix,
    Cut,
    Join,
    Leaf,
    Pack,
    Primitive,
    RingMap,
    Transform,
)
from growplan.ir.record import record
from growplan.ir.rings import RingGroup, RingLaw, packed_value, ring_inputs
from growplan.ir.typing import result_type


def lower_mango(graph: Graph, step: TypedStep) -> None:
    """The model after a step of tensor rings. Raises GP537 where blocks of one ring have several dtypes."""
    assert step.operator is not None
    rings = _Rings(graph, step, MangoLayout(step.before, step.after, step.operator))
    for spec in step.leaves:
        leaf = Leaf(spec.name, spec.shape, "F64" if step.before.dtype == "F64" else "F32", "trainable")
        graph.add(Node(f"{spec.name}@{step.index}", leaf, (), TensorType(leaf.shape, leaf.dtype), step.index))
    before = graph.models[-1]
    rings.pack()
    model = {name: rings.tensor(name, param, layer) for name, param, layer in step.after.tensors()}
    carried = {name: before[name] for name in step.before.extra_tensors if name in before}
    graph.models.append({**model, **carried})
    groups = tuple(rings.groups.values())
    graph.steps.append(record(step, learned=tuple(rings.learned), rings=tuple(rings.laws), groups=groups))


@dataclass
class _Rings:
    """The tensors of one step, and what is claimed of each."""

    graph: Graph
    step: TypedStep
    layout: MangoLayout
    learned: list[LearnedLaw] = field(default_factory=list)
    laws: list[RingLaw] = field(default_factory=list)
    matrices: dict[str, str] = field(default_factory=dict)  # leaf -> the value of its matrix

    @cached_property
    def groups(self) -> dict[str, RingGroup]:
        """The groups by name."""
        return {group.name: self._group(group) for group in self.layout.groups}

    def _group(self, group: Group) -> RingGroup:
        names = (f"S_B/{group.name}", f"S_O/{group.out.name}", "S_L", f"S_I/{group.into.name}")
        s_b, s_o, s_l, s_i = (f"{self.step.id}/{name}" for name in names)
        members = tuple(
            (self.step.before.tensor_name(m.param, 0), Cut(m.start, m.count, m.across, m.param.row_dim == 1))
            for m in group.members
        )
        rows, cols = group.out.old * group.out.inner, group.into.old * group.into.inner
        return RingGroup(group.name, self.step.before.depth, rows, cols, members, (s_b, s_o, s_l, s_i))

    def pack(self) -> None:
        """The blocks of every old layer, group by group."""
        before = self.graph.models[-1]
        for group in self.groups.values():
            for layer in range(group.layers):
                inputs = tuple(before[name] for name in group.sources(layer))
                self._check_dtypes(group, inputs)
                op = Pack(group.rows, group.cols, tuple(cut for _, cut in group.members))
                self._add(packed_value(group.name, layer, self.step.index), op, inputs)

    def _check_dtypes(self, group: RingGroup, inputs: tuple[str, ...]) -> None:
        kinds = sorted({self.graph.nodes[value].type.dtype for value in inputs})
        if len(kinds) > 1:
            names = " and ".join(kinds)
            message = f"weights that `{self.step.method}` sums up are stored as {names}"
            way = "convert the source to one dtype, or grow it by `via ligo`"
            fail("GP537", message, self.step.span, notes=[("weights", group.name)], help=way)

    def tensor(self, name: str, param: Param, layer: int | None) -> str:
        """The value of one tensor of the grown model."""
        if layer is not None and param in self.layout.members:
            return self._blocks(name, self.layout.members[param], layer)
        return self._plain(name, param, layer)

    def _blocks(self, name: str, members: tuple[tuple[Group, Member], ...], layer: int) -> str:
        """A tensor that is blocks of rings."""
        parts = tuple((group.name, self._made(member)) for group, member in members)
        dim, base = members[0][1].param.row_dim, f"{name}@{self.step.index}"
        values: list[str] = []
        for at, (group, cut) in enumerate(parts):
            inputs = ring_inputs(self.groups[group], self.step.index)
            values.append(self._add(f"{base}.part{at}" if at else f"{base}.1", RingMap(layer, cut), inputs))
        if len(parts) == 1:
            self.laws.append(RingLaw(name, layer, parts))
            return values[0]
        self.laws.append(RingLaw(name, layer, parts, dim))
        return self._add(f"{base}.2", Join(dim), tuple(values))

    def _made(self, member: Member) -> Cut:
        """A member's blocks, as they are counted in its group."""
        return Cut(member.first, member.count, member.across, member.param.row_dim == 1)

    def _plain(self, name: str, param: Param, layer: int | None) -> str:
        """A tensor made by the first bonds of cores: layers blended, parts of dimensions made anew."""
        id, done, source, sides = self.step.id, 0, name, self._sides(param)
        before = self.graph.models[-1]
        if layer is None and not sides:
            return before[name]
        value, depth, layers = before.get(name, ""), "", 0
        if layer is not None:
            layers, depth = self.step.before.depth, f"{id}/S_L"
            names = [self.step.before.tensor_name(param, old) for old in range(layers)]
            source, done = names[0], 1
            inputs = (self._matrix(depth), *(before[old] for old in names))
            value = self._add(f"{name}@{self.step.index}.1", BlendLayers(layer), inputs)
        for side in sorted(sides, key=lambda side: (side.dim, -side.start)):
            done += 1
            op = Transform(side.dim, side.start, side.count, side.inner)
            value = self._add(f"{name}@{self.step.index}.{done}", op, (value, self._matrix(side.leaf)))
        self.learned.append(LearnedLaw(name, source, layers, depth, layer or 0, sides))
        return value

    def _sides(self, param: Param) -> tuple[Widened, ...]:
        """What cores make of the dimensions of a tensor, piece by piece."""
        return tuple(
            Widened(
                dim=run.dim,
                start=run.start + piece * run.step,
                count=run.of.old,
                inner=run.of.inner,
                leaf=f"{self.step.id}/S_{side}/{run.of.name}",
                whole=True,
            )
            for side, run in self.layout.runs(param)
            for piece in range(run.pieces)
        )

    def _matrix(self, leaf: str) -> str:
        """The value that is a core's matrix."""
        if leaf not in self.matrices:
            id = f"{leaf}/matrix@{self.step.index}"
            self.matrices[leaf] = self._add(id, CoreMatrix(), (f"{leaf}@{self.step.index}",))
        return self.matrices[leaf]

    def _add(self, id: str, op: Primitive, inputs: tuple[str, ...]) -> str:
        type_ = result_type(op, tuple(self.graph.nodes[name].type for name in inputs))
        assert type_ is not None
        return self.graph.add(Node(id, op, inputs, type_, self.step.index))
