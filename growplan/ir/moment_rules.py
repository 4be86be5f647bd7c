"""The rules of a plan: which moments of the source each tensor of the target gets, through all its steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from growplan.algebra import Root
from growplan.check.gradients import shares
from growplan.check.typed import TypedPlan, TypedStep
from growplan.families.model import Model
from growplan.families.untie import head_sources
from growplan.ir.graph import Graph, Node
from growplan.ir.moments import RULES, Moved, Tensor, reset
from growplan.ir.primitives import PRIMITIVES, CopyLayer, CopyTensor, Primitive, Store
from growplan.ir.slices import Axis


@dataclass(frozen=True)
class MomentRules:
    """Where the moments of a plan's target come from: `tensors` by name on disk, between two models."""

    source: Model
    target: Model
    tensors: Mapping[str, Moved]


def moment_rules(graph: Graph, typed: TypedPlan) -> MomentRules:
    """The rules of all steps in a row; nothing in them depends on weights."""
    found = _untouched(graph, 0, typed.source)
    for step in typed.steps:
        found = dict(_after(graph, step, found))
    return MomentRules(typed.source, typed.target, found)


def of_step(graph: Graph, step: TypedStep) -> Mapping[str, Moved]:
    """Tensor after one step -> where its moments come from, in the model before it."""
    return dict(_after(graph, step, _untouched(graph, step.index - 1, step.before)))


def _untouched(graph: Graph, k: int, model: Model) -> Mapping[str, Moved]:
    types = {name: graph.nodes[value].type for name, value in graph.models[k].items()}
    return {n: Moved(n, tuple(map(Axis.identity, types[n].shape))) for n, _, _ in model.tensors()}


def primitives(graph: Graph, step: TypedStep) -> tuple[type[Primitive], ...]:
    """The kinds of primitives of a step, in the order of their table."""
    used = {type(node.op) for node in graph.nodes.values() if node.step == step.index}
    return tuple(op for op in PRIMITIVES if op in used and op is not Store)


def _after(graph: Graph, step: TypedStep, before: Mapping[str, Moved]) -> Iterator[tuple[str, Moved]]:
    names = {value: name for name, value in graph.models[step.index - 1].items()}
    found = shares(step) if step.rewrites and _preserves(step) else {}
    kept, halved, why = _kept_layers(step), _untied(step), _doubt(step)
    for name, param, layer in step.after.tensors():
        nodes, base = _chain(graph, step, graph.models[step.index][name])
        if layer is not None and step.layers and layer not in kept:
            yield name, reset("a new layer")
            continue
        if base not in names or (step.proof.claim.strength == "none" and _changed(nodes)):
            yield name, reset(why or "it is made of other values than one old tensor's")
            continue
        moved = before[names[base]]
        tensor = Tensor(param, found.get((param.module, param.leaf)))
        for node in nodes:
            moved = RULES[type(node.op)].apply(node.op, moved, tensor) if moved.source else moved
        if tensor.share is not None and nodes and tensor.share.why:
            moved = moved.because(tensor.share.why)
        if name in halved:
            moved = moved.times(_HALF).because(DIVIDED)
        if param.expert is not None and _expert_part(step) != 1:
            moved = moved.times(Root.rational(_expert_part(step))).because(ROUTED)
        yield name, moved.because(why)


ROUTED = "an expert gets the gradient of the tokens sent to it"
DIVIDED = "the embedding and the head divide what was one gradient"
_HALF = Root.rational(Fraction(1, 2))


def _chain(graph: Graph, step: TypedStep, value: str) -> tuple[list[Node], str]:
    """The primitives that make `value` in this step, first to last, and the value they begin with."""
    nodes: list[Node] = []
    while graph.nodes[value].step == step.index:
        nodes.append(graph.nodes[value])
        if RULES[type(nodes[-1].op)].kind == "reset" or not nodes[-1].inputs:
            return nodes[::-1], ""
        value = nodes[-1].inputs[0]
    return nodes[::-1], value


def _changed(nodes: Sequence[Node]) -> bool:
    return any(not isinstance(node.op, CopyLayer | CopyTensor) for node in nodes)


def _preserves(step: TypedStep) -> bool:
    return step.proof.claim.strength != "none"


def _doubt(step: TypedStep) -> str:
    """Why no moments of a step are exact; empty where they may be."""
    claim = step.proof.claim
    if claim.strength == "none":
        return "the step makes another function"
    if claim.strength == "approximate":
        return "the step keeps the function approximately"
    if "old vocab" in claim.domain:
        return "new tokens take part in the softmax"
    if any(source.writers == "cancel" for source in step.layers):
        return "noise that cancels over copies reaches their gradients"
    return ""


def _kept_layers(step: TypedStep) -> set[int]:
    """The layers after a depth step that carry an old one on: its first copy that writes."""
    seen: set[int] = set()
    kept: set[int] = set()
    for layer, source in enumerate(step.layers):
        own = not source.silent and not source.fresh and source.predicted is None
        if own and source.layer not in seen:
            seen.add(source.layer)
            kept.add(layer)
    return kept


def _untied(step: TypedStep) -> set[str]:
    """The tensors that a head and an embedding make of one, where a step unties them."""
    if step.verb != "untie":
        return set()
    sources = head_sources(step.before, step.after)
    names = {param.name: param for param in step.after.params()}
    both = [*(names[name] for name in sources), *sources.values()]
    return {step.after.tensor_name(param) for param in both}


def _expert_part(step: TypedStep) -> Fraction:
    """The part of an expert's (or dense ffn's) gradient that each one made of it gets, on average."""
    if step.upcycling is not None:
        return Fraction(step.upcycling.mixture.shards, step.upcycling.mixture.experts)
    old, new = (model.sizes.get("experts", 1) for model in (step.before, step.after))
    return Fraction(old, new)
