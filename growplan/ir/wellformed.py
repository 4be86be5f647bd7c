"""Is a graph a graph: single assignment, order, types, and models that name real values."""

from __future__ import annotations

from collections.abc import Iterator

from growplan.diagnostics import Diagnostic
from growplan.ir.graph import Graph, Node, Step
from growplan.ir.primitives import Leaf, Load, Store
from growplan.ir.typing import Mistype, result_type

Notes = tuple[tuple[str, str], ...]

REPORT = "this is a mistake in growplan, not in the plan: please report it with the plan"


def well_formed(graph: Graph) -> list[Diagnostic]:
    """What is wrong with the form of a graph; [] when it can be interpreted.

    Every value is defined once, before it is read, by a primitive that fits its inputs and
    has the type it says; every model names values of its own step or earlier; what is stored
    is the last model, whole.
    """
    return [*_nodes(graph), *_models(graph), *_steps(graph), *_stores(graph)]


def _malformed(message: str, *notes: tuple[str, str]) -> Diagnostic:
    return Diagnostic("GP255", message, notes=notes, help=(REPORT,))


def origin_note(step: Step) -> tuple[str, str]:
    """The plan line a step comes from, as a note."""
    return ("step", f"{step.text}  ({step.origin})")


def _nodes(graph: Graph) -> Iterator[Diagnostic]:
    seen: set[str] = set()
    loaded: set[str] = set()
    leaves: set[str] = set()
    for name, node in graph.nodes.items():
        if node.id != name:
            yield _malformed(f"value `{name}` calls itself `{node.id}`")
        missing = [i for i in node.inputs if i not in seen]
        if missing:
            yield _malformed(f"value `{name}` reads `{missing[0]}`, which is not defined before it")
        else:
            yield from _node(graph, node)
        if isinstance(node.op, Load):
            if node.op.tensor in loaded:
                yield _malformed(f"tensor `{node.op.tensor}` is loaded twice")
            loaded.add(node.op.tensor)
        if isinstance(node.op, Leaf):
            if node.op.leaf in leaves:
                yield _malformed(f"leaf `{node.op.leaf}` is declared twice")
            leaves.add(node.op.leaf)
        seen.add(name)
    source = set(graph.models[0]) if graph.models else set()
    for tensor in sorted(loaded - source):
        yield _malformed(f"tensor `{tensor}` is loaded, but the source model does not name it")


def _node(graph: Graph, node: Node) -> Iterator[Diagnostic]:
    inputs = [graph.nodes[i] for i in node.inputs]
    if any(isinstance(i.op, Store) for i in inputs):
        yield _malformed(f"value `{node.id}` reads what is stored")
    elif not 0 <= node.step <= len(graph.steps) or any(i.step > node.step for i in inputs):
        yield _malformed(f"value `{node.id}` belongs to no step that can have made it ({node.step})")
    elif isinstance(node.op, Store):
        if node.step != len(graph.steps):
            yield _malformed(f"`{node.id}` stores a model before the last")
    elif isinstance(node.op, Load) != (node.step == 0):
        yield _malformed(f"value `{node.id}` is {'read after' if node.step else 'made before'} step 1")
    try:
        type_ = result_type(node.op, tuple(i.type for i in inputs))
    except Mistype as reason:
        message = f"`{node.op.name}` of `{node.id}`: {reason}"
        yield Diagnostic("GP256", message, notes=_step_notes(graph, node), help=(REPORT,))
        return
    if type_ is not None and type_ != node.type:
        message = f"`{node.op.name}` gives {type_}, but `{node.id}` is declared {node.type}"
        yield Diagnostic("GP256", message, notes=_step_notes(graph, node), help=(REPORT,))


def _step_notes(graph: Graph, node: Node) -> Notes:
    return (origin_note(graph.steps[node.step - 1]),) if 0 < node.step <= len(graph.steps) else ()


def _models(graph: Graph) -> Iterator[Diagnostic]:
    if len(graph.models) != len(graph.steps) + 1:
        yield _malformed(
            f"{len(graph.steps)} steps need {len(graph.steps) + 1} models, not {len(graph.models)}"
        )
    for k, model in enumerate(graph.models):
        for tensor, value in model.items():
            node = graph.nodes.get(value)
            if node is None:
                yield _malformed(f"tensor `{tensor}` after step {k} is `{value}`, which is not defined")
            elif node.step > k or isinstance(node.op, Store):
                yield _malformed(f"tensor `{tensor}` after step {k} is `{value}` of step {node.step}")
            elif k == 0 and node.op != Load(tensor):
                yield _malformed(f"source tensor `{tensor}` is `{value}`, which reads another tensor")


def _steps(graph: Graph) -> Iterator[Diagnostic]:
    for k, step in enumerate(graph.steps, 1):
        if step.index != k:
            yield _malformed(f"step {k} is numbered {step.index}")
        for what, keys in (
            ("sets config key", [edit.key for edit in step.config]),
            ("has two sizes of", [axis for axis, _ in step.sizes]),
            ("has two laws for", [law.tensor for law in step.laws] + [law.tensor for law in step.of_leaves]),
            ("has two groups called", [group.name for group in step.groups]),
            ("has two sources for", [p.tensor for p in step.provenance]),
        ):
            twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) < len(keys) else ()
            for key in twice:
                yield _malformed(f"step `{step.id}` {what} `{key}` twice", origin_note(step))


def _stores(graph: Graph) -> Iterator[Diagnostic]:
    last = graph.models[-1] if graph.models else {}
    for tensor in sorted(last.keys() | graph.stores.keys()):
        value = graph.stores.get(tensor)
        node = graph.nodes.get(value) if value is not None else None
        if node is None:
            yield _malformed(f"tensor `{tensor}` of the last model is never stored")
        elif tensor not in last:
            yield _malformed(f"`{tensor}` is stored, but the last model has no such tensor")
        elif not isinstance(node.op, Store):
            yield _malformed(f"`{tensor}` is stored by `{node.op.name}`")
        elif (node.op.tensor, node.inputs) != (tensor, (last[tensor],)):
            yield _malformed(f"what is stored as `{tensor}` is not that tensor of the last model")
    stores = set(graph.stores.values())
    for node in graph.nodes.values():
        if isinstance(node.op, Store) and node.id not in stores:
            yield _malformed(f"`{node.id}` stores a tensor that is listed nowhere")
