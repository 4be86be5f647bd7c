"""Trying a method before it is named as a way out."""

from __future__ import annotations

from collections.abc import Mapping

from growplan.check.rules import Refusal
from growplan.check.types import type_model
from growplan.diagnostics import DiagnosticError
from growplan.families.model import Model
from growplan.methods import get_method
from growplan.methods.base import WidthRequest


def widens(name: str, grow: Mapping[str, tuple[int, int]], model: Model) -> bool:
    """Whether a method knows a map for these sizes that the model accepts."""
    method = get_method(name)
    if method is None or not set(grow) - {"active"} <= set(method.axes):
        return False
    try:
        candidates = method.widen(WidthRequest(grow, model.sizes, ""))
    except DiagnosticError:
        return False
    for candidate in candidates:
        try:
            typing = type_model(model, candidate)
        except Refusal:
            continue
        return not typing.grafted  # which would claim nothing
    return False
