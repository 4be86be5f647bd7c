"""The formatter: a plan's text in canonical spacing, in either syntax, with its comments.

It works on drafts, not on plans: `${name}` stays, `extends` is not followed, words keep their
spelling. Equal hashes before and after are a property that the tests hold.
"""

from __future__ import annotations

from dataclasses import replace

from growplan.diagnostics import Source
from growplan.language.build_stages import check_drafts
from growplan.language.comments import Comment, Piece, attach, render
from growplan.language.draft import Entry, FileDraft, StepDraft, repeated
from growplan.language.dsl import read_statement, split
from growplan.language.errors import Errors
from growplan.language.files import checked
from growplan.language.fmt_yaml import YamlFormatter, quoted_line, yaml_scalar
from growplan.language.printing import draft_text, word_text
from growplan.language.words import Text


def format_plan(text: str, source_syntax: str, target_syntax: str, name: str = "<text>") -> str:
    """`text` in `target_syntax` ("yaml" or "dsl"), formatted; formatting twice changes nothing more.

    Raises DiagnosticError where the text is no plan, and (GP040) where the DSL cannot say it.
    """
    source = checked(Source(name, text.removeprefix("\ufeff")))
    errors = Errors()
    with errors:
        if source_syntax == "dsl":
            return _from_dsl(source, target_syntax, errors)
        return YamlFormatter(source, errors).format(target_syntax)
    raise AssertionError("unreachable")


def _from_dsl(source: Source, target: str, errors: Errors) -> str:
    text = Text(source.text, source)
    parts = split(text, errors)
    headers: list[Piece] = []
    steps: list[Piece] = []
    draft = FileDraft(source)
    for start, end in parts.statements:
        found = read_statement(text, start, end, errors)
        if isinstance(found, StepDraft):
            draft.steps.append(found)
            line = draft_text(found)
            steps.append(Piece(start, end, [line if target == "dsl" else "- " + quoted_line(escape(line))],
                               "" if target == "dsl" else "  "))  # fmt: skip
        elif isinstance(found, Entry):
            first = draft.headers.setdefault(found.key.text, found)
            if first is not found:
                repeated(found.key, first.key, errors)
            headers.append(Piece(start, end, [_header(found, target)]))
    check_drafts(draft, errors)
    errors.raise_any()
    ordered = sorted([*headers, *steps], key=lambda p: p.start)
    comments = [Comment(start, source.text[start:end]) for start, end in parts.comments]
    footer = attach(source, ordered, comments)
    if target == "dsl":
        return render(ordered, footer)
    return render(_with_yaml_keys(headers, steps, "growplan" in draft.headers), footer)


def _header(entry: Entry, target: str) -> str:
    if target == "dsl":
        return f"{entry.key.text} {word_text(entry.value)}"
    return f"{entry.key.text}: {yaml_scalar(replace(entry.value, text=escape(entry.value.text)))}"


def escape(text: str) -> str:
    """DSL text for YAML, where `${` would be a reference."""
    return text.replace("${", "$${")


def _with_yaml_keys(headers: list[Piece], steps: list[Piece], versioned: bool) -> list[Piece]:
    """Add `growplan: 1` and `steps:`, which the DSL does without; headers come first."""
    pieces = list(headers)
    if not versioned:
        version = Piece(0, 0, ["growplan: 1"])
        top = (headers or steps)[:1]
        for piece in top:
            cut = len(piece.before) if headers else _last_blank(piece.before)
            version.before, piece.before = piece.before[:cut], piece.before[cut:]
        pieces.insert(0, version)
    if steps:
        key = Piece(0, 0, ["steps:"])
        if steps[0].before[:1] == [""]:
            key.before, steps[0].before = [""], steps[0].before[1:]
        pieces.append(key)
    return pieces + steps


def _last_blank(lines: list[str]) -> int:
    return max((i for i, line in enumerate(lines) if not line), default=0)
