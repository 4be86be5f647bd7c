"""Steps that measure on data: where the gradient of a feed-forward layer is taken, and of which loss.

Everything that can be wrong before the data is opened is said here, without weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from growplan.check.resolve import Request
from growplan.check.task import Task, task_of
from growplan.diagnostics import Span, fail
from growplan.families.model import Call, Expr, Model, Module, Mul, Name
from growplan.families.walk import subexpressions
from growplan.methods.base import Method, OptionValue


@dataclass(frozen=True)
class FeedForward:
    """The feed-forward layer of a block: `read` takes its input, `down` writes its output.

    `gated`: the units are act(gate) * up, and `read` is the gate.
    """

    read: Module
    down: Module
    act: str
    gated: bool


@dataclass(frozen=True)
class Fit:
    """What a step measures: on which data, of which loss, at which layer.

    `scale` is a norm for new columns, None for that of the old ones; `mask` the id of the mask
    token, None for the tokenizer's. Losses: `causal` next tokens, `masked` tokens, one label a
    `sequence` or a `token`.
    """

    data: str  # as the plan writes it
    place: Span | None
    batch: int
    length: int
    scale: float | None
    mask: int | None
    loss: Task
    layer: FeedForward


def fit_of(request: Request, method: Method, model: Model) -> Fit:
    """What the step measures. Raises GP520, GP523, GP524, GP525."""
    step = request.step
    assert step is not None, "a step that measures on data is written, never implied"
    values: dict[str, OptionValue] = {o.name: o.default for o in method.options} | dict(step.options)
    data = step.on or str(values["data"])
    if not data:
        way = f"add `, data FILE`: a text, or token ids as .json or .npy (`growplan methods {method.name}`)"
        fail("GP520", f"`{method.name}` measures on data, and the step names none", request.span, help=way)
    layer = feed_forward(model, request.span)
    new = request.grow["ffn"][1] - request.grow["ffn"][0]
    assert layer.read.ins is not None
    most = min(layer.read.ins.size(model.sizes), layer.down.outs.size(model.sizes))
    if new > most:
        old = request.grow["ffn"][0]
        centred = any(m.kind == "layernorm" for m in model.modules.values())  # its mean has no gradient
        fail(
            "GP525",
            f"{new} new units need as many directions, and a gradient of {most} by {most} has {most}",
            request.span,
            help=(
                f"`widen ffn {old}→{old + most - centred}` at most",
                "grow the rest by a step of its own after it",
            ),
        )
    scale, mask = values["scale"], values["mask"]
    return Fit(
        data,
        step.place("on" if step.on else "data"),
        int(values["batch"]),
        int(values["length"]),
        None if scale == "mean_norm" else float(scale),
        None if mask == "tokenizer" else int(mask),
        _task(model, request.span),
        layer,
    )


def _task(model: Model, span: Span | None) -> Task:
    if model.inputs == "image":
        why = "there is no loss to take the gradient of: data is read as token ids, and the model reads none"
        fail("GP523", why, span, help="`widen ffn … via fpi`, which needs no gradient")
    task = task_of(model, span)
    if task == "answer":
        why = "there is no loss to take the gradient of: spans of answers are not measured"
        fail("GP523", why, span, help="`widen ffn … via fpi`, which needs no gradient")
    return task


# the layer -----------------------------------------------------------------------------------------


def feed_forward(model: Model, span: Span | None = None) -> FeedForward:
    """The one feed-forward layer of a block. Raises GP524 where a new unit would get no gradient."""
    made: dict[str, Expr] = {}
    found: list[FeedForward | None] = []
    for statement in model.block:
        for expr in subexpressions(statement.value):
            if isinstance(expr, Call) and _reads_units(model, expr.fn):
                found.append(_layer(model, model.modules[expr.fn], expr.args[0], made))
        if len(statement.targets) == 1:
            made[statement.targets[0]] = _resolved(statement.value, made)
    layer = found[0] if len(found) == 1 else None
    if layer is None:
        message = f"a block of the {model.family.name} family has no single layer act(fc1) or act(gate) * up"
        fail("GP524", message, span, help="`widen ffn … via fpi`, which needs no gradient")
    if layer.down.in_expert:
        message = (
            "the gradient of a layer is not taken apart by its experts, each of which sees its own tokens"
        )
        fail("GP524", message, span, help="`widen ffn … via fpi`, which grows every expert exactly")
    if layer.act == "relu":
        message = "through `relu` a silent unit gets no gradient: its slope at 0 is 0"
        fail("GP524", message, span, help="`widen ffn … via fpi`, or `mask-in ffn …`: both are exact")
    return layer


def _reads_units(model: Model, name: str) -> bool:
    module = model.modules.get(name)
    if module is None or module.kind != "linear" or module.ins is None:
        return False
    return "ffn" in module.ins.axes


def _layer(model: Model, down: Module, value: Expr, made: Mapping[str, Expr]) -> FeedForward | None:
    """act(fc1(x)) or act(gate(x)) * up(x), in either order."""
    value = _resolved(value, made)
    gated = isinstance(value, Mul)
    for side in (value.left, value.right) if isinstance(value, Mul) else (value,):
        side = _resolved(side, made)
        if isinstance(side, Call) and side.fn not in model.modules and len(side.args) == 1:
            inner = _resolved(side.args[0], made)
            if isinstance(inner, Call) and inner.fn in model.modules:
                return FeedForward(model.modules[inner.fn], down, side.fn, gated)
    return None


def _resolved(value: Expr, made: Mapping[str, Expr]) -> Expr:
    return made.get(value.id, value) if isinstance(value, Name) else value
