"""What both front ends produce: the words of a plan, not yet read as numbers or checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from growplan.diagnostics import Source, Span
from growplan.language.errors import Errors
from growplan.language.words import Word


@dataclass(frozen=True)
class Entry:
    """A key and its value: a header, an option, a field of a step."""

    key: Word
    value: Word

    @property
    def span(self) -> Span:
        """From the key to the end of the value, where both stand in one source."""
        first, last = self.key.span, self.value.span
        if first.source is last.source and first.start <= last.end:
            return Span(first.source, first.start, last.end)
        return last


@dataclass
class GrowthDraft:
    """An axis and the parts of its size that were written."""

    axis: Word
    source: Word | None = None
    to: Word | None = None
    by: Word | None = None
    span: Span | None = None


@dataclass
class StepDraft:
    """A step in either spelling. `entries` holds fields and options by key, in the order written."""

    verb: Word
    span: Span
    growths: list[GrowthDraft] = field(default_factory=list)
    entries: dict[str, Entry] = field(default_factory=dict)
    name: str = ""  # the step's id, given or derived

    @property
    def given_id(self) -> Word | None:
        entry = self.entries.get("id")
        return entry.value if entry else None


@dataclass
class TrainDraft:
    """A `train`, a plan's or a stage's. The length stands under `for`, as `300 steps` or `2M tokens`.

    `broken`: something in it was reported, and left out.
    """

    key: Word
    span: Span
    entries: dict[str, Entry] = field(default_factory=dict)
    broken: bool = False


@dataclass
class PartsDraft:
    """`freeze` or `train-only`, with the parts of the model that it names."""

    key: Word
    words: list[Word]


@dataclass
class StageDraft:
    """A stage in either spelling. `broken`: something in it was reported, and left out.

    One whose name was reported has an empty one.
    """

    name: Word
    span: Span
    steps: list[StepDraft] = field(default_factory=list)
    train: TrainDraft | None = None
    parts: dict[str, PartsDraft] = field(default_factory=dict)
    broken: bool = False


@dataclass
class FileDraft:
    """One plan file: its headers, its steps or stages, and the keys that are the user's own.

    `broken`: something of the plan itself, outside of its stages, was reported, and left out.
    """

    source: Source
    headers: dict[str, Entry] = field(default_factory=dict)
    steps: list[StepDraft] = field(default_factory=list)
    train: TrainDraft | None = None
    stages: list[StageDraft] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    span: Span | None = None
    broken: bool = False

    @property
    def every_step(self) -> list[StepDraft]:
        """Its steps, and those of its stages."""
        return [*self.steps, *(step for stage in self.stages for step in stage.steps)]


def enter(step: StepDraft, key: Word, value: Word, errors: Errors) -> None:
    """Add a field or an option to a step. Reports a key that it has already."""
    if step.verb.text == "grow" and key.text == "data":
        key = Word("on", key.span)
    first = step.entries.setdefault(key.text, Entry(key, value))
    if first.key is not key:
        repeated(key, first.key, errors)


def repeated(again: Word, first: Word, errors: Errors) -> None:
    """Report a key that stands twice."""
    notes = (("first", f"line {first.span.line}, column {first.span.column}"),)
    errors.add("GP007", f"`{again.text}` stands twice", again.span, notes=notes, help="keep one of them")
