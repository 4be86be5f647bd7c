"""The formatter: comments stay with what they stand by, in both syntaxes and between them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import format_plan, guess_syntax, parse_text, plan_hash

ROOT = Path(__file__).parents[2]

COMMENTED_YAML = """\
# A plan about comments.
#   (two lines)

growplan:   1   # version


# where from
source: "./minilm"
target:   './out dir'   # where to
vars:   {w: 768}
x-note:
   deep:   [1, 2]  # untouched
   # also untouched

# what to grow
steps:      # in order
  # first
  -   widen   hidden 384->${w}    via fpi   # the width

  # second, in quotes
  - 'widen ffn   x2,note "a # b"'  # not a comment inside

  - {widen: heads,   to: 16, id: more}   # a flow mapping
  # a block mapping
  - stack: depth    # copies
    # how many
    by:   2
    via: "stackbert"
  - named:   mask-in   heads   over 5 # it's labelled # twice
  - |  # in a block
    # inside the block
    deepen depth to 12 # last
  # below
# the end
"""

BOTH = """\
# top of the file

source ./m  # here

# about the width
wider: widen hidden 384→768 via fpi  # why
stack depth x2; mask-in heads  # two on a line
# the end
"""


STAGED_YAML = """\
stages:     # the sizes
  # trained as it is
  - {name:  small, train: {steps:  300}}   # no growth

  - train:            # a block
      for:   2M   tokens   # how long
      # the rate
      lr: 1e-3
    name: wide  # named below
    # what grows
    steps:
      -   mask-in ffn   x2 over 100   # masked
      - {widen: heads,   to: 16}  # a mapping
      - |  # in a block
        # inside
        deepen depth to 12 # last
    freeze:   # two parts
      - top   3   # the top
      - '*.attn.*'
  # in one line
  - {name: deep, steps: [stack depth x2, 'widen ffn x2, note "a"'], train-only: [new-layers, head], train: {}}
# of every stage
train: {on: my corpus.txt, tokens: 64,   for: 20k steps}  # the data
source: ./m
"""

STAGED_DSL = """\
# top
train on c.txt, lr 1e-3   # of all
stage small # as it is
# how long
train   for 300 steps
stage wide;freeze "*.attn.*" ,  head  # frozen
# the growth
widen ffn x2 # twice
  mask-in heads

