"""Where a parameter stands in a model: before the layers, in them, or behind them."""

from __future__ import annotations

from typing import Literal

from growplan.families.graph import Call, ModuleRef
from growplan.families.model import Model, Param
from growplan.families.walk import subexpressions

Place = Literal["embeddings", "layer", "head"]


def place_of(model: Model, param: Param) -> Place:
    """Where a parameter stands; that of a tied head, where it embeds."""
    if param.in_layer:
        return "layer"
    return "embeddings" if param.module in embedding_modules(model) else "head"


def embedding_modules(model: Model) -> frozenset[str]:
    """The modules that put out the stream before the first layer."""
    found = set()
    for statement in model.embed:
        for expr in subexpressions(statement.value):
            if isinstance(expr, Call):
                found.add(expr.fn)
            elif isinstance(expr, ModuleRef):
                found.add(expr.module)
    return frozenset(found & set(model.modules))
