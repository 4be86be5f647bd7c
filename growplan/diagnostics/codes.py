"""The table of diagnostic codes: what each means, why it exists, and what to do.

Each folder that raises diagnostics has one file in `growplan.diagnostics.table`
with a `CODES` mapping; this module merges them when first asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache


@dataclass(frozen=True)
class Code:
    """One row of the table, printed by `growplan explain`."""

    what: str
    why: str
    fix: str


@cache
def codes() -> Mapping[str, Code]:
    """Every code, sorted. Raises ValueError when two files define the same one."""
    import pkgutil
    from importlib import import_module

    from growplan.diagnostics import table

    merged: dict[str, Code] = {}
    for module in sorted(pkgutil.iter_modules(table.__path__), key=lambda m: m.name):
        rows: Mapping[str, Code] = import_module(f"{table.__name__}.{module.name}").CODES
        if twice := merged.keys() & rows.keys():
            raise ValueError(f"table/{module.name}.py defines again: {', '.join(sorted(twice))}")
        merged.update(rows)
    return dict(sorted(merged.items()))


def __getattr__(name: str) -> Mapping[str, Code]:
    if name == "CODES":
        return codes()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
