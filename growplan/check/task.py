"""The task that a model's own head is trained on, from its statements: which loss there is.

GP523 where it has none that data can give.
"""

from __future__ import annotations

from typing import Literal, NoReturn

from growplan.diagnostics import Span, fail
from growplan.families.model import AxisExpr, Call, Const, Expr, Model, ModuleRef
from growplan.families.walk import subexpressions

Task = Literal["causal", "masked", "sequence", "token", "answer", "image"]
"""The next token, masked tokens; one label a sequence, a token, an image; where an answer begins and ends."""


def task_of(model: Model, span: Span | None = None) -> Task:
    """The task of the head. Raises GP523 where it has none that data can give."""
    axis, per_token = _logits(model)
    if model.architecture.endswith("ForQuestionAnswering") and model.sizes.get("labels") == 2:
        return "answer"
    if axis is not None and "vocab" in axis.axes:
        return "causal" if _is_causal(model) else "masked"
    if axis is None or "labels" not in axis.axes:
        _no_task(f"{model.architecture} ends without a head that has one", span)
    labels, kind = model.sizes["labels"], model.config.get("problem_type")
    if labels < 2 or kind not in (None, "single_label_classification"):
        _no_task(f"{labels} labels of type {kind or 'regression'} are no classification", span)
    if model.inputs == "image":
        return "image"
    return "token" if per_token else "sequence"


def finds_its_end(model: Model) -> bool:
    """Whether the head reads the last token of a sequence, which transformers finds by its padding."""
    found = (e for s in model.head_stmts for e in subexpressions(s.value))
    return any(isinstance(e, Call) and e.fn == "last" for e in found)


def _no_task(why: str, span: Span | None) -> NoReturn:
    """GP523: there is no loss here, and why."""
    ways = ("give the checkpoint with its language-model or classification head", "or grow it `via fpi`")
    fail("GP523", f"there is no loss to take the gradient of: {why}", span, help=ways)


def _logits(model: Model) -> tuple[AxisExpr | None, bool]:
    """(axis of the logits, whether there is one row a token)."""
    axis, per_token = None, True
    for statement in model.head_stmts:
        if statement.targets == ("logits",):
            axis = _axis(model, statement.value)
        for expr in subexpressions(statement.value):
            if isinstance(expr, Call) and expr.fn in ("first", "last"):
                per_token = False
    return axis, per_token


def _axis(model: Model, value: Expr) -> AxisExpr | None:
    match value:
        case Call("tied", (ModuleRef(name), *_), _):
            return model.modules[name].ins
        case Call(fn, _, _) if fn in model.modules:
            return model.modules[fn].outs
        case Call("average", (first, *_), _):
            return _axis(model, first)
        case _:
            return None


def _is_causal(model: Model) -> bool:
    calls = (e for s in model.block for e in subexpressions(s.value) if isinstance(e, Call))
    return any(("causal", Const(True)) in call.kwargs for call in calls if call.fn == "attention")
