"""The checked-in tables are what lark makes of grammar/plan.lark, and parse as lark does."""

from __future__ import annotations

import random
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from growplan.diagnostics import Source
from growplan.language import build_grammar, lalr
from growplan.language.dsl import split
from growplan.language.errors import Errors
from growplan.language.words import Text

IDENTITY = [
    line
    for name in ("identity.txt", "stage_lines.txt")
    for line in (Path(__file__).parent / name).read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
OTHERWISE = [  # spellings that the formatter changes
    "train for 2.5M tokens on c.txt",
    "train  lr 1e-3, on c , for 3 steps, schedule cosine",
    'train-only "*.attn.*", h.?.ln_1.* , top   3',
]


def test_tables_are_current() -> None:
    assert build_grammar.TABLES.read_text(encoding="utf-8") == build_grammar.tables_text(), (
        "run `python -m growplan.language.build_grammar`"
    )


@cache
def lark(start: str) -> Any:
    return build_grammar.lark_parser(start)


def as_lists(tree: Any) -> Any:
    """A lark tree, or ours, as nested lists of (terminal, text)."""
    if isinstance(tree, lalr.Token):
        return (tree.name, tree.text)
    if isinstance(tree, lalr.Tree):
        return [tree.name, *map(as_lists, tree.children)]
    if hasattr(tree, "data"):
        return [str(tree.data), *map(as_lists, tree.children)]
    return (tree.type, str(tree))


def ours(text: str) -> Any:
    try:
        return as_lists(lalr.parse(text, 0, len(text)))
    except lalr.Unexpected as error:
        return error.offset


def larks(text: str) -> Any:
    from lark.exceptions import UnexpectedInput

    try:
        return as_lists(lark("statement").parse(text))
    except UnexpectedInput as error:
        return error.pos_in_stream


@pytest.mark.parametrize("line", [*IDENTITY, *OTHERWISE])
def test_same_tree_as_lark(line: str) -> None:
    assert ours(line) == larks(line)
    assert isinstance(ours(line), list)


def mutants() -> list[str]:
    """Statements with a word dropped, doubled, swapped or spoilt."""
    draw = random.Random(11)
    words = sorted({word for line in IDENTITY for word in line.split()})
    found = []
    for line in IDENTITY:
        for _ in range(6):
            parts = line.split()
            at = draw.randrange(len(parts))
            change = draw.randrange(4)
            if change == 0:
                del parts[at]
            elif change == 1:
                parts.insert(at, parts[at])
            elif change == 2:
                parts[at] = draw.choice(words)
            else:
                parts.insert(at, draw.choice(words))
            found.append(" ".join(parts))
    # keywords are whole words here; lark reads `over2` as two words where it fits
    whole = [text for text in found if "over2" not in text.replace(", over2", "")]
    return [text for text in whole if text and '"' not in text and "#" not in text]


def test_accepts_and_refuses_the_same_statements_as_lark() -> None:
    texts = mutants()
    verdicts = {text: (isinstance(ours(text), list), isinstance(larks(text), list)) for text in texts}
    assert {text for text, (mine, reference) in verdicts.items() if mine != reference} == set()
    refused = sum(not mine for mine, _ in verdicts.values())
    assert 50 < refused < len(texts) - 20  # both outcomes occur
    for text, (accepted, _) in verdicts.items():
        if accepted:
            assert ours(text) == larks(text)


def test_splitting_agrees_with_the_grammar_of_whole_plans() -> None:
    text = "\n".join(
        ["# first", *IDENTITY[:20], "", "a: widen b ; ; stack depth x2 # x; y", *IDENTITY[20:], ""]
    )
    whole = lark("start").parse(text)
    statements = [as_lists(child) for child in whole.children if getattr(child, "data", "") == "statement"]
    parts = split(Text(text, Source("t", text)), Errors()).statements
    assert [as_lists(lalr.parse(text, *part)) for part in parts] == statements
    assert len(parts) == len(IDENTITY) + 2


def test_parsing_imports_no_lark() -> None:
    code = (
        "import sys; from growplan.language import parse_text, parse_expression;"
        "parse_expression('widen hidden x2; stack depth x2');"
        "parse_text('steps: [widen hidden x2]');"
        "print(sorted({m.split('.')[0] for m in sys.modules} & "
        "{'lark', 'torch', 'numpy', 'networkx', 'transformers', 'rich', 'click', 'difflib', 'jsonschema'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
