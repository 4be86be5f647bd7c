"""Lowering of `upcycle`: every expert from the dense ffn, the router drawn, all else as it was.

An expert's tensor is the dense one under its own name, cut to a shard, scaled, in part drawn
again, and made noisy, as far as the step asks for it. A router has no tensor to come from: it
reads what the gate projection reads, so it begins with that one's columns and none of its rows.
"""

from __future__ import annotations

from math import floor

from growplan.algebra import ONE, Expansion, Run
from growplan.check.typed import TypedStep, Upcycling
from growplan.families.model import Param
from growplan.ir.graph import Graph, Node, Provenance, TensorLaw, TensorType
from growplan.ir.primitives import (
    AddNoise,
    CopyTensor,
    DropUnits,
    DuplicateRow,
    Fresh,
    Primitive,
    SampleUnits,
    Scale,
    ZeroOut,
)
from growplan.ir.record import record
from growplan.ir.typing import result_type


def lower_upcycle(graph: Graph, step: TypedStep) -> None:
    """The mixture after the step, tensor by tensor."""
    how = step.upcycling
    assert how is not None
    before = graph.models[-1]
    model: dict[str, str] = {}
    laws: list[TensorLaw] = []
    provenance: list[Provenance] = []
    for name, param, layer in step.after.tensors():
        module = _source_of(how, param)
        source = step.before.tensor_name(_param(step, module, param.leaf), layer)
        chain = _Chain(graph, step, name, before[source])
        if source != name:
            chain.apply(CopyTensor(source, name))
        if param.module == how.router:
            rows, col_dim = _router(chain, how), 1
            laws.append(TensorLaw(name, source, rows, Expansion.identity(chain.shape[1]), 0, col_dim))
        elif param.expert is not None:
            laws.append(_expert(chain, how, step, param, source))
        if chain.copied and source != name:
            provenance.append(Provenance(name, source))
        model[name] = chain.value
    graph.models.append(model)
    graph.steps.append(record(step, laws=tuple(laws), provenance=tuple(provenance)))


def _source_of(how: Upcycling, param: Param) -> str:
    """The dense module that a tensor begins with: for the router, the first that an expert's comes from."""
    if param.module == how.router:
        return next(iter(how.sources.values()))
    return how.sources.get(param.module, param.module)


def _param(step: TypedStep, module: str, leaf: str) -> Param:
    return next(p for p in step.before.modules[module].params if p.leaf == leaf)


class _Chain:
    """The primitives of one tensor, appended to the graph as they come."""

    def __init__(self, graph: Graph, step: TypedStep, tensor: str, value: str) -> None:
        self.graph, self.step, self.tensor, self.value = graph, step, tensor, value
        self.count = 0
        self.copied = True  # nothing but its name has changed

    @property
    def shape(self) -> tuple[int, ...]:
        return self.graph.nodes[self.value].type.shape

    def key(self, part: str) -> str:
        return f"{self.step.key}/{self.tensor}/{part}"

    def apply(self, op: Primitive, *extra: str) -> None:
        """Make `op` of the value so far, and of `extra`, the value."""
        self.count += 1
        self.value = self.aside(op, str(self.count), *extra)
        self.copied = self.copied and isinstance(op, CopyTensor)

    def aside(self, op: Primitive, word: str, *extra: str) -> str:
        """`op` of the value so far, as a value beside the tensor's own line."""
        inputs = (self.value, *extra)
        type_ = result_type(op, tuple(self.graph.nodes[name].type for name in inputs))
        assert isinstance(type_, TensorType)
        name = f"{self.tensor}@{self.step.index}.{word}"
        return self.graph.add(Node(name, op, inputs, type_, self.step.index))


def _router(chain: _Chain, how: Upcycling) -> Expansion:
    """Rows drawn, one for each group of shards, and repeated for its shards; returns the law's rows."""
    mixture = how.mixture
    old, groups = chain.shape[0], mixture.experts // mixture.shards
    value = chain.value
    chain.apply(DuplicateRow(0, Expansion(old, (Run("hole", groups),))))
    if mixture.router == "zeros":
        chain.apply(ZeroOut(0, ((0, groups),)))
    else:
        chain.apply(Fresh(0, ((0, groups),), mixture.router, chain.key("router")), value)
    if mixture.shards > 1:
        units = [group for group in range(groups) for _ in range(mixture.shards)]
        chain.apply(DuplicateRow(0, Expansion.of_units(groups, units)))
    return Expansion(old, (Run("free", mixture.experts),))


def _expert(chain: _Chain, how: Upcycling, step: TypedStep, param: Param, source: str) -> TensorLaw:
    """The tensor of one expert, and its law: the ffn's units are its rows, or its columns."""
    mixture = how.mixture
    assert param.expert is not None and param.cols is not None
    dim = param.row_dim if "ffn" in param.rows.axes else param.col_dim
    old = chain.shape[dim]
    size = old // mixture.shards
    start = param.expert % mixture.shards * size
    scale = how.scales.get(param.module, ONE)
    if mixture.shards > 1:
        chain.apply(DuplicateRow(dim, Expansion(old, (Run("copy", size, start),))))
    if not scale.is_one:
        chain.apply(Scale(scale))
    count = floor(mixture.drop * size)
    if count:
        units = chain.key("units")
        sample = chain.aside(SampleUnits(dim, count, units), "units")
        chain.apply(DropUnits(dim, count, units, chain.key("drop")), sample)
    if mixture.noise:
        chain.apply(AddNoise(dim, mixture.noise, chain.key("noise")))
    drawn = bool(count or mixture.noise)
    rows = Expansion(old, (Run("free", size) if drawn else Run("copy", size, start, scale),))
    other = 1 - dim
    return TensorLaw(chain.tensor, source, rows, Expansion.identity(chain.shape[other]), dim, other)
