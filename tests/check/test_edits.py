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
    (
        "gpt2",
        "widen hidden 768→1024; widen hidden 1024→1030",
        {},
        "GP107",
        ("use hidden 1024 or 1088 in step 2",),
    ),
    ("gpt2", "widen hidden 768→1030 via bert2bert", {}, "GP107", ("use hidden 1024 or 1088",)),
]


DIVIDED = [
    ("widen hidden 576→600; widen head_dim 64→64", ("use hidden 594 or 603 in step 1",)),
    ("widen head_dim 64→64; widen hidden 576→768; widen heads 9→15", ("use hidden 765 or 780 in step 2",)),
    ("widen head_dim 64→64; widen heads 9→15", ("`widen hidden 576→585 via fpi`",)),
]


@pytest.mark.parametrize(("steps", "ways"), DIVIDED, ids=[d[0] for d in DIVIDED])
def test_sizes_of_a_constraint_are_past_what_the_plan_has_reached(steps: str, ways: tuple[str, ...]) -> None:
    found = refused("smollm", steps, {})
    assert (found.code, found.help) == ("GP203", ways)
    for way in ways:
        for plan in followed(steps, way):
            check("smollm", plan)


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
    ways = ways_to_close(plan, source, wider, relations_in_force(source), lambda changed: False, None)
    assert ways == ("keep heads 12 and hidden 768, the sizes of the source",)


GROUPED: dict[str, Any] = {"num_attention_heads": 6, "num_key_value_heads": 2, "hidden_size": 384}
CLONES = [
    ("smollm", "widen kv_heads to 3", GROUPED, ("widen heads to 12 and kv_heads to 4",)),
    ("smollm", "widen kv_heads to 5", GROUPED, ("widen kv_heads to 6",)),
    (
        "smollm",
        "grow heads to 9, kv_heads to 3",
        GROUPED,
        ("widen heads to 12 and kv_heads to 4", "or `via lemon`, which takes any size"),
    ),
    ("bert", "widen hidden 384→400", {}, ("widen hidden to 768",)),
]


@pytest.mark.parametrize(("name", "step", "changes", "ways"), CLONES, ids=[c[1] for c in CLONES])
def test_multiples_and_methods_have_a_head_layout(
    name: str, step: str, changes: dict[str, Any], ways: tuple[str, ...]
) -> None:
    found = refused(name, f"{step} via hypercloning", changes)
    assert (found.code, found.help) == ("GP231", ways)
    sizes = ways[0].removeprefix("widen ").replace(" and ", ", ")
    check(name, f"grow {sizes} via hypercloning", **changes)
    if len(ways) > 1:
        check(name, f"{step} via lemon; widen hidden to 576", **changes)


@pytest.mark.parametrize(
    ("grow", "other"),
    [
        ("ffn to 2000", ("or `via lemon`, which takes any size",)),
        ("ffn to 3072", ("or `via hypercloning`, which grows axes one by one",)),
        ("kv_heads to 4", ()),
    ],
)
def test_what_is_not_doubled_has_another_method(grow: str, other: tuple[str, ...]) -> None:
    found = refused("smollm", f"grow {grow} via staged", GROUPED)
    assert (found.code, found.help[1:]) == ("GP232", other)
    for words in other:
        check("smollm", f"grow {grow} {words.split('`')[1]}", **GROUPED)


def test_depths_of_a_method_that_keeps_its_claim_at_none() -> None:
    """Under post-norm no first block is silent, at whatever depth."""
    found = refused("bert", "deepen depth 6→10 via llama-pro, place start", {})
    assert (found.code, found.help) == (
        "GP121",
        ("`deepen depth 6→10 via identity`, which is approximate",),
    )
    assert str(check("bert", "deepen depth 6→10 via identity").claim) == "approximate"
    spread = refused("bert", "deepen depth 6→10 via llama-pro", {})
    assert spread.help[0] == "use 9 or 12 layers"
    for depth in (9, 12):
        assert str(check("bert", f"deepen depth to {depth} via llama-pro").claim) == "approximate"
