"""Formatting plans with stages: what moves to the top takes its comments with it, all else keeps its own."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growplan.language import Plan, format_plan, parse_text, plan_hash

HEADERS = ("source ./m", "target ./out", "seed 3", "family f.yaml")
LATE = """\
# A plan in two sizes.
# It has two lines of comment.

# the small one
stage small  # as it is
train for 300 steps
# that was small

# where from
source ./m  # late
# what follows the source

stage wide
freeze head
# about freezing

# growth
widen ffn x2
mask-in heads
train for 3 steps
# end of wide

seed 3  # of all draws
# the end
"""
LATE_YAML = """\
# A plan in two sizes.

# the sizes
stages:
  # the small one
  - name: small
    train: {for: 300 steps}
    # that was small

  - {name: wide, train: {for: 3 steps}, steps: [widen ffn x2]}  # on one line
  # below the stages

# of every training
train: {on: c.txt}
# where from
source: ./m  # late
"""


@dataclass(frozen=True)
class Line:
    """A statement of a plan as `fmt` writes it, in the DSL."""

    text: str
    stage: int = 0  # 0 for the plan's own


@st.composite
def staged(draw: st.DrawFn) -> list[Line]:
    """Statements of a plan with stages: headers anywhere, steps and parts of a stage in any order."""
    lines = [Line("train for 9 steps")] if draw(st.booleans()) else []
    for n in range(1, draw(st.integers(1, 3)) + 1):
        within = [f"s{n}{i}: widen ffn to {n}{i}0" for i in range(draw(st.integers(0, 2)))]
        within += draw(st.sampled_from([[], [f"freeze top {n}"], [f"freeze *.{n}", f"train-only top 7{n}"]]))
        texts = [f"stage w{n}", *draw(st.permutations(within)), f"train for {n}000 steps"]
        lines += [Line(text, n) for text in texts]
    for header in draw(st.lists(st.sampled_from(HEADERS), unique=True)):
        lines.insert(draw(st.integers(0, len(lines))), Line(header))
    return lines


def as_dsl(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


def as_yaml(lines: list[Line]) -> list[str]:
    """The same as YAML, a line for each statement, and for `stages:` and `steps:`; late headers stay late."""
    stages = [line for line in lines if line.stage]
    before = [line.text.replace(" ", ": ", 1) for line in lines[: lines.index(stages[0])]]
    late = [line.text.replace(" ", ": ", 1) for line in lines[lines.index(stages[0]) :] if not line.stage]
    found = ["stages:"]
    for n in sorted({line.stage for line in stages}):
        own = [line.text for line in stages if line.stage == n]
        steps = [text for text in own if text[0] == "s" and ":" in text]
        rest = [re.sub(r" (.*)", r': "\1"', text) for text in own if text not in steps][1:]
        found += [f"  - name: w{n}", *(f"    {text}" for text in rest[:-1])]
        found += ["    steps:"] * bool(steps) + [f"    - {text}" for text in steps]
        found.append(f"    train: {{for: {n}000 steps}}")
    trains = re.compile(r"^train: (.*)")
    return [trains.sub(r"train: {\1}", text.replace("for 9", "for: 9")) for text in [*before, *found, *late]]


def commented(draw: Callable[..., bool], lines: list[str]) -> str:
    """The lines with comments above and behind them, numbered, and blank lines above those."""
    found: list[str] = []
    for i, line in enumerate(lines):
        above, behind = draw(st.booleans()), draw(st.booleans())
        indent = line[: len(line) - len(line.lstrip())]
        found += [""] * (above and i > 0) + [f"{indent}#%above-{i}"] * above
        found.append(line + f"  #%behind-{i}" * behind)
    return "\n".join(found) + "\n"


def words(text: str) -> set[str]:
    """What a statement says, in either syntax."""
    keys = {"name", "stage", "growplan", "steps", "stages"}
    return set(re.findall(r"[\w./*-]+", text.partition("#")[0])) - keys - {"-"}


def check_neighbours(text: str, lines: list[str]) -> None:
    """Every numbered comment stands behind its statement, or right above it."""
    kept = [line for line in text.split("\n") if line.strip() not in ("", "growplan: 1", "steps:", "stages:")]
    for at, line in enumerate(kept):
        for kind, number in re.findall(r"#%(above|behind)-(\d+)", line):
            below = next(x for x in kept[at:] if not x.lstrip().startswith("#")) if kind == "above" else line
            said = words(lines[int(number)])
            assert not said or said <= words(below), (line, lines[int(number)])


def content(plan: Plan) -> object:
    return plan.model_dump()


@settings(max_examples=100)
@given(staged(), st.sampled_from(["yaml", "dsl"]), st.sampled_from(["yaml", "dsl"]), st.data())
def test_comments_stay_beside_what_they_are_about(
    plan: list[Line], source: str, target: str, data: st.DataObject
) -> None:
    lines = as_dsl(plan) if source == "dsl" else as_yaml(plan)
    text = commented(data.draw, lines)
    formatted = format_plan(text, source, target)
    assert sorted(re.findall(r"#%\S+", formatted)) == sorted(re.findall(r"#%\S+", text))
    check_neighbours(formatted, lines)
    assert content(parse_text(formatted, syntax=target)) == content(parse_text(text, syntax=source))
    assert plan_hash(parse_text(formatted, syntax=target)) == plan_hash(parse_text(text, syntax=source))
    assert format_plan(formatted, target, target) == formatted
    back = format_plan(formatted, target, source)
    assert format_plan(back, source, source) == back
    check_neighbours(back, lines)


@settings(max_examples=60)
@given(staged())
def test_in_the_dsl_headers_come_first_and_stages_keep_their_order(plan: list[Line]) -> None:
    formatted = format_plan("\n".join(as_dsl(plan)), "dsl", "dsl").split("\n")
    written = [line for line in formatted if line]
    headers = [line.text for line in plan if not line.stage and not line.text.startswith("train")]
    assert written[: len(headers)] == headers
    assert [x for x in written if x.startswith("stage")] == [
        line.text for line in plan if line.text.startswith("stage")
    ]


@pytest.mark.parametrize("target", ["yaml", "dsl"])
@pytest.mark.parametrize("source", ["yaml", "dsl"])
def test_late_headers(golden: Callable[[str], None], source: str, target: str) -> None:
    text = LATE if source == "dsl" else LATE_YAML
    formatted = format_plan(text, source, target)
    golden(formatted)
    assert format_plan(formatted, target, target) == formatted
    assert plan_hash(parse_text(formatted, syntax=target)) == plan_hash(parse_text(text, syntax=source))


@pytest.mark.parametrize("source", ["yaml", "dsl"])
def test_a_comment_that_ends_a_block_stays_in_it(source: str) -> None:
    yaml = (
        "stages:\n  - name: a\n    steps:\n      - widen ffn x2\n      # of the steps\n"
        "    train: {for: 3 steps}\n    # of the stage\n  # of b\n    # this too\n  - name: b\n"
        "    train: {}\n"
        "# of all\ntrain: {for: 2 steps}\n"
    )
    dsl = "stage a\n  widen ffn x2\n  train for 3 steps\n\n  # of a\n# of b\nstage b\n  widen ffn x2\n  # end"
    text = yaml if source == "yaml" else dsl
    formatted = format_plan(text, source, source)
    expected = yaml.replace("    # this too", "  # this too")
    if source == "dsl":
        expected = (
            "stage a\nwiden ffn x2\ntrain for 3 steps\n\n# of a\n\n# of b\nstage b\nwiden ffn x2\n# end\n"
        )
    assert formatted == expected
    assert format_plan(formatted, source, source) == formatted


def test_a_comment_below_a_line_that_becomes_a_block_stays_below_it() -> None:
    long = ", ".join(f"option{i}: value{i}" for i in range(8))
    step = f"  - {{widen: ffn, by: 2, {long}}}\n  # end\n"
    text = f"stages:\n- name: a\n  steps:\n{step}- {{name: b, train: {{}}}}\n"
    formatted = format_plan(text, "yaml", "yaml")
    assert "        option7: value7\n        # end\n  - {name: b" in formatted
    assert format_plan(formatted, "yaml", "yaml") == formatted


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("stage a\ntrain for 3 steps\n\nseed 1\n", "seed 1\n\nstage a\ntrain for 3 steps\n"),
        ("seed 2\nstage a\n\ntarget ./o", "seed 2\ntarget ./o\n\nstage a\n"),
        ("# of a\nstage a\nseed 1; train for 3 steps", "seed 1\n\n# of a\nstage a\ntrain for 3 steps\n"),
        ("# file\n\nstage a; train for 3 steps\nseed 1", "# file\n\nseed 1\n\nstage a\ntrain for 3 steps\n"),
        (
            "stage a; train for 3 steps\n# of a\n\nseed 1 # s\nstage b",
            "seed 1  # s\n\nstage a\ntrain for 3 steps\n# of a\n\nstage b\n",
        ),
    ],
)  # fmt: skip
def test_dsl(text: str, formatted: str) -> None:
    assert format_plan(text, "dsl", "dsl") == formatted
    assert format_plan(formatted, "dsl", "dsl") == formatted
