"""The plan language: DSL and YAML to `Plan`, and back to text."""

from __future__ import annotations

from typing import Any

from growplan.language.files import guess_syntax
from growplan.language.parse import parse_expression, parse_file, parse_text
from growplan.language.plan import Growth, Plan, Stage, Step, Train
from growplan.language.printing import canonical, plan_hash, step_text

__all__ = [
    "Growth",
    "Plan",
    "Stage",
    "Step",
    "Train",
    "canonical",
    "format_plan",
    "guess_syntax",
    "json_schema",
    "parse_expression",
    "parse_file",
    "parse_text",
    "plan_hash",
    "step_text",
]


def format_plan(text: str, source_syntax: str, target_syntax: str, name: str = "<text>") -> str:
    """A plan's text, formatted, in either syntax ("yaml" or "dsl"), with its comments."""
    from growplan.language.fmt import format_plan as format_text

    return format_text(text, source_syntax, target_syntax, name)


def json_schema() -> dict[str, Any]:
    """The JSON Schema (draft-07) of YAML plans, for editors."""
    from growplan.language.schema import plan_schema

    return plan_schema()
