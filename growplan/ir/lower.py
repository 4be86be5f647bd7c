"""Lowering: a typed plan becomes a graph of primitives, tensor by tensor, step by step.

Per tensor the order is fixed: rows first (`duplicate_row`, then every hole filled), then
columns (`split_column`, then every hole filled). A tensor that a step leaves alone keeps its
value, so untouched tensors stay byte copies from the source to the result.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from growplan.check.typed import ModuleTyping, ParamRewrite, TypedPlan, TypedStep
from growplan.families.model import Param
from growplan.ir.chain import Chain
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
from growplan.ir.lower_learned import lower_learned
from growplan.ir.lower_mango import lower_mango
from growplan.ir.lower_moe import lower_upcycle
from growplan.ir.lower_untie import lower_untie
from growplan.ir.primitives import (
    Graft,
    Load,
    Store,
)
from growplan.ir.record import record


def lower(typed: TypedPlan, tensors: Mapping[str, TensorType] | None = None) -> Graph:
    """The IR of a typed plan.

    `tensors` gives the types on disk (mixed precision, buffers that are carried); without it
    every tensor has the model's dtype.
    """
    graph = Graph()
    _load_source(graph, typed, tensors or {})
    lower_steps(graph, typed.steps)
    for tensor, value in graph.models[-1].items():
        type_ = graph.nodes[value].type
        node = Node(f"store {tensor}", Store(tensor), (value,), type_, len(typed.steps))
        graph.stores[tensor] = graph.add(node)
    return graph


def lower_steps(graph: Graph, steps: Sequence[TypedStep]) -> None:
    """Append steps to a graph whose last model is the one before the first of them."""
    for step in steps:
        _lowering(step)(graph, step)


def _lowering(step: TypedStep) -> Callable[[Graph, TypedStep], None]:
    if step.verb == "untie":
        return lower_untie
    if step.operator is not None:
        return lower_mango if step.operator.kind == "mango" else lower_learned
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
        chain = Chain(graph, name, step, param, before[source])
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