train lr 5e-4, for   2M   tokens # short
source ./m # late
# the end
"""


def both_ways(text: str, source: str, target: str) -> str:
    """Format, and hold what must always hold."""
    formatted = format_plan(text, source, target)
    assert format_plan(formatted, target, target) == formatted
    assert plan_hash(parse_text(formatted, syntax=target)) == plan_hash(parse_text(text, syntax=source))
    return formatted


def comments(text: str) -> set[str]:
    """What follows the first `#` of each line; on the line of `"a # b"` that is more than a comment."""
    return {line[line.index("#") :].strip() for line in text.splitlines() if "#" in line}


def test_yaml(golden: Callable[[str], None]) -> None:
    formatted = both_ways(COMMENTED_YAML, "yaml", "yaml")
    golden(formatted)
    assert "# not a comment inside" in formatted
    lost = comments(COMMENTED_YAML) - comments(formatted)
    assert {line for line in lost if not line.startswith('# b"')} == set()


def test_yaml_to_dsl(golden: Callable[[str], None]) -> None:
    plain = COMMENTED_YAML.replace("vars:   {w: 768}\n", "").replace("${w}", "768")
    start, end = plain.index("x-note"), plain.index("# what to grow")
    plain = plain[:start] + plain[end:]
    formatted = both_ways(plain, "yaml", "dsl")
    golden(formatted)
    lost = comments(plain) - comments(formatted)
    assert {line for line in lost if not line.startswith('# b"')} == set()
    back = both_ways(formatted, "dsl", "yaml")
    assert back.count("#") == formatted.count("#")
    assert format_plan(back, "yaml", "dsl") == formatted


def test_dsl_to_yaml(golden: Callable[[str], None]) -> None:
    golden(both_ways(BOTH, "dsl", "yaml"))
    assert format_plan(format_plan(BOTH, "dsl", "yaml"), "yaml", "dsl") == format_plan(BOTH, "dsl", "dsl")


@pytest.mark.parametrize("target", ["yaml", "dsl"])
@pytest.mark.parametrize("source", ["yaml", "dsl"])
def test_stages(golden: Callable[[str], None], source: str, target: str) -> None:
    text = STAGED_YAML if source == "yaml" else STAGED_DSL
    formatted = both_ways(text, source, target)
    golden(formatted)
    assert comments(text) == comments(formatted)
    back = both_ways(formatted, target, source)
    assert comments(back) == comments(text)
    again = format_plan(back, source, target)
    assert again.replace("\n\n", "\n") == formatted.replace("\n\n", "\n")  # but for blank lines
    assert format_plan(again, target, source) == back


@pytest.mark.parametrize(
    ("text", "formatted"),
    [
        ("source   ./m;seed 3 # c\nwiden a x 2", "source ./m\nseed 3  # c\nwiden a x2\n"),
        ("\n\n# c\n\n\n\nwiden a\n\n\n", "# c\n\nwiden a\n"),
        ("widen a # 1\n# 2", "widen a  # 1\n# 2\n"),
        ("widen a; # 1\nwiden b # 2", "widen a  # 1\nwiden b  # 2\n"),
        ("widen a # x\r\nwiden b\r\n", "widen a  # x\nwiden b\n"),
        ('source "./m"; widen a', "source ./m\nwiden a\n"),
        ("widen a, note x#y", "widen a, note x#y\n"),
    ],
)
def test_dsl(text: str, formatted: str) -> None:
    assert both_ways(text, "dsl", "dsl") == formatted


def test_headers_after_steps_come_first_in_yaml() -> None:
    text = "widen a # step\nsource ./m # header\n"
    expected = "growplan: 1\nsource: ./m  # header\nsteps:\n  - widen a  # step\n"
    assert both_ways(text, "dsl", "yaml") == expected


def test_a_long_flow_mapping_becomes_a_block() -> None:
    keys = ", ".join(f"option{i}: value{i}" for i in range(8))
    formatted = both_ways(f"steps:\n- {{widen: hidden, to: 5, {keys}}} # c\n", "yaml", "yaml")
    assert formatted.startswith("steps:\n  - widen: hidden\n    to: 5\n    option0: value0\n")
    assert formatted.endswith("    option7: value7  # c\n")


def test_variables_keep_their_quotes_where_they_matter() -> None:
    text = 'vars:\n  n: "5"\nsteps:\n  - {widen: a, x: "${n}", y: "${n}4", z: "5"}\n'
    assert both_ways(text, "yaml", "yaml") == text


def test_a_block_mapping_keeps_the_quotes_of_a_string_made_of_a_variable() -> None:
    text = 'vars:\n  n: 5\nsteps:\n  - widen: a\n    x: ${n}\n    y: "${n}4"\n    z: "12"\n'
    assert both_ways(text, "yaml", "yaml") == text
    assert parse_text(text).steps[0].options == {"x": 5, "y": "54", "z": "12"}


def test_what_looks_like_a_variable_in_the_dsl_is_escaped_in_yaml() -> None:
    text = "source ./a${b}\nwiden a, note $${c}\n"
    formatted = both_ways(text, "dsl", "yaml")
    assert formatted == "growplan: 1\nsource: ./a$${b}\nsteps:\n  - widen a, note $$${c}\n"
    assert both_ways(formatted, "yaml", "dsl") == text


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("vars: {a: 1}\nsteps: [widen b]", "1:1"),
        ("x-a: 1\nsteps: [widen b]", "1:1"),
        ("extends: base.yaml\nsteps:\n- widen b to ${w}", "3:14"),
    ],
)
def test_what_the_dsl_cannot_say_is_refused(text: str, column: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        format_plan(text, "yaml", "dsl", "p")
    assert [(str(d.span), d.code) for d in caught.value.diagnostics] == [(f"p:{column}", "GP040")]


@pytest.mark.parametrize(
    ("syntax", "text", "code"),
    [
        ("yaml", "steps: ['# ${a}']", "GP013"),
        ("yaml", "steps: ['widen a; widen ${a}']", "GP013"),
        ("yaml", "steps: ['widen a, b ${a}\"']", "GP022"),
        ("dsl", "widn a", "GP021"),
        ("dsl", "widen a x1", "GP023"),
        ("dsl", "seed 1; seed 2; widen a", "GP007"),
        ("yaml", "steps: [widen a x1]", "GP023"),
        ("yaml", "steps: [a", "GP005"),
        ("yaml", "stepz: []", "GP008"),
    ],
)
def test_nothing_is_formatted_that_is_no_plan(syntax: str, text: str, code: str) -> None:
    for target in ("yaml", "dsl"):
        with pytest.raises(DiagnosticError) as caught:
            format_plan(text, syntax, target)
        assert [d.code for d in caught.value.diagnostics] == [code]


SHIPPED = sorted([*ROOT.glob("plans/*.grow*"), *ROOT.glob("examples/**/*.grow*")])


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_shipped_plans_are_formatted_and_survive_the_other_syntax(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    syntax = guess_syntax(path.name, text)
    assert format_plan(text, syntax, syntax) == text
    other = "dsl" if syntax == "yaml" else "yaml"
    both_ways(text, syntax, other)


def test_there_are_shipped_plans() -> None:
    assert len(SHIPPED) > 5
