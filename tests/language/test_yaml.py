"""YAML plans: what words mean, which are refused, and where each character stands."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growplan.diagnostics import DiagnosticError, Source
from growplan.language import Growth, parse_text, step_text
from growplan.language.errors import Errors
from growplan.language.located import locate
from growplan.language.nodes import MappingNode, ScalarNode, read_nodes

TRAPS = [
    *("yes", "Yes", "YES", "no", "No", "NO", "on", "On", "ON", "off", "Off", "OFF", "y", "Y", "n", "N"),
    *("True", "TRUE", "False", "FALSE", "~", "null", "Null", "NULL", "012", "-012", "0o14", "0x1F", "0b11"),
    *("12:30", "1:2:3", "1_000", "+5", ".inf", "-.inf", ".nan", "2026-01-01", "007.5"),
]
WORDS = [
    "yesterday",
    "office",
    "on-off",
    "nothing",
    "x0",
    "v1.2",
    "1.2.3",
    "a:b",
    "10k",
    "./012",
    "1-2",
    "false-ish",
]


def option(text: str) -> object:
    plan = parse_text(f"steps:\n- {{widen: hidden, to: 768, key: {text}}}\n")
    return plan.steps[0].options["key"]


@pytest.mark.parametrize("word", TRAPS)
def test_traps_are_refused_where_they_stand_and_read_as_text_in_quotes(word: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        option(word)
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "GP009"
    assert diagnostic.span is not None and (diagnostic.span.line, diagnostic.span.column) == (2, 33)
    assert f'`"{word}"`' in diagnostic.help[-1]
    assert option(f'"{word}"') == word
    assert option(f"'{word}'") == word


@pytest.mark.parametrize("word", WORDS)
def test_words_are_words(word: str) -> None:
    assert option(word) == word


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("-1", -1), ("0", 0), ("1e-4", 1e-4), ("1E3", 1e3), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0),
     ("-1.5e+3", -1500.0),
     ("true", True), ("false", False), ('"1"', "1"), ('"true"', "true"), ("'1e-4'", "1e-4"), ('""', "")],
)  # fmt: skip
def test_numbers_and_booleans(text: str, value: object) -> None:
    found = option(text)
    assert found == value and type(found) is type(value)


@pytest.mark.parametrize("trap", ["off", "012", "null"])
@pytest.mark.parametrize(
    "where",
    ["source: {}\nsteps: [widen a]", "seed: {}\nsteps: [widen a]", "family: {}\nsteps: [widen a]",
     "steps: [{{widen: {}}}]", "steps: [{{widen: a, to: {}}}]", "steps: [{{widen: a, via: {}}}]",
     "steps: [{{widen: a, id: {}}}]", "steps: [{{widen: a, expect: {}}}]",
     "steps: [{{mask-in: a, over: {}}}]",
     "steps: [{{grow: {{a: 1}}, via: l, on: {}}}]", "vars: {{v: {}}}\nsteps: [widen a]",
     "steps: ['widen a, b {}']"],
)  # fmt: skip
def test_traps_are_refused_everywhere(where: str, trap: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        parse_text(where.format(trap))
    codes = {d.code for d in caught.value.diagnostics}
    assert codes <= {"GP009", "GP024"} and codes  # `widen: 012` is no axis to begin with


def test_keys_are_words() -> None:
    plan = parse_text("steps:\n- {grow: {hidden: 8}, via: ligo, on: corpus.txt, off: 1, no: 2, 'y': 3}\n")
    (step,) = plan.steps
    assert step.on == "corpus.txt"
    assert step.options == {"off": 1, "no": 2, "y": 3}


def test_mapping_form() -> None:
    text = """
    growplan: 1
    source: ./minilm
    target: "./minilm-768"
    seed: 7
    family: mine.yaml
    steps:
      - widen hidden 384→768 via fpi     # a line
      - {widen: ffn, from: 1536, to: 4096, via: net2net, id: wider, init: normal(0.02)}
      - stack: depth
        by: 2
        expect: none
      - named: mask-in heads to 16 over 9 steps
      - {mask-in: ffn, over: 5}
      - {grow: {hidden: 384→1024, depth: x2, ffn: to 9, heads: 3 x4}, via: ligo, data: c.txt, steps: 100}
      - {upcycle: ffn, experts: 8, via: sparse}
    x-owner: {name: me, tags: [a, 1, off]}
    """
    plan = parse_text(textwrap.dedent(text))
    assert (plan.source, plan.target, plan.seed, plan.family) == ("./minilm", "./minilm-768", 7, "mine.yaml")
    assert [step_text(step, label=True) for step in plan.steps] == [
        "widen-hidden: widen hidden 384→768 via fpi",
        "wider: widen ffn 1536→4096 via net2net, init normal(0.02)",
        "stack-depth: stack depth x2, expect none",
        "named: mask-in heads to 16 over 9 steps",
        "mask-in-ffn: mask-in ffn over 5 steps",
        "grow-hidden-depth-ffn-heads: grow hidden 384→1024, depth x2, ffn to 9, heads 3 x4"
        " via ligo on c.txt for 100 steps",
        "upcycle-ffn: upcycle ffn to 8 experts via sparse",
    ]  # fmt: skip
    assert plan.steps[5].growths[3] == Growth(axis="heads", source=3, by=4)
    assert plan.extra == {"x-owner": {"name": "me", "tags": ["a", 1, "off"]}}


def test_json_is_a_plan() -> None:
    plan = parse_text(
        '{"growplan": 1, "source": "a", "steps": ["widen hidden x2", {"stack": "depth", "by": 2}]}'
    )
    assert [step.id for step in plan.steps] == ["widen-hidden", "stack-depth"]


def test_every_part_of_a_mapping_step_has_its_place() -> None:
    text = "steps:\n- {widen: ffn, from: 8, to: 16, via: fpi, id: w, split: even, expect: exact}\n"
    (step,) = parse_text(text).steps
    (growth,) = step.growths

    def at(node: object, part: str) -> str:
        span = node.place(part)  # type: ignore[attr-defined]
        return text[span.start : span.end]

    assert [at(growth, part) for part in ("axis", "source", "to")] == ["ffn", "8", "16"]
    parts = ("verb", "axis", "via", "id", "split", "expect")
    assert [at(step, part) for part in parts] == ["widen", "ffn", "fpi", "w", "split: even", "exact"]
    assert step.span is not None and text[step.span.start : step.span.end] == text[9:-1]


def test_an_alias_bomb_is_refused_at_once() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    with pytest.raises(DiagnosticError) as caught:
        parse_text("\n".join(lines))
    assert "GP011" in {d.code for d in caught.value.diagnostics}


def test_variables_cannot_multiply() -> None:
    text = f"vars: {{a: {'x' * 9000}}}\nsteps:\n- widen a, b ${{a}}${{a}}\n"
    with pytest.raises(DiagnosticError) as caught:
        parse_text(text)
    assert [d.code for d in caught.value.diagnostics] == ["GP033"]


def scalar_of(text: str) -> ScalarNode:
    root = read_nodes(Source("t", text), Errors())
    assert isinstance(root, MappingNode)
    node = root.pairs[0][1]
    assert isinstance(node, ScalarNode)
    return node


WORD = st.text("abz09→é𝔸'\"\\#,.-x", min_size=1, max_size=6)
STYLES = ["single", "double", "escaped", "literal", "folded"]


@given(st.lists(WORD, min_size=1, max_size=5), st.sampled_from(STYLES), st.booleans())
def test_every_character_of_a_scalar_stands_where_locate_says(
    words: list[str], style: str, wrap: bool
) -> None:
    """Each character that is not blank is found again at its place, in every style of scalar."""
    gap = "\n   " if wrap else " "
    body = gap.join(words)
    spellings = {
        "single": "'" + body.replace("'", "''") + "'",
        "double": '"' + body.replace("\\", "\\\\").replace('"', '\\"') + '"',
        "escaped": '"' + "".join(c if c in "\n " else f"\\U{ord(c):08x}" for c in body) + '"',
        "literal": "|-\n   " + body,
        "folded": ">-\n   " + body,
    }
    node = scalar_of(f"k: {spellings[style]}\n")
    text = locate(node)
    assert text.text == ("\n" if wrap and style == "literal" else " ").join(words)
    for i, char in enumerate(text.text):
        span = text.span(i, i + 1)
        written = span.source.text[span.start : span.end]
        expected = {"'": "''" if style == "single" else "'"}.get(char, char)
        if style == "double" and char in '"\\':
            expected = "\\" + char
        if style == "escaped" and not char.isspace():
            expected = f"\\U{ord(char):08x}"
        assert char.isspace() or written == expected
