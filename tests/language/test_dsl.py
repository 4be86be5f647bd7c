"""The DSL: printing is the inverse of parsing, spellings agree, spans are exact."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import (
    Growth,
    canonical,
    format_plan,
    parse_expression,
    parse_text,
    plan_hash,
    step_text,
)

HERE = Path(__file__).parent


def lines_of(name: str) -> list[str]:
    lines = (HERE / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if not line.startswith("#")]


IDENTITY = lines_of("identity.txt")
HEADS = ("source", "target", "seed", "family", "extends", "growplan")


@pytest.mark.parametrize("line", IDENTITY)
def test_print_is_the_inverse_of_parse(line: str) -> None:
    assert format_plan(line, "dsl", "dsl") == line + "\n"


@pytest.mark.parametrize("line", lines_of("stage_lines.txt"))
def test_print_is_the_inverse_of_parse_in_a_stage(line: str) -> None:
    text = f"{line}\n" if line.startswith("stage") else f"stage a\n{line}\n"
    assert format_plan(text, "dsl", "dsl") == text


@pytest.mark.parametrize("line", [line for line in IDENTITY if not line.startswith(HEADS)])
def test_step_text_is_parsed_back_to_the_same_step(line: str) -> None:
    (step,) = parse_expression(line).steps
    (again,) = parse_expression(step_text(step, label=True)).steps
    assert again == step


@pytest.mark.parametrize(
    ("spelling", "canonical_line"),
    [
        ("widen   hidden  384 ->768   via fpi", "widen hidden 384→768 via fpi"),
        ("widen hidden 384→ 768 # why", "widen hidden 384→768"),
        ("widen hidden ->768", "widen hidden to 768"),
        ("widen hidden x 2", "widen hidden x2"),
        ("widen hidden ×2", "widen hidden x2"),
        ("widen hidden , expect exact , via fpi", "widen hidden via fpi, expect exact"),
        ("widen hidden x2, id wide", "wide: widen hidden x2"),
        ("wide :  widen hidden x2", "wide: widen hidden x2"),
        ("mask-in heads over 5", "mask-in heads over 5 steps"),
        ("mask-in heads, over 5 steps", "mask-in heads over 5 steps"),
        ("mask-in heads, shape linear, over 5", "mask-in heads over 5 steps, shape linear"),
        ("grow hidden to 9 via ligo, data c.txt, steps 4", "grow hidden to 9 via ligo on c.txt for 4 steps"),
        ('widen hidden x2, note "plain"', "widen hidden x2, note plain"),
        ("widen hidden x2, expect exact, split even", "widen hidden x2, split even, expect exact"),
    ],
)
def test_spellings(spelling: str, canonical_line: str) -> None:
    assert format_plan(spelling, "dsl", "dsl").partition("  #")[0].rstrip("\n") == canonical_line
    assert plan_hash(parse_expression(spelling)) == plan_hash(parse_expression(canonical_line))


def test_statements_end_at_semicolons_and_newlines_but_not_in_quotes() -> None:
    plan = parse_expression('; widen hidden x2, note "a;b" ;\n\n# c; widen ffn x2\nstack depth x2;; # d\r\n')
    assert [step.id for step in plan.steps] == ["widen-hidden", "stack-depth"]
    assert plan.steps[0].options == {"note": "a;b"}


def test_option_values_have_types() -> None:
    line = 'widen hidden x2, a 1, b 1e-4, c true, d word, e "1", f -2, g .5, h 5., i 1.0'
    options = parse_expression(line).steps[0].options
    assert options == {
        "a": 1, "b": 1e-4, "c": True, "d": "word", "e": "1", "f": -2, "g": 0.5, "h": 5.0, "i": 1.0,
    }  # fmt: skip
    assert [type(v) for v in options.values()] == [int, float, bool, str, str, int, float, float, float]


def test_fields_are_not_options() -> None:
    (step,) = parse_expression("m: mask-in heads 4→8 via msg over 7 steps, expect exact, shape cosine").steps
    assert (step.verb, step.via, step.id, step.over, step.expect) == ("mask-in", "msg", "m", 7, "exact")
    assert step.growths == (Growth(axis="heads", source=4, to=8),)
    assert step.options == {"shape": "cosine"}


def test_places() -> None:
    text = "seed 3; wide: widen hidden 384→768 via fpi, split even, expect exact"
    plan = parse_expression(text)
    step = plan.steps[0]
    (growth,) = step.growths

    def at(span: object) -> str:
        assert hasattr(span, "start") and hasattr(span, "end")
        return text[span.start : span.end]

    assert at(plan.place("seed")) == "3"
    assert at(step.span) == text[8:]
    assert at(growth.span) == "hidden 384→768"
    places = {key: at(step.place(key)) for key in ("verb", "axis", "id", "via", "split", "expect")}
    assert places == {
        "verb": "widen", "axis": "hidden", "id": "wide", "via": "fpi", "split": "split even",
        "expect": "exact",
    }  # fmt: skip
    assert [at(growth.place(part)) for part in ("axis", "source", "to")] == ["hidden", "384", "768"]


def test_ids_are_derived_and_never_collide() -> None:
    text = (
        "widen hidden x2; widen-ffn-2: widen hidden x2; widen ffn x2; widen ffn x2; widen hidden x3;"
        "mask-in kv_heads; grow hidden to 9, depth to 3 via ligo; upcycle ffn to 4 experts; widen hidden x2"
    )
    assert [step.id for step in parse_expression(text).steps] == [
        "widen-hidden", "widen-ffn-2", "widen-ffn", "widen-ffn-3", "widen-hidden-2",
        "mask-in-kv_heads", "grow-hidden-depth", "upcycle-ffn", "widen-hidden-3",
    ]  # fmt: skip


def test_a_derived_id_leaves_later_given_ones_alone() -> None:
    text = "widen ffn x2; widen ffn x2; widen-ffn-2: widen hidden x2; widen-ffn: stack depth x2"
    assert [step.id for step in parse_expression(text).steps] == [
        "widen-ffn-3", "widen-ffn-4", "widen-ffn-2", "widen-ffn",
    ]  # fmt: skip


def test_upcycle_grows_experts() -> None:
    (step,) = parse_expression("upcycle ffn to 8 experts").steps
    assert step.growths == (Growth(axis="experts", to=8),)


def test_step_text_takes_resolved_sizes() -> None:
    (step,) = parse_expression("mask-in heads via msg").steps
    assert step_text(step, [Growth(axis="heads", source=12, to=16)]) == "mask-in heads 12→16 via msg"


HASHES_ALIKE = [
    ("widen hidden 384→768", "widen hidden to 768"),
    ("widen hidden x2, a 1, b 2", "widen hidden x2, b 2, a 1"),
    ("target a; widen hidden x2", "target b; widen hidden x2 # comment"),
    ("widen hidden x2", "widen-hidden: widen hidden x2"),
    ("seed 0; widen hidden x2", "widen hidden x2"),
]
HASHES_APART = [
    ("widen hidden x2", "widen hidden to 768"),
    ("widen hidden x2", "widen hidden x3"),
    ("widen hidden x2", "widen ffn x2"),
    ("widen hidden x2", "other: widen hidden x2"),
    ("widen hidden x2", "seed 1; widen hidden x2"),
    ("widen hidden x2", "source a; widen hidden x2"),
    ("source a; widen hidden x2", "source b; widen hidden x2"),
    ("family a; widen hidden x2", "family b; widen hidden x2"),
    ("widen hidden x2", "widen hidden x2 via fpi"),
    ("widen hidden x2", "widen hidden x2, expect exact"),
    ("widen hidden x2, a 1", 'widen hidden x2, a "1"'),
    ("widen hidden x2, a true", 'widen hidden x2, a "true"'),
    ("mask-in heads over 1", "mask-in heads over 2"),
    ("grow hidden to 2 via ligo on a", "grow hidden to 2 via ligo on b"),
    ("grow hidden to 2 via ligo for 1 steps", "grow hidden to 2 via ligo for 2 steps"),
    ("widen a x2; widen b x2", "widen b x2; widen a x2"),
]


@pytest.mark.parametrize(("one", "other"), HASHES_ALIKE)
def test_equal_plans_have_equal_hashes(one: str, other: str) -> None:
    assert plan_hash(parse_expression(one)) == plan_hash(parse_expression(other))


@pytest.mark.parametrize(("one", "other"), HASHES_APART)
def test_different_plans_have_different_hashes(one: str, other: str) -> None:
    assert plan_hash(parse_expression(one)) != plan_hash(parse_expression(other))


def test_canonical_text_is_a_plan_of_the_same_hash() -> None:
    plan = parse_text('source "./a b"; target t; seed 4; wide: widen hidden 3→6, b "x y", a 1', syntax="dsl")
    text = canonical(plan)
    assert text == 'growplan 1\nsource "./a b"\nseed 4\nwide: widen hidden to 6, a 1, b "x y"\n'
    assert canonical(parse_text(text, syntax="dsl")) == text


def test_the_users_sentence() -> None:
    plan = parse_expression("widen hidden 768→1024 via fpi; stack depth x2; mask-in heads")
    assert [step_text(step) for step in plan.steps] == [
        "widen hidden 768→1024 via fpi", "stack depth x2", "mask-in heads",
    ]  # fmt: skip


def test_variables_are_not_for_the_dsl() -> None:
    with pytest.raises(DiagnosticError) as caught:
        parse_expression("widen hidden to ${w}")
    assert caught.value.diagnostics[0].help == (
        "`${...}` is replaced in YAML plans only, from their `vars:`",
    )
