"""Ways to close an equation: each is followed here, and the plan then checks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from growplan.check.edits import ways_to_close
from growplan.check.resolve import relations_in_force
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language import parse_text
from tests.check.models import check, model

SIX: dict[str, Any] = {"num_attention_heads": 6}
APPROXIMATE = "`widen hidden 384→576 via bert2bert` (approximate, as published)"
CASES: list[tuple[str, str, dict[str, Any], str, tuple[str, ...]]] = [
    ("bert", "widen heads 6→9 via lemon", SIX, "GP201", ("use heads 12 or 18", APPROXIMATE)),
    (
        "bert",
        "mask-in heads 6→9",
        SIX,
        "GP109",
        (APPROXIMATE, "use heads 12, and `widen hidden 384→768 via fpi`"),
    ),
    (
        "smollm",
        "mask-in heads 9→12",
        {},
        "GP109",
        (
            "`widen hidden 576→768 via fpi`",
            "or let the model leave it: a step `widen head_dim 64→64` releases it",
        ),
    ),
    (
        "smollm",
        "widen hidden 576→640; widen heads 9→12",
        {},
        "GP109",
        (
            "use hidden 768",
            "`widen hidden 640→768 via fpi`",
        ),
    ),
    ("gpt2", "widen hidden 768→1024; widen hidden 1024→1030", {}, "GP107", ("use hidden 1024 or 1088",)),
    ("gpt2", "widen hidden 768→1030 via bert2bert", {}, "GP107", ("use hidden 1024 or 1088",)),
]


def refused(name: str, steps: str, changes: dict[str, Any]) -> Diagnostic:
    with pytest.raises(DiagnosticError) as error:
        check(name, steps, **changes)
    (found,) = error.value.diagnostics
    return found


@pytest.mark.parametrize(("name", "steps", "changes", "code", "ways"), CASES, ids=[c[1] for c in CASES])
def test_every_way_that_is_named_works(
    name: str, steps: str, changes: dict[str, Any], code: str, ways: tuple[str, ...]
) -> None:
    found = refused(name, steps, changes)
    assert (found.code, found.help) == (code, ways)
    for way in ways:
        for plan in followed(steps, way):
            check(name, plan, **changes)


def followed(steps: str, way: str) -> list[str]:
    """The plans that a way out asks for: one for each size that it names."""
    written = re.findall(r"`([^`]+)`", way)
    if "releases" in way:
        return [f"{written[0]}; {steps}"]
    tail = "".join(f"; {step}" for step in written)
    sizes = re.match(r"use (\w+) (\d+)(?: or (\d+))?", way)
    if sizes is None:
        return [steps + tail]
    axis, last = sizes[1], steps.rindex(f"{sizes[1]} ")
    return [
        steps[:last] + re.sub(r"→\d+", f"→{size}", steps[last:], count=1) + tail
        for size in sizes.groups()[1:]
        if size and axis
    ]


def test_where_nothing_works_the_sizes_of_the_source_do() -> None:
    source = model("gpt2")
    plan = parse_text("mask-in heads 12→13", "p.grow", "dsl")
    wider = source.resized({**source.sizes, "heads": 13}, source.config)
    ways = ways_to_close(plan, source, wider, relations_in_force(source), lambda changed: False)
    assert ways == ("keep heads 12 and hidden 768, the sizes of the source",)
