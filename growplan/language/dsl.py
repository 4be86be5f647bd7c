"""DSL text to drafts: one statement at a time, so that every bad one is reported.

Statements end at a newline or `;`. What a statement looks like is in grammar/plan.lark.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from growplan.language.draft import (
    Entry,
    FileDraft,
    GrowthDraft,
    PartsDraft,
    StageDraft,
    StepDraft,
    TrainDraft,
    enter,
)
from growplan.language.errors import Errors
from growplan.language.expected import describe
from growplan.language.lalr import Token, Tree, Unexpected, parse
from growplan.language.stages import Statement, Statements, enter_setting
from growplan.language.words import HEADERS, PARTS, STATEMENTS, VERBS, Text, Word, did_you_mean

PIECE = re.compile(
    r'(?P<quoted>"(?:\\.|[^"\\\n])*")|(?P<open>")|(?P<comment>#[^\n]*)|(?P<end>[;\n])|(?P<comma>,)'
    r'|(?P<word>[^\s,;"#][^\s,;"]*)|(?P<space>[^\S\n]+)'
)
FIRST = re.compile(r"\s*(?:(?P<label>[A-Za-z_][\w-]*)\s*:(?=\s|$)\s*)?(?P<word>[^\s,;\"]*)")
ESCAPE = re.compile(r'\\(["\\])')


@dataclass(frozen=True)
class Split:
    """Half-open ranges of a text: its statements (comments and blanks trimmed) and its comments."""

    statements: tuple[tuple[int, int], ...]
    comments: tuple[tuple[int, int], ...]


def split(text: Text, errors: Errors) -> Split:
    """Find the statements. A quote that is never closed is an error, and drops its statement."""
    statements: list[tuple[int, int]] = []
    comments: list[tuple[int, int]] = []
    start = end = -1
    broken = False
    for piece in PIECE.finditer(text.text):
        kind = piece.lastgroup
        if kind == "comment":
            comments.append((piece.start(), piece.start() + len(piece.group().rstrip())))
        elif kind == "end":
            if start >= 0 and not broken:
                statements.append((start, end))
            start, broken = -1, False
        elif kind != "space":
            if kind == "open" and not broken:
                span = text.span(piece.start(), piece.end())
                errors.add(
                    "GP022", 'this `"` is never closed', span, help='close it with `"` on the same line'
                )
                broken = True
            start = piece.start() if start < 0 else start
            end = piece.end()
    if start >= 0 and not broken:
        statements.append((start, end))
    return Split(tuple(statements), tuple(comments))


def unquote(text: str) -> str:
    """The string that a quoted word stands for: `\\"` and `\\\\` are the only escapes."""
    return ESCAPE.sub(r"\1", text[1:-1])


def read_statement(
    text: Text, start: int, end: int, errors: Errors, *, among_steps: bool = False
) -> Statement | None:
    """One statement as a draft of what it says; None when it was reported as wrong."""
    if not _known_start(text, start, end, among_steps, errors):
        return None
    before = len(errors.found)
    tree = _parsed(text, start, end, errors)
    if tree is None:
        return None
    (child,) = tree.children
    assert isinstance(child, Tree)
    if child.name == "header":
        key, value = child.children
        assert isinstance(key, Token) and isinstance(value, Token)
        return Entry(_word(text, key), _word(text, value))
    if child.name == "step":
        return _step(text, child, errors)
    key = child.children[0]
    assert isinstance(key, Token)
    if child.name == "train":
        train = TrainDraft(_word(text, key), text.span(start, end))
        _settings(text, child, train, errors)
        train.broken = len(errors.found) > before
        return train
    if child.name == "parts":
        return PartsDraft(_word(text, key), [_part(text, part) for part in child.trees("part")])
    name = child.children[1]
    assert isinstance(name, Token)
    return StageDraft(_word(text, name), text.span(key.start, name.end))


def _parsed(text: Text, start: int, end: int, errors: Errors) -> Tree | None:
    """The tree of a statement. Clauses of a `train` that do not fit are reported and left out.

    None where another statement does not fit.
    """
    legible = text.text
    while True:
        try:
            return parse(legible, start, end)
        except Unexpected as unexpected:
            describe(text, start, end, unexpected, errors)
            first = FIRST.match(legible, start, end)
            clause = _clause(legible, start + len("train"), end, unexpected.offset)
            if first is None or first["word"] != "train" or not legible[slice(*clause)].strip():
                return None
            legible = legible[: clause[0]] + " " * (clause[1] - clause[0]) + legible[clause[1] :]


def _clause(text: str, start: int, end: int, at: int) -> tuple[int, int]:
    """The range between commas that `at` is in; a comma begins the clause behind it."""
    commas = [piece.start() for piece in PIECE.finditer(text, start, end) if piece.lastgroup == "comma"]
    return max((c for c in commas if c < at), default=start), min((c for c in commas if c >= at), default=end)


def read_dsl(text: Text, errors: Errors) -> FileDraft:
    """A whole DSL plan."""
    draft = FileDraft(text.source)
    statements = Statements(draft, errors)
    for start, end in split(text, errors).statements:
        read_into(statements, text, start, end)
    return draft


def read_into(statements: Statements, text: Text, start: int, end: int) -> Statement | None:
    """Read a statement and put it where it belongs; None when it was reported as wrong."""
    found = read_statement(text, start, end, statements.errors)
    if found is None:
        first = FIRST.match(text.text, start, end)
        assert first is not None
        statements.lost(Word(first["word"], text.span(*first.span("word"))))
    else:
        statements.add(found)
    return found


def only_statement(text: Text, errors: Errors) -> tuple[int, int] | None:
    """The range of the one statement that an item of `steps:` may hold."""
    before = len(errors.found)
    statements = split(text, errors).statements
    if len(statements) > 1:
        span = text.span(*statements[1])
        errors.add("GP013", "one step to an item, found several", span, help="give each step its own `- `")
    elif not statements and len(errors.found) == before:
        errors.add("GP013", "an empty step", text.span(0, len(text)), help="remove it, or write a step")
    return statements[0] if len(statements) == 1 and len(errors.found) == before else None


def read_line(text: Text, errors: Errors) -> StepDraft | None:
    """A single step, as an item of `steps:`."""
    statement = only_statement(text, errors)
    found = read_statement(text, *statement, errors, among_steps=True) if statement else None
    if isinstance(found, Entry):
        help = f"write `{found.key.text}: {found.value.text}` as a key of the plan"
        errors.add("GP021", f"`{found.key.text}` is not a step", found.key.span, help=help)
    return found if isinstance(found, StepDraft) else None


def _known_start(text: Text, start: int, end: int, among_steps: bool, errors: Errors) -> bool:
    """Report a statement whose first word is no verb and no header."""
    first = FIRST.match(text.text, start, end)
    assert first is not None
    word, label = first["word"], first["label"]
    if word in STATEMENTS and (label or among_steps):
        help = (
            f"write `{word}:` as a key of the {'stage' if word in PARTS else 'stage, or of the plan'}"
            if among_steps
            else f"write `{text.text[first.start('word') : end]}`, without `{label}:`"
        )
        if word == "stage" and among_steps:
            help = "write the stages under `stages:`, each with its `name:` and its `steps:`"
        errors.add("GP021", f"`{word}` is not a step", text.span(*first.span("word")), help=help)
        return False
    if label in (*HEADERS, *STATEMENTS) and word not in VERBS:
        help = f"write `{label} {text.text[first.start('word') : end]}`, without the colon"
        errors.add("GP021", f"`{label}:` is not a statement", text.span(start, first.end("label")), help=help)
        return False
    if word in VERBS or (word in (*HEADERS, *STATEMENTS) and not label):
        return True
    if not word:
        return True  # a label and nothing more: the parser says what is missing
    verbs_only = bool(label) or among_steps
    known = VERBS if verbs_only else (*VERBS, *HEADERS, *STATEMENTS)
    help_lines = did_you_mean(word, known, "a step begins with one of " + ", ".join(VERBS))
    what = "is no verb" if verbs_only else "is neither a verb nor a header"
    errors.add("GP021", f"`{word}` {what}", text.span(*first.span("word")), help=help_lines)
    return False


def _word(text: Text, token: Token) -> Word:
    span = text.span(token.start, token.end)
    if token.name == "QUOTED":
        return Word(unquote(token.text), span, quoted=True)
    return Word(token.text, span)


def _growth(text: Text, tree: Tree, axis: Token) -> GrowthDraft:
    growth = GrowthDraft(_word(text, axis))
    size = tree.tree("size")
    last = axis
    if size is not None:
        numbers = size.tokens("INT")
        last = numbers[-1]
        new = _word(text, last)
        if size.token("TIMES"):
            growth.by = new
        else:
            growth.to = new
        if len(numbers) == 2:
            growth.source = _word(text, numbers[0])
    growth.span = text.span(axis.start, last.end)
    return growth


def _step(text: Text, tree: Tree, errors: Errors) -> StepDraft:
    (body,) = tree.trees("resize", "grow", "upcycle")
    verb = body.children[0]
    assert isinstance(verb, Token)
    step = StepDraft(_word(text, verb), text.span(*_range(tree)))
    label = tree.token("LABEL")
    if label is not None:
        name = label.text.rstrip(": \t")
        word = Word(name, text.span(label.start, label.start + len(name)))
        step.entries["id"] = Entry(word, word)
    step.growths = list(_growths(text, body))
    for clause in body.trees("via", "over", "on", "for"):
        key, value = clause.children[:2]
        assert isinstance(key, Token) and isinstance(value, Token)
        name_of = Word("steps" if key.name == "FOR" else key.text, text.span(key.start, key.end))
        enter(step, name_of, _word(text, value), errors)
    for option in tree.trees("option"):
        _, key, value = option.children[:3]
        assert isinstance(key, Token) and isinstance(value, Token)
        enter(step, _word(text, key), _word(text, value), errors)
    return step


def _settings(text: Text, tree: Tree, train: TrainDraft, errors: Errors) -> None:
    for part in tree.trees("on", "length", "setting"):
        name, value = part.children[:2]
        assert isinstance(name, Token) and isinstance(value, Token)
        word = _word(text, value)
        if part.name == "length":
            (unit,) = part.tokens("STEPS", "TOKENS")
            word = Word(f"{value.text} {unit.text}", text.span(value.start, unit.end))
        enter_setting(train, _word(text, name), word, errors)


def _part(text: Text, tree: Tree) -> Word:
    words = [_word(text, token) for token in tree.tokens("WORD", "QUOTED")]
    return Word(" ".join(" ".join(w.text for w in words).split()), text.span(*_range(tree)))


def _growths(text: Text, body: Tree) -> list[GrowthDraft]:
    if body.name == "grow":
        return [_growth(text, g, t) for g in body.trees("growth") if (t := g.token("AXIS"))]
    if body.name == "upcycle":
        axis, size = body.token("FFN"), body.token("INT")
        assert axis and size
        growth = GrowthDraft(Word("experts", text.span(axis.start, axis.end)), to=_word(text, size))
        growth.span = text.span(axis.start, size.end)
        return [growth]
    axis = body.token("AXIS")
    assert axis is not None
    return [_growth(text, body, axis)]


def _range(tree: Tree) -> tuple[int, int]:
    first: Token | Tree = tree
    while isinstance(first, Tree):
        first = first.children[0]
    last: Token | Tree = tree
    while isinstance(last, Tree):
        last = last.children[-1]
    return first.start, last.end
