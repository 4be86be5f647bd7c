"""Stages as drafts: what each statement belongs to, how long a training is, parts of a model."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

from growplan.language.draft import (
    Entry,
    FileDraft,
    PartsDraft,
    StageDraft,
    StepDraft,
    TrainDraft,
    repeated,
)
from growplan.language.errors import Errors
from growplan.language.scalars import LARGEST
from growplan.language.words import PARTS, Text, Word, did_you_mean

Statement = Entry | StepDraft | StageDraft | TrainDraft | PartsDraft
COUNT = re.compile(r"(?P<number>(?:0|[1-9]\d{0,18})(?:\.\d{1,18})?)(?P<unit>[kKMGB]?)")
LENGTH = re.compile(rf"\s*{COUNT.pattern}\s+(?P<what>steps|tokens)\s*")
UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "B": 10**9}
FORMS = "write `300 steps`, `20k steps` or `2.5M tokens`"
NAMED = ("new-layers", "embeddings", "head", "all")
TOP = re.compile(r"top [1-9]\d{0,3}")
LAYERS = re.compile(r"layers (\d{1,4}):(\d{1,4})")
PATTERN = re.compile(r"(?=.*[.*?\[])[\w.*?\[\]!-]+")
PARTS_HELP = (
    "parts: new-layers, top N, layers A:B, embeddings, head, all",
    "or a pattern of parameter names, such as `*.attn.*`",
)


class Statements:
    """Puts the statements of a DSL plan where they belong: a `stage` takes all up to the next one."""

    def __init__(self, draft: FileDraft, errors: Errors) -> None:
        self.draft = draft
        self.errors = errors
        self.stage: StageDraft | None = None

    def add(self, found: Statement) -> None:
        """Report what stands twice, or where it cannot."""
        if isinstance(found, Entry):
            first = self.draft.headers.setdefault(found.key.text, found)
            if first is not found:
                repeated(found.key, first.key, self.errors)
        elif isinstance(found, StageDraft):
            self.stage = found
            self.draft.stages.append(found)
        elif isinstance(found, StepDraft):
            self._step(found)
        elif isinstance(found, TrainDraft):
            home = self.stage or self.draft
            if home.train is not None:
                repeated(found.key, home.train.key, self.errors)
            home.train = home.train or found
        elif self.stage is None:
            help = f"write it below `stage NAME`, whose training it is about: `{found.key.text} ...`"
            message = f"`{found.key.text}` stands before the first `stage`"
            self.errors.add("GP044", message, found.key.span, help=help)
        else:
            enter_parts(self.stage, found, self.errors)

    def _step(self, step: StepDraft) -> None:
        if self.stage is None:
            self.draft.steps.append(step)
            return
        self.stage.steps.append(step)
        if self.stage.train is not None:
            message = f"a step below the `train` of stage `{self.stage.name.text}`"
            help = (
                "begin a new stage above it: `stage NAME`",
                "or move it above `train`: a stage grows, then it is trained",
            )
            self.errors.add("GP046", message, step.span, help=help)

    def lost(self, word: Word) -> None:
        """A statement that was reported; `word` is its first. What follows a `stage` is still one."""
        if word.text == "stage":
            self.stage = StageDraft(Word("", word.span), word.span)
            self.draft.stages.append(self.stage)
        home = self.stage or self.draft
        home.broken = True


def enter_parts(stage: StageDraft, parts: PartsDraft, errors: Errors) -> None:
    """Give a stage its `freeze` or `train-only`. Reports one that it has already."""
    first = stage.parts.setdefault(parts.key.text, parts)
    if first is not parts:
        repeated(parts.key, first.key, errors)


def enter_setting(train: TrainDraft, key: Word, value: Word, errors: Errors) -> None:
    """Add an option to a training. `steps 300` is short for `for 300 steps`, `data` for `on`."""
    if key.text in PARTS:
        message = f"`{key.text}` is no option of `train`"
        help = (
            f"write it beside `train`, in the stage: `{key.text}: {value.text}`",
            f"in the DSL as a line of its own: `{key.text} {value.text}`",
        )
        errors.add("GP044", message, key.span, help=help)
        return
    name = {"steps": "for", "data": "on"}.get(key.text, key.text)
    if key.text == "steps":
        if value.quoted:
            message = f'`steps` must be a whole number, not `"{value.text}"`'
            errors.add("GP024", message, value.span, help="write it without quotes")
            return
        value = Word(f"{value.text} steps", value.span)
    first = train.entries.setdefault(name, Entry(key, value))
    if first.key is key:
        return
    if first.key.text == key.text:
        repeated(key, first.key, errors)
    else:
        message = f"`{first.key.text}` and `{key.text}` say the same thing"
        errors.add("GP007", message, key.span, help="keep one of them")


def read_length(word: Word, errors: Errors) -> tuple[Literal["steps", "tokens"], int] | None:
    """`300 steps` as ("steps", 300), `2.5M tokens` as ("tokens", 2500000); None where it was reported."""
    match = LENGTH.fullmatch(word.text)
    if match is None:
        message = f"`{word.text}` is not how long a training is"
        errors.add("GP045", message, word.span, help=FORMS)
        return None
    count = Decimal(match["number"]) * UNITS[match["unit"]]
    if count != int(count) or not 1 <= count <= LARGEST:
        message = f"a training cannot be `{word.text.strip()}` long"
        why = f"it is no whole number from 1 to {LARGEST}"
        errors.add("GP045", message, word.span, notes=(("because", why),), help=FORMS)
        return None
    return ("steps" if match["what"] == "steps" else "tokens"), int(count)


def split_parts(text: Text) -> list[Word]:
    """The parts of `top 3, head`, blanks trimmed; an empty part is an empty word where it would stand."""
    words: list[Word] = []
    at = 0
    for piece in text.text.split(","):
        start = at + len(piece) - len(piece.lstrip())
        end = max(start, at + len(piece.rstrip()))
        words.append(Word(" ".join(piece.split()), text.span(start, end)))
        at += len(piece) + 1
    return words


def check_part(word: Word, errors: Errors) -> bool:
    """Report a word that can name no part of any model. True where it may name one."""
    name = word.text
    layers = LAYERS.fullmatch(name)
    if layers is not None and int(layers[1]) >= int(layers[2]):
        message = f"`{name}` are no layers: the first is left in, the last is left out"
        help = (f"write `layers {layers[2]}:{int(layers[1]) + 1}`",)
        errors.add("GP047", message, word.span, help=help)
        return False
    if name in NAMED or TOP.fullmatch(name) or layers is not None or PATTERN.fullmatch(name):
        return True
    message = f"`{name}` is no part of a model" if name else "an empty part"
    near = did_you_mean(name, NAMED, PARTS_HELP[0]) if name else PARTS_HELP[:1]
    errors.add("GP047", message, word.span, help=(*near, PARTS_HELP[1]))
    return False
