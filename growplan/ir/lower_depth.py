"""Lowering of steps that add layers: copies, silent, fresh and predicted layers, norms whose affine moves."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from growplan.algebra import ONE, Expansion, Run
from growplan.check.blocks import writers
from growplan.check.predictors import predicted
from growplan.check.twins import twins_of
from growplan.check.typed import TypedStep
from growplan.families.model import Model, Param
from growplan.ir.graph import Graph, Node, Provenance, TensorLaw, TensorType
from growplan.ir.primitives import (
    AddNull,
    CopyLayer,
    Fill,
    Fresh,
    FromLeaf,
    Leaf,
    Mask,
    Primitive,
    ZeroOut,
    leaf_name,
)
from growplan.ir.record import record
from growplan.ir.text.implied import copies_of
from growplan.methods.base import LayerSource

INITIALIZER_RANGE = 0.02  # what transformers assumes where the config says nothing


def lower_depth(graph: Graph, step: TypedStep) -> None:
    """The model after a depth step: every layer from the one that `step.layers` names."""
    before = graph.models[-1]
    depth = _Depth(graph, step, frozenset(writers(step.before)))
    kept = {name: before[name] for name, param, _ in step.before.tensors() if not param.in_layer}
    kept |= {name: before[name] for name in step.before.extra_tensors if name in before}
    model: dict[str, str] = {}
    for name, param, layer in step.after.tensors():
        model[name] = kept.pop(name) if layer is None else depth.tensor(name, param, layer)
    graph.models.append({**model, **kept})
    graph.steps.append(record(step, laws=tuple(depth.laws), provenance=tuple(depth.provenance)))


@dataclass
class _Depth:
    """The layers of one step, and what is claimed of each tensor."""

    graph: Graph
    step: TypedStep
    writers: frozenset[str]
    laws: list[TensorLaw] = field(default_factory=list)
    provenance: list[Provenance] = field(default_factory=list)

    def tensor(self, name: str, param: Param, layer: int) -> str:
        """The value of one tensor of the grown model's `layer`."""
        source = self.step.layers[layer]
        made = _made(param, source, self.writers, self.step.before)
        at = source.layer if made.layer is None else made.layer
        old_name = self.step.before.tensor_name(param, at)
        value = self.graph.models[-1][old_name]
        shape = self.graph.nodes[value].type.shape
        ops: list[Primitive] = [CopyLayer(at, layer)] if at != layer else []
        twins = twins_of(self.step.before, param) if made.kind == "cancel" else None
        ops += _ops(made, param, shape, f"{self.step.key}/{name}/layer", twins)
        if made.masked:
            ops.append(Mask(param.row_dim, ((0, shape[param.row_dim]),), "depth", self.step.over))
        base = second = value
        if made.kind == "predicted":
            second = self._leaf(name, self.graph.nodes[base].type)
        for count, op in enumerate(ops, 1):
            inputs = (value, second)[: op.arity]
            type_, k = self.graph.nodes[base].type, self.step.index
            value = self.graph.add(Node(f"{name}@{k}.{count}", op, inputs, type_, k))
        if made.kind == "copy" and not made.masked:
            self.provenance.append(Provenance(name, old_name))
        self.laws.append(_law(made, name, old_name, param, shape, twins))
        return value

    def _leaf(self, name: str, type_: TensorType) -> str:
        """The data leaf of a tensor, of its type."""
        leaf = Leaf(leaf_name(self.step.id, name), type_.shape, type_.dtype)
        return self.graph.add(Node(f"{name}@{self.step.index}.leaf", leaf, (), type_, self.step.index))


@dataclass(frozen=True)
class _Made:
    """What becomes of a tensor: copy, zero, cancel, one, predicted, or a draw by `init`.

    `layer`: that of another old layer. `masked`: read through a mask of 0.
    """

    kind: str
    init: str = ""
    layer: int | None = None
    masked: bool = False


def _made(param: Param, source: LayerSource, silenced: frozenset[str], model: Model) -> _Made:
    norms, module = dict(source.norms), model.modules[param.module]
    neutral = _Made("one" if module.is_norm and param.leaf == "weight" else "zero")
    if param.module in norms:
        layer = norms[param.module]
        return neutral if layer is None else _Made("copy", layer=layer)
    if source.predicted is not None and predicted(model, param):
        return _Made("predicted")
    if source.writers in ("zero", "cancel") and param.module in silenced:
        return _Made("cancel" if source.writers == "cancel" and param.leaf == "weight" else "zero")
    if source.writers == "masked" and param.module in silenced:
        return replace(_made(param, replace(source, writers="kept"), silenced, model), masked=True)
    if not source.fresh:
        return _Made("copy")
    if module.is_norm or param.leaf == "bias":
        return neutral
    config = f"normal({_initializer_range(model)})"
    return _Made("fresh", config if source.fresh == "config" else source.fresh)


def _initializer_range(model: Model) -> float:
    std = model.config.get("initializer_range")
    if isinstance(std, int | float) and not isinstance(std, bool) and 0 <= std < 1e6:
        return float(std)
    return INITIALIZER_RANGE


def _ops(
    made: _Made, param: Param, shape: tuple[int, ...], key: str, twins: Expansion | None
) -> list[Primitive]:
    whole = ((0, shape[param.row_dim]),)
    match made.kind:
        case "zero":
            return [ZeroOut(param.row_dim, whole)]
        case "cancel":
            assert twins is not None
            noise = AddNull(param.col_dim, copies_of(twins), "centred", "like", key)
            return [ZeroOut(param.row_dim, whole), noise]
        case "one":
            return [Fill(ONE)]
        case "predicted":
            return [FromLeaf(param.row_dim, whole)]
        case "fresh":
            return [Fresh(param.row_dim, whole, made.init, key)]
    return []


def _law(
    made: _Made,
    name: str,
    old_name: str,
    param: Param,
    shape: tuple[int, ...],
    twins: Expansion | None,
) -> TensorLaw:
    rows = shape[param.row_dim]
    e_out = Expansion.identity(rows)
    if made.kind in ("zero", "cancel") or made.masked:
        e_out = Expansion(rows, (Run("zero", rows),))
    elif made.kind in ("fresh", "predicted"):
        e_out = Expansion(rows, (Run("free", rows),))
    constant = ONE if made.kind == "one" else None
    if param.cols is None:
        return TensorLaw(name, old_name, e_out, None, param.row_dim, None, constant)
    cols = Expansion.identity(shape[param.col_dim])
    given = made.kind == "predicted"
    return TensorLaw(name, old_name, e_out, cols, param.row_dim, param.col_dim, constant, given, twins)
