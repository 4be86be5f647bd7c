"""A model whose head reads the embedding, with a matrix of its own in the head instead.

    logits = tied(wte, y)   ->   logits = lm_head(y),   lm_head.weight = wte.weight

The family file says both forms of the head, and under `copies` which tensor of the second repeats
which of the first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from growplan.families.bind import TIE, active_modules, head_statements
from growplan.families.model import Add, Assign, Call, Expr, Model, ModuleRef, Mul, Param


def has_tied_form(model: Model) -> bool:
    """Whether the model's class has a head that could read the embedding."""
    return head_statements(model.family, model.head, model.config)[1]


def untied(model: Model) -> Model:
    """The model with tie_word_embeddings false: other head statements, more tensors, the same sizes."""
    config = {**model.config, TIE: False}
    head, _ = head_statements(model.family, model.head, config)
    active = active_modules(model.family, config, (*model.embed, *model.block, *head))
    modules = {name: model.modules.get(name, module) for name, module in active.items()}
    return replace(model, config=config, head_stmts=head, modules=modules, tied=False, dropped=())


def head_sources(before: Model, after: Model) -> dict[str, Param]:
    """Parameter that `before` lacks (its name on disk, no prefix) -> the one that it repeats.

    KeyError for a parameter that the family's `copies` do not name.
    """
    old = {param.name: param for param in before.params()}
    return {p.name: old[before.family.copies[p.name]] for p in after.params() if p.name not in old}


def same_head(before: Model, after: Model) -> bool:
    """Whether the head of `after` computes what that of `before` does, given that its tensors repeat.

    Each call of a new module is written as what it repeats: D(y) with D.weight = M.weight is
    tied(M, y), and with D.bias = B.bias it is B(tied(M, y)). What is left must be the old head.
    Names that begin with `_` hold nothing that is read.
    """
    sources = head_sources(before, after)
    calls: dict[str, tuple[str, str | None]] = {}
    for module in after.modules.values():
        if module.name not in before.modules:
            repeats = {p.leaf: sources[p.name].module for p in module.params}
            calls[module.name] = (repeats["weight"], repeats.get("bias"))
    live = (s for s in after.head_stmts if not s.targets[0].startswith("_"))
    return tuple(Assign(s.targets, _repeated(s.value, calls)) for s in live) == before.head_stmts


def _repeated(expr: Expr, calls: Mapping[str, tuple[str, str | None]]) -> Expr:
    match expr:
        case Add(left, right):
            return Add(_repeated(left, calls), _repeated(right, calls))
        case Mul(left, right):
            return Mul(_repeated(left, calls), _repeated(right, calls))
        case Call(fn, args, kwargs):
            inner = tuple(_repeated(arg, calls) for arg in args)
            if fn not in calls:
                return Call(fn, inner, kwargs)
            weight, bias = calls[fn]
            logits = Call("tied", (ModuleRef(weight), *inner))
            return logits if bias is None else Call(bias, (logits,))
    return expr
