"""growplan: a compiler for growth plans of transformer checkpoints.

    import growplan

    plan = growplan.load("minilm-768.grow.yaml")
    typed = plan.check()               # sizes, claims and proofs; reads no weights
    plan.apply("minilm-768")           # needs growplan[torch]
    growplan.diff("a.grow.yaml", "b.grow.yaml")

Importing this package imports nothing else; each name is loaded when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from growplan.api import DiagnosticError, LoadedPlan, PlanDiff, diff, load, parse, render, verify

__all__ = ["DiagnosticError", "LoadedPlan", "PlanDiff", "diff", "load", "parse", "render", "verify"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from growplan import api

        return getattr(api, name)
    if name == "runtime":
        from importlib import import_module

        return import_module("growplan.runtime")
    if name == "__version__":
        from importlib.metadata import version

        return version("growplan")
    raise AttributeError(f"module 'growplan' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, "runtime", "__version__"})
