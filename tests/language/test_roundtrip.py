"""Generated plans: both spellings mean the same, and formatting either way keeps it."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from growplan.diagnostics import DiagnosticError
from growplan.language import Plan, canonical, format_plan, parse_text, plan_hash, step_text
from tests.language import strategies as make

SYNTAXES = ("yaml", "dsl")


def content(plan: Plan) -> object:
    return plan.model_dump()


@settings(max_examples=80)
@given(make.plans())
def test_both_spellings_are_the_same_plan(drawn: make.PlanSpec) -> None:
    dsl, yaml = make.dsl(drawn), make.yaml(drawn)
    from_dsl, from_yaml = parse_text(dsl, syntax="dsl"), parse_text(yaml)
    assert content(from_dsl) == content(from_yaml)
    assert canonical(from_dsl) == canonical(from_yaml)
    specs = [*drawn.steps, *(spec for stage in drawn.stages for spec in stage.steps)]
    for spec, step in zip(specs, from_dsl.every_step, strict=True):
        assert step.options == dict(spec.options)
        assert [type(v) for v in step.options.values()] == [type(v) for _, v in spec.options]
        assert [(g.axis, g.source, g.to, g.by) for g in step.growths] == list(spec.growths)
    trains = [
        (drawn.train, from_dsl.train),
        *zip((s.train for s in drawn.stages), (s.train for s in from_dsl.stages), strict=True),
    ]
    for said, train in trains:
        assert (said is None) == (train is None)
        if said is not None and train is not None:
            assert (train.on, train.options) == (said.on, dict(said.options))
            assert (train.steps or train.tokens) == (said.length and said.length[0])
            assert (train.tokens is None) == (said.length is None or said.length[1] == "steps")
    for spec_of, stage in zip(drawn.stages, from_dsl.stages, strict=True):
        assert stage.name == spec_of.name
        assert {"freeze": stage.freeze, "train-only": stage.train_only} == {
            "freeze": (),
            "train-only": (),
            **dict(spec_of.parts),
        }


@settings(max_examples=80)
@given(make.plans(), st.sampled_from(SYNTAXES), st.sampled_from(SYNTAXES))
def test_formatting_keeps_the_plan_and_is_idempotent(drawn: make.PlanSpec, source: str, target: str) -> None:
    text = make.dsl(drawn) if source == "dsl" else make.yaml(drawn)
    plan = parse_text(text, syntax=source)
    formatted = format_plan(text, source, target)
    again = parse_text(formatted, syntax=target)
    assert content(again) == content(plan)
    assert plan_hash(again) == plan_hash(plan)
    assert format_plan(formatted, target, target) == formatted
    there_and_back = format_plan(format_plan(formatted, target, source), source, target)
    assert content(parse_text(there_and_back, syntax=target)) == content(plan)


@settings(max_examples=80)
@given(make.plans())
def test_a_step_is_the_line_it_prints(drawn: make.PlanSpec) -> None:
    plan = parse_text(make.dsl(drawn), syntax="dsl")
    text = "\n".join(step_text(step, label=True) for step in plan.every_step)
    if text:
        assert parse_text(text, syntax="dsl").steps == plan.every_step
    assert canonical(parse_text(canonical(plan), syntax="dsl")) == canonical(plan)


@settings(max_examples=80)
@given(make.plans(), st.sampled_from(SYNTAXES), st.sampled_from(SYNTAXES), st.data())
def test_no_comment_is_lost(drawn: make.PlanSpec, source: str, target: str, data: st.DataObject) -> None:
    text = make.dsl(drawn) if source == "dsl" else make.yaml(drawn)
    lines: list[str] = []
    for line in text.rstrip("\n").split("\n"):
        kind = data.draw(st.sampled_from(["none", "none", "above", "behind", "both", "blank"]))
        lines += ["  #%above"] if kind in ("above", "both") else [""] * (kind == "blank")
        lines.append(line + ("  #%behind" if kind in ("behind", "both") else ""))
    commented = "\n".join([*lines, "#%end"])
    formatted = format_plan(commented, source, target)
    assert sorted(re.findall(r"#%\w+", formatted)) == sorted(re.findall(r"#%\w+", commented))
    assert canonical(parse_text(formatted, syntax=target)) == canonical(parse_text(text, syntax=source))
    assert format_plan(formatted, target, target) == formatted


SEEDS = [
    "growplan: 1\nsource: ./m\nvars: {w: 768}\n"
    "steps:\n  - widen hidden 384→${w} via fpi # c\n  - {stack: depth, by: 2}\n",
    "source ./m; w: widen hidden 384→768 via fpi, split even\ngrow a to 5, b x2 via l on c for 3 steps # d\n",
    "steps:\n- |\n  widen hidden x2\n- 'a: stack depth'\n- b: upcycle ffn to 8 experts\nx-a: {b: [1, 2]}\n",
    "train: {on: c, lr: 1e-3}\nstages:\n- {name: a, train: {steps: 300}} # c\n- name: b\n  steps: [widen a]\n"
    "  train-only: top 3, head\n  train: {for: 2.5M tokens}\n",
    "train on c, lr 1\nstage a; train for 20k steps\nstage b # d\nwiden a x2\nfreeze layers 0:3, \"*.b\"\n"
    "train for 3 steps\n",
    "extends: base.yaml\nsteps:\n- grow: {hidden: 384→768}\n  via: ligo\n  data: \"c\\td\"\n",
]  # fmt: skip
ALPHABET = " \n\t\"'#,;:{}[]&*!|>-→x0123456789.$~%\\éaviodwn\u2028\x00"


@settings(max_examples=150)
@given(st.sampled_from(SEEDS), st.data())
@example(SEEDS[0], None).via("the seed itself")
def test_no_text_escapes_as_anything_but_diagnostics(seed: str, data: st.DataObject | None) -> None:
    """Mangled plans are read or refused; every refusal has codes, and places inside its source."""
    text = seed
    for _ in range(data.draw(st.integers(0, 4)) if data else 0):
        assert data is not None
        at, length = data.draw(st.integers(0, len(text))), data.draw(st.integers(0, 4))
        text = text[:at] + data.draw(st.text(ALPHABET, max_size=4)) + text[at + length :]
    for syntax in SYNTAXES:
        for run in (
            lambda s=syntax: parse_text(text, syntax=s),
            lambda s=syntax: format_plan(text, s, "dsl"),
        ):
            try:
                run()
            except DiagnosticError as error:
                assert 1 <= len(error.diagnostics) <= 20
                for diagnostic in error.diagnostics:
                    span = diagnostic.span
                    assert span is None or 0 <= span.start <= span.end <= len(span.source.text)
                    assert diagnostic.code.startswith("GP0")


@given(st.text(max_size=60))
@pytest.mark.parametrize("syntax", SYNTAXES)
def test_random_text_is_refused_with_diagnostics(syntax: str, text: str) -> None:
    try:
        plan = parse_text(text, syntax=syntax)
    except DiagnosticError:
        return
    assert plan.steps or plan.stages
