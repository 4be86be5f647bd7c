"""The formatter: a plan's text in canonical spacing, in either syntax, with its comments.

It works on drafts, not on plans: `${name}` stays, `extends` is not followed, words keep their
spelling. Equal hashes before and after are a property that the tests hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from growplan.diagnostics import Source
from growplan.language.build_stages import check_drafts
from growplan.language.comments import Comment, Piece, attach, last_blank, render, settle
from growplan.language.draft import Entry, FileDraft, PartsDraft, StageDraft, StepDraft, TrainDraft
from growplan.language.dsl import read_into, split
from growplan.language.errors import Errors
from growplan.language.files import checked
from growplan.language.fmt_words import WIDTH, escape, quoted_line, training_lines, yaml_scalar
from growplan.language.fmt_yaml import YamlFormatter
from growplan.language.printing import draft_text, parts_draft_text, training_draft_text, word_text
from growplan.language.stages import Statement, Statements
from growplan.language.words import Text, Word


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
    draft = FileDraft(source)
    statements = Statements(draft, errors)
    read = [(start, end, read_into(statements, text, start, end)) for start, end in parts.statements]
    check_drafts(draft, errors)
    errors.raise_any()
    pieces = Pieces(target, staged=bool(draft.stages)).of(read)
    comments = [Comment(start, source.text[start:end]) for start, end in parts.comments]
    footer = attach(source, pieces, comments)
    settle(pieces, footer)
    if target != "dsl":
        pieces = _with_yaml_keys(pieces, "growplan" in draft.headers)
    return render(pieces, footer)


HEAD, TRAIN, STEPS, STAGES = 0, 1, 2, 3  # ranks of the parts of a plan
NAME, OF_STEPS, REST = 0, 1, 2  # and of a stage, behind its number


class Pieces:
    """Statements of the DSL as pieces of either syntax, each with the rank of its place.

    YAML has headers first, then steps or stages; in the DSL that is so where there are stages.
    """

    def __init__(self, target: str, staged: bool) -> None:
        self.target = target
        self.staged = staged
        self.stage = 0  # the number of the one that the next statement belongs to

    def of(self, read: Sequence[tuple[int, int, Statement | None]]) -> list[Piece]:
        """A piece for each statement, in the order written."""
        make = self._dsl if self.target == "dsl" else self._yaml
        return [make(start, end, found) for start, end, found in read if found is not None]

    def _rank(self, found: Statement) -> tuple[int, ...]:
        if isinstance(found, Entry):
            return (HEAD,)
        if isinstance(found, StageDraft):
            self.stage += 1
            return (STAGES, self.stage, NAME)
        step = isinstance(found, StepDraft)
        if self.stage:
            return (STAGES, self.stage, OF_STEPS if step else REST)
        return (STEPS,) if step else (TRAIN,)

    def _dsl(self, start: int, end: int, found: Statement) -> Piece:
        if isinstance(found, StepDraft):
            line = draft_text(found)
        elif isinstance(found, StageDraft):
            line = f"stage {found.name.text}"
        elif isinstance(found, TrainDraft):
            line = training_draft_text(found)
        elif isinstance(found, PartsDraft):
            line = parts_draft_text(found)
        else:
            line = f"{found.key.text} {word_text(found.value)}"
        rank = self._rank(found) if self.staged else ()
        return Piece(start, end, [line], rank=rank, apart=isinstance(found, StageDraft))

    def _yaml(self, start: int, end: int, found: Statement) -> Piece:
        rank = self._rank(found)
        indent = "    " if self.stage else ""
        if isinstance(found, Entry):
            lines, indent = [_header(found)], ""
        elif isinstance(found, StageDraft):
            lines, indent = [f"- name: {found.name.text}"], "  "
        elif isinstance(found, StepDraft):
            lines, indent = ["- " + quoted_line(escape(draft_text(found)))], indent + "  "
        elif isinstance(found, TrainDraft):
            lines = training_lines(found, WIDTH - len(indent))
        else:
            line = ", ".join(word.text for word in found.words)
            lines = [f"{found.key.text}: {yaml_scalar(Word(line, found.key.span))}"]
        return Piece(start, end, lines, indent, rank=rank)


def _header(entry: Entry) -> str:
    return f"{entry.key.text}: {yaml_scalar(replace(entry.value, text=escape(entry.value.text)))}"


def _with_yaml_keys(pieces: list[Piece], versioned: bool) -> list[Piece]:
    """The pieces in their order, with `growplan: 1`, `steps:` and `stages:`, which the DSL does without."""
    whole: list[Piece] = []
    rank: tuple[int, ...] = ()
    for piece in sorted(pieces, key=lambda piece: piece.rank):
        if not whole and not versioned:
            cut = last_blank(piece.before)
            if piece.rank == (HEAD,):  # no blank line between two headers
                cut = cut + 1 if cut else len(piece.before)
            whole.append(Piece(0, 0, ["growplan: 1"], before=piece.before[:cut], rank=(HEAD,)))
            piece.before = piece.before[cut:]
        if piece.rank[0] == STAGES and rank[:1] != (STAGES,):
            whole.append(_key("stages:", piece))
        if piece.rank != rank and (piece.rank == (STEPS,) or piece.rank[2:] == (OF_STEPS,)):
            whole.append(_key("steps:", piece))
        whole.append(piece)
        rank = piece.rank
    return whole


def _key(text: str, first: Piece) -> Piece:
    """The key above its first item, with the blank line that stands before that."""
    key = Piece(0, 0, [text], first.indent[2:], rank=first.rank)
    if first.before[:1] == [""]:
        key.before, first.before = [""], first.before[1:]
    return key
