"""Lowering: a typed plan becomes a graph of primitives, tensor by tensor, step by step.

Per tensor the order is fixed: rows first (`duplicate_row`, then every hole filled), then
columns (`split_column`, then every hole filled). A tensor that a step leaves alone keeps its
value, so untouched tensors stay byte copies from the source to the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.check.typed import ModuleTyping, ParamRewrite, TypedPlan, TypedStep
from growplan.families.model import Param
from growplan.ir.graph import (
    Above,
    BlockLaw,
    Graph,
    LawKind,
    ModuleLaw,
    Node,
    Provenance,
    TensorLaw,
    TensorType,
)
from growplan.ir.lower_depth import lower_depth
from growplan.ir.lower_moe import lower_upcycle
from growplan.ir.lower_untie import lower_untie
from growplan.ir.primitives import (
    AddNull,
    CopyTensor,
    DuplicateRow,
    Fresh,
    FromLeaf,
    Graft,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Primitive,
    Ranges,
    Resample,
    RescaleNorm,
    SplitColumn,
    Store,
    ZeroOut,
    leaf_name,
)
from growplan.ir.record import record
from growplan.methods.base import Grid


def lower(typed: TypedPlan, tensors: Mapping[str, TensorType] | None = None) -> Graph:
    """The IR of a typed plan.

    `tensors` gives the types on disk (mixed precision, buffers that are carried); without it
    every tensor has the model's dtype.
    """
    graph = Graph()
    _load_source(graph, typed, tensors or {})
    for step in typed.steps:
        _lowering(step)(graph, step)
    for tensor, value in graph.models[-1].items():
        type_ = graph.nodes[value].type
        node = Node(f"store {tensor}", Store(tensor), (value,), type_, len(typed.steps))
        graph.stores[tensor] = graph.add(node)
    return graph


def _lowering(step: TypedStep) -> Callable[[Graph, TypedStep], None]:
    if step.verb == "untie":
        return lower_untie
    return lower_upcycle if step.upcycling else lower_depth if step.layers else _lower_width


def _load_source(graph: Graph, typed: TypedPlan, tensors: Mapping[str, TensorType]) -> None:
    """Every tensor of the source; buffers only where depth and positions stay (else they would not fit)."""
    model, names = typed.source, dict[str, str]()
    fits = all(model.sizes.get(a) == typed.target.sizes.get(a) for a in ("depth", "positions"))
    for name, param, _ in model.tensors():
        type_ = tensors.get(name) or TensorType(model.shape(param), model.dtype)
        names[name] = graph.add(Node(f"{name}@0", Load(name), (), type_, 0))
    for name in model.extra_tensors if fits else ():
        if name in tensors:
            names[name] = graph.add(Node(f"{name}@0", Load(name), (), tensors[name], 0))
    graph.models.append(names)


# width -----------------------------------------------------------------------------------------


def _lower_width(graph: Graph, step: TypedStep) -> None:
    before = graph.models[-1]
    rewrites = {(r.module, r.leaf): r for r in step.rewrites}
    model = dict(before)
    laws: dict[str, TensorLaw] = {}
    provenance: list[Provenance] = []
    experts = [row.unit for row in step.maps["experts"].rows()] if "experts" in step.maps else []
    for name, param, layer in step.after.tensors():
        rewrite = rewrites.get((param.module, param.leaf))
        source = step.before.tensor_name(_source(step, param, experts), layer)
        if rewrite is None or (_unchanged(rewrite) and source == name):
            continue
        norm = step.before.modules[param.module].is_norm
        chain = _Chain(graph, name, step, param, before[source])
        chain.copied(source)
        if rewrite.grid is not None:
            provenance.append(Provenance(name, name, chain.grid(rewrite.grid)))
            model[name] = chain.value
            continue
        chain.rows(rewrite, norm)
        chain.columns(rewrite)
        model[name] = chain.value
        cols = None if param.unfolded else rewrite.cols  # pixels have no map: `rows` says it all
        col_dim = None if cols is None else param.col_dim
        laws[name] = TensorLaw(name, source, rewrite.rows, cols, param.row_dim, col_dim)
    interpolated = {r.module for r in step.rewrites if r.grid is not None}
    typings = (t for t in step.typings if t.module.name not in interpolated)
    modules = tuple(law for t in typings for law in _module_laws(t, step.before.depth))
    if any(rewrite.graft for rewrite in step.rewrites):
        above = _graft(graph, step, model)
        laws = {name: BlockLaw(**vars(law), above=above.get(name)) for name, law in laws.items()}
        modules = tuple(law for law in modules if law.layer is None)  # layers have no law any more
    graph.models.append(model)
    graph.steps.append(record(step, laws=tuple(laws.values()), modules=modules, provenance=tuple(provenance)))


def _graft(graph: Graph, step: TypedStep, model: dict[str, str]) -> dict[str, Above]:
    """Every layer but the top one takes its new units from the next layer, both expanded alike.

    `model` holds the expanded tensors and then the grafted ones. Returns what each takes from where.
    """
    rewrites = {(r.module, r.leaf): r for r in step.rewrites if r.graft}
    expanded, taken = dict(model), dict[str, Above]()
    for name, param, layer in step.before.tensors():
        rewrite = rewrites.get((param.module, param.leaf))
        if rewrite is None or layer is None or layer + 1 == step.before.depth:
            continue
        e, dim = (rewrite.rows, param.row_dim) if rewrite.graft == "rows" else (rewrite.cols, param.col_dim)
        assert e is not None
        above = Above(step.before.tensor_name(param, layer + 1), dim, e.repeats)
        own = graph.nodes[expanded[name]]
        id = f"{name}@{step.index}.{int(own.id.rpartition('.')[2]) + 1}"
        node = Node(id, Graft(dim, above.at), (own.id, expanded[above.source]), own.type, step.index)
        model[name], taken[name] = graph.add(node), above
    return taken


def _source(step: TypedStep, param: Param, experts: list[int]) -> Param:
    """The parameter before the step: of a copied expert, that of the expert it is a copy of."""
    if param.expert is None or not experts:
        return param
    folded = next(p for p in step.before.modules[param.module].params if p.leaf == param.leaf)
    return folded.of_expert(experts[param.expert])


def _unchanged(rewrite: ParamRewrite) -> bool:
    return (
        rewrite.grid is None
        and rewrite.rows.is_identity
        and (rewrite.cols is None or rewrite.cols.is_identity)
    )


def _module_laws(typing: ModuleTyping, depth: int) -> list[ModuleLaw]:
    """One law a layer; the tensors of each expert are held to their own laws instead."""
    module = typing.module
    if module.in_expert:
        return []
    kind: LawKind = "tied" if typing.tied else module.kind
    layers = range(depth) if module.in_layer else (None,)
    return [
        ModuleLaw(module.name, kind, layer, layer, typing.e_in, typing.e_out, typing.exact)
        for layer in layers
    ]


@dataclass
class _Chain:
    """The primitives of one tensor in one step, appended to the graph as they come."""

    graph: Graph
    tensor: str
    step: TypedStep
    param: Param
    value: str

    def __post_init__(self) -> None:
        self._type = self.graph.nodes[self.value].type
        self._count = 0

    def copied(self, source: str) -> None:
        """The tensor that the chain begins with, under the name it will have."""
        if source != self.tensor:
            self._apply(CopyTensor(source, self.tensor))

    def rows(self, rewrite: ParamRewrite, norm: bool) -> None:
        """E_out on the row axis."""
        e = rewrite.made_rows or rewrite.rows
        if e.is_identity:
            return
        uniform = _uniform_scale(e) if norm else ONE
        self._gathered(self.param.row_dim, e, rewrite.init, "rows", uniform)

    def columns(self, rewrite: ParamRewrite) -> None:
        """D and N on the column axis, from E_in."""
        e, dim, old = rewrite.cols, self.param.col_dim, self.value
        if e is None or e.is_identity:
            return
        if rewrite.made_cols is not None:
            self._gathered(dim, rewrite.made_cols, rewrite.init, "null")
            return
        self._apply(self._split(rewrite, _copies(e), dim), (), (dim, e.size))
        if rewrite.noise is not None and rewrite.has_noise:
            pairing, scale = rewrite.noise.pairing, rewrite.noise.scale
            self._apply(AddNull(dim, _copies(e), pairing, scale, self._key("noise")), (old,))
        self._fill(ZeroOut(dim, e.positions("mean")))
        if rewrite.null == "data":
            self._measured(dim, e.positions("zero"))
        else:
            self._fresh(dim, e.positions("zero"), rewrite.init, "null", old)
        free = e.positions("free")
        if rewrite.masked and free:
            self._fresh(dim, free, rewrite.init, "columns", old)
            self._apply(Mask(dim, free, rewrite.masked, self.step.over))
        else:
            self._fill(ZeroOut(dim, free))

    def _gathered(self, dim: int, e: Expansion, init: str, part: str, uniform: Root = ONE) -> None:
        """The slices that E names: copies, means, zeros, and fresh ones where it is free."""
        old, copies = self.value, _copies(e, ONE / uniform)
        if not copies.is_identity:
            self._apply(DuplicateRow(dim, copies), (), (dim, e.size))
        if not uniform.is_one:
            self._apply(RescaleNorm(uniform))
        for c, at in _mean_rows(e):
            self._apply(LnAverage(dim, at, c), (old,))
        self._fill(ZeroOut(dim, e.positions("zero")))
        self._fresh(dim, e.positions("free"), init, part, old)

    def _split(self, rewrite: ParamRewrite, copies: Expansion, dim: int) -> SplitColumn:
        """Shares among copies; even where there is nothing to tell apart."""
        shares, rows = rewrite.shares, _copies(rewrite.rows)
        if copies.most_copies < 2 or (shares == "own" and rows.most_copies < 2):
            return SplitColumn(dim, copies, "even")
        if shares == "own":
            return SplitColumn(dim, copies, shares, rows=rows)
        return SplitColumn(dim, copies, shares, self._key("shares") if shares == "uneven" else "")

    def grid(self, grid: Grid) -> Resample:
        """The rows of a table interpolated, and how."""
        dim = self.param.col_dim
        op = Resample(dim, grid.kept, grid.old, grid.new)
        self._apply(op, (), (dim, grid.kept + grid.new**2))
        return op

    def _key(self, part: str) -> str:
        return f"{self.step.key}/{self.tensor}/{part}"

    def _fresh(self, dim: int, at: Ranges, init: str, part: str, old: str) -> None:
        if at:
            self._apply(Fresh(dim, at, init, self._key(part)), (old,))

    def _measured(self, dim: int, at: Ranges) -> None:
        """Slices from a data leaf of their own."""
        if not at:
            return
        shape = list(self._type.shape)
        shape[dim] = sum(stop - start for start, stop in at)
        type_ = TensorType(tuple(shape), self._type.dtype)
        leaf = Leaf(leaf_name(self.step.id, self.tensor), type_.shape, type_.dtype)
        name = f"{self.tensor}@{self.step.index}.leaf"
        self._apply(FromLeaf(dim, at), (self.graph.add(Node(name, leaf, (), type_, self.step.index)),))

    def _fill(self, op: ZeroOut) -> None:
        if op.at:
            self._apply(op)

    def _apply(
        self, op: Primitive, extra: tuple[str, ...] = (), resize: tuple[int, int] | None = None
    ) -> None:
        """Append `op`; `extra` are inputs after the first, `resize` (dim, size) what it changes."""
        if resize is not None:
            shape = list(self._type.shape)
            shape[resize[0]] = resize[1]
            self._type = TensorType(tuple(shape), self._type.dtype)
        self._count += 1
        name = f"{self.tensor}@{self.step.index}.{self._count}"
        self.value = self.graph.add(Node(name, op, (self.value, *extra), self._type, self.step.index))


@lru_cache(maxsize=512)
def _copies(e: Expansion, by: Root = ONE) -> Expansion:
    """The copy rows of E times `by`; all others holes. One object for all layers: long maps compare fast."""
    scaled = e if by.is_one else e.scaled(by)
    return Expansion(e.old, tuple(r if r.kind == "copy" else Run("hole", r.count) for r in scaled.runs))


def _uniform_scale(e: Expansion) -> Root:
    """The one coefficient of all copy rows, or 1 where they differ."""
    return next(iter(e.scales)) if len(e.scales) == 1 else ONE


def _mean_rows(e: Expansion) -> list[tuple[Root, Ranges]]:
    """Ranges of mean rows, by coefficient."""
    out: dict[Root, list[tuple[int, int]]] = {}
    at = 0
    for run in e.runs:
        if run.kind == "mean":
            out.setdefault(run.c, []).append((at, at + run.count))
        at += run.count
    return [(c, tuple(ranges)) for c, ranges in out.items()]
