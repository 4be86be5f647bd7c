"""Building graphs by hand, step by step, as the lowering would."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.ir.graph import (
    Above,
    BlockLaw,
    Graph,
    ModuleLaw,
    Node,
    Provenance,
    Step,
    TensorLaw,
    TensorType,
)
from growplan.ir.primitives import (
    AddNull,
    CopyLayer,
    DuplicateRow,
    Fresh,
    FromLeaf,
    Graft,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Primitive,
    RescaleNorm,
    SplitColumn,
    Store,
    ZeroOut,
)
from growplan.ir.typing import result_type


def E(old: int, *runs: tuple) -> Expansion:
    """E(8, ("copy", 8), ("mean", 4))."""
    return Expansion(old, tuple(Run(*run) for run in runs))


def copies(e: Expansion) -> Expansion:
    return Expansion(e.old, tuple(r if r.kind == "copy" else Run("hole", r.count) for r in e.runs))


class Builder:
    """A graph, step by step. `ops` take the tensor so far, and the old tensor as second input."""

    def __init__(self, tensors: Mapping[str, tuple[int, ...]], dtype: str = "F32") -> None:
        self.graph = Graph()
        for name, shape in tensors.items():
            self.graph.add(Node(f"{name}@0", Load(name), (), TensorType(shape, dtype), 0))
        self.graph.models.append({name: f"{name}@0" for name in tensors})
        self.model: dict[str, str] = {}
        self.laws: list[TensorLaw] = []
        self.modules: list[ModuleLaw] = []
        self.provenance: list[Provenance] = []

    @property
    def k(self) -> int:
        return len(self.graph.steps) + 1

    @property
    def before(self) -> dict[str, str]:
        return self.graph.models[-1]

    def shape(self, tensor: str) -> tuple[int, ...]:
        return self.graph.nodes[self.before[tensor]].type.shape

    def make(self, tensor: str, ops: Sequence[Primitive], source: str | None = None) -> None:
        old = value = self.before[source or tensor]
        for j, op in enumerate(ops, 1):
            inputs = (value, old)[: op.arity]
            if isinstance(op, FromLeaf):
                inputs = (value, self.leaf(tensor, value, op))
            type_ = result_type(op, tuple(self.graph.nodes[i].type for i in inputs))
            assert type_ is not None
            value = self.graph.add(Node(f"{tensor}@{self.k}.{j}", op, inputs, type_, self.k))
        self.model[tensor] = value

    def leaf(self, tensor: str, value: str, op: FromLeaf) -> str:
        """The data leaf that `op` fills `value` from."""
        type_ = self.graph.nodes[value].type
        count = sum(b - a for a, b in op.at)
        shape = (*type_.shape[: op.dim], count, *type_.shape[op.dim + 1 :])
        leaf = Leaf(f"s{self.k}/{tensor}", shape, type_.dtype)
        type_ = TensorType(shape, type_.dtype)
        return self.graph.add(Node(f"{tensor}@{self.k}.leaf", leaf, (), type_, self.k))

    def linear(
        self,
        tensor: str,
        rows: Expansion | None,
        cols: Expansion | None,
        row_dim: int = 0,
        shares: str = "even",
        norm: Root = ONE,
        masked: bool = False,
        noise: str = "",
        leaf: bool = False,
    ) -> None:
        """Rows, then columns, every hole filled; with its law."""
        shape = self.shape(tensor)
        col_dim = 1 - row_dim if len(shape) == 2 else None
        rows = rows or Expansion.identity(shape[row_dim])
        ops: list[Primitive] = []
        key = f"0/s{self.k}/{tensor}"
        if not rows.is_identity:
            ops.append(DuplicateRow(row_dim, copies(rows)))
            if not norm.is_one:
                ops.append(RescaleNorm(norm))
            ops += self._fills(rows, row_dim, f"{key}/rows", columns=False)
        law_rows = rows.scaled(norm)
        if col_dim is not None:
            cols = cols or Expansion.identity(shape[col_dim])
            if not cols.is_identity:
                drawn = f"{key}/shares" if shares == "uneven" else ""
                other = copies(rows) if shares == "own" else None
                ops.append(SplitColumn(col_dim, copies(cols), shares, drawn, other))
                if noise and cols.most_copies > 1:
                    ops.append(AddNull(col_dim, copies(cols), noise, "snr(20)", f"{key}/noise"))
                fills = self._fills(cols, col_dim, f"{key}/null", columns=True, masked=masked)
                ops += [FromLeaf(op.dim, op.at) if leaf and isinstance(op, Fresh) else op for op in fills]
        self.make(tensor, ops)
        self.laws.append(TensorLaw(tensor, tensor, law_rows, cols, row_dim, col_dim))

    def block_laws(self, above: Mapping[str, Above]) -> None:
        """Graft what `above` says onto the tensors so far, expanded alike; their laws say what they are."""
        for tensor, (source, dim, at) in ((t, vars(a).values()) for t, a in above.items()):
            own = self.graph.nodes[self.model[tensor]]
            id = f"{tensor}@{self.k}.{int(own.id.rpartition('.')[2]) + 1}"
            node = Node(id, Graft(dim, at), (own.id, self.model[source]), own.type, self.k)
            self.model[tensor] = self.graph.add(node)
        self.laws = [BlockLaw(**vars(law), above=above.get(law.tensor)) for law in self.laws]

    def _fills(
        self, e: Expansion, dim: int, key: str, columns: bool, masked: bool = False
    ) -> list[Primitive]:
        out: list[Primitive] = []
        if at := e.positions("mean"):
            c = next(r.c for r in e.runs if r.kind == "mean")
            out.append(ZeroOut(dim, at) if columns else LnAverage(dim, at, c))
        if at := e.positions("zero"):
            out.append(Fresh(dim, at, "like", key) if columns else ZeroOut(dim, at))
        if at := e.positions("free"):
            if columns and not masked:
                out.append(ZeroOut(dim, at))
            else:
                out.append(Fresh(dim, at, "normal(0.02)", key))
                out += [Mask(dim, at, "heads", 100)] if masked else []
        return out

    def copy(self, tensor: str, source: str, layers: tuple[int, int] | None, silent: bool = False) -> None:
        """One tensor of a deeper model."""
        shape = self.shape(source)
        ops: list[Primitive] = [CopyLayer(*layers)] if layers else []
        rows = Expansion.identity(shape[0])
        if silent:
            ops.append(ZeroOut(0, ((0, shape[0]),)))
            rows = E(shape[0], ("zero", shape[0]))
        else:
            self.provenance.append(Provenance(tensor, source))
        self.make(tensor, ops, source)
        cols = Expansion.identity(shape[1]) if len(shape) == 2 else None
        self.laws.append(TensorLaw(tensor, source, rows, cols, 0, 1 if cols else None))

    def end(self, id: str, text: str, claim: str = "exact", **more: object) -> None:
        model = {**self.before, **self.model}
        step = Step(
            self.k,
            id,
            text,
            claim,
            f"plan.grow.yaml:{self.k + 3}:5",
            laws=tuple(self.laws),
            modules=tuple(self.modules),
            provenance=tuple(self.provenance),
            **more,  # type: ignore[arg-type]
        )
        self.graph.models.append(model)
        self.graph.steps.append(step)
        self.model, self.laws, self.modules, self.provenance = {}, [], [], []

    def done(self) -> Graph:
        for tensor, value in self.before.items():
            node = self.graph.nodes[value]
            id = self.graph.add(Node(f"store {tensor}", Store(tensor), (value,), node.type, self.k - 1))
            self.graph.stores[tensor] = id
        return self.graph
