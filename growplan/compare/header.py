"""What a plan says beside its steps."""

from __future__ import annotations

from growplan.language.plan import Plan


def header(plan: Plan) -> dict[str, str | None]:
    """The keys of a plan beside its steps."""
    fixed = {"source": plan.source, "target": plan.target, "family": plan.family, "seed": str(plan.seed)}
    return {**fixed, **{key: str(value) for key, value in plan.extra.items()}}
