"""Config keys whose value, where it is a list, has one entry for each layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from growplan.checkpoint.config import Config
from growplan.diagnostics import Span
from growplan.families.model import Family, Model
from growplan.families.problems import Problems


def check_layer_lists(family: Family, config: Config, depth: int, problems: Problems) -> None:
    """Report lists of another length than the number of layers (GP322)."""
    for key in family.layer_lists:
        value = config.data.get(key)
        if isinstance(value, list) and len(value) != depth:
            message = f"`{key}` has {len(value)} entries, and the model has {depth} layers"
            where = config.span(key) or Span(config.source, 0, 1)
            problems.add("GP322", message, where, help=f"give `{key}` one entry for each layer")


def grown_lists(model: Model, sources: Sequence[int]) -> dict[str, list[Any]]:
    """The lists of a deeper model, whose layer i takes the entry of layer `sources[i]` of this one."""
    lists = {key: model.config.get(key) for key in model.family.layer_lists}
    return {
        key: [value[layer] for layer in sources] for key, value in lists.items() if isinstance(value, list)
    }
