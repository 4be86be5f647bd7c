"""Drafts of stages to the validated plan: names, lengths, parts, and what a stage must have."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from growplan.diagnostics import Span
from growplan.language.build import (
    build_headers,
    build_step,
    check_name,
    check_version,
    join_steps,
    validated,
    visible,
)
from growplan.language.draft import Entry, FileDraft, PartsDraft, StageDraft, TrainDraft
from growplan.language.errors import Errors
from growplan.language.plan import ANY, Scalar, Stage, Train, Unread
from growplan.language.scalars import check_trap, scalar
from growplan.language.stages import COUNT, FORMS, check_part, read_length
from growplan.language.words import Word, joined


def join_stages(files: Sequence[Sequence[StageDraft]], errors: Errors) -> list[StageDraft]:
    """The stages of a plan from those of its files, root first.

    One whose name is already a parent's takes the parent's place; all others follow.
    """
    joined: list[StageDraft] = []
    for stages in files:
        position = {stage.name.text: i for i, stage in enumerate(joined)}
        first: dict[str, Word] = {}
        for stage in stages:
            fine = bool(stage.name.text) and check_name(
                stage.name, "the name of a stage", "two stages are called", first, errors
            )
            if fine and stage.name.text in position:
                joined[position[stage.name.text]] = stage
            else:
                joined.append(stage)
    return joined


def join_trains(files: Sequence[FileDraft]) -> TrainDraft | None:
    """One `train` from those of a plan's files, root first: a later file's keys count.

    Where a file with stages has lost something that may have been one, there is one that lacks it.
    """
    given = [each.train for each in files if each.train is not None]
    lost = next((each for each in files if each.broken and each.stages), None)
    if lost is not None:
        place = Span(lost.source, 0, 0)
        given.insert(0, TrainDraft(Word("train", place), place, broken=True))
    if not given:
        return None
    entries: dict[str, Entry] = {}
    for train in given:
        entries.update(train.entries)
    broken = any(train.broken for train in given)
    return TrainDraft(given[-1].key, given[-1].span, entries, broken)


def build_train(draft: TrainDraft, errors: Errors) -> Train | None:
    """A training from its words, those left out that were reported."""
    fields: dict[str, Any] = {}
    options: dict[str, Scalar] = {}
    unread = {ANY} if draft.broken else set[str]()
    for key, entry in draft.entries.items():
        word, before = entry.value, len(errors.found)
        if key == "for":
            length = read_length(word, errors)
            fields |= {length[0]: length[1]} if length else {}
        elif key == "on":
            if not check_trap(word, errors) and visible(key, word, errors):
                fields[key] = word.text
        elif key == "tokens" and (count := COUNT.fullmatch(word.text)) and count["unit"]:
            message = f"`tokens` is the length of one sequence, not `{word.text}`"
            help = (f"write `for: {word.text} tokens` for the length of the training", FORMS)
            errors.add("GP045", message, word.span, help=help)
        else:
            value = scalar(word, errors)
            if value is not None and visible(key, word, errors):
                options[key] = value
        unread |= {key} if len(errors.found) > before else set()
    places = {key: entry.value.span for key, entry in draft.entries.items()}
    train = validated(Train, {**fields, "options": options}, draft.span, places, errors)
    return None if train is None else train.without(frozenset(unread))


def build_stage(draft: StageDraft, errors: Errors) -> Stage | None:
    """A stage from its words, what was reported of them left out."""
    steps = [build_step(step, errors) for step in draft.steps]
    train = build_train(draft.train, errors) if draft.train else None
    before = len(errors.found)
    parts = {key: _parts(each, errors) for key, each in draft.parts.items()}
    if draft.broken or len(errors.found) > before:
        train = (train or Train()).without(frozenset({ANY}))
    fields = {
        "name": draft.name.text,
        "steps": tuple(step for step in steps if step is not None),
        "train": train,
        **{key.replace("-", "_"): words for key, words in parts.items()},
    }
    places = {"name": draft.name.span}
    places |= {word.text: word.span for each in draft.parts.values() for word in each.words}
    places |= {key.replace("-", "_"): each.key.span for key, each in draft.parts.items()}
    return validated(Stage, fields, draft.span, places, errors)


def _parts(draft: PartsDraft, errors: Errors) -> tuple[str, ...]:
    words = [word for word in draft.words if check_part(word, errors)]
    for word in words:
        if draft.key.text == "freeze" and word.text == "all":
            message = "`freeze all` leaves nothing to train"
            help = "name what stays as it is, or remove the stage's `train`"
            errors.add("GP047", message, word.span, help=help)
    return tuple(dict.fromkeys(word.text for word in words))


def check_untrained(plan_train: TrainDraft | None, stages: Sequence[StageDraft], errors: Errors) -> None:
    """Report `freeze` and `train-only` in a stage that has no training, neither its own nor the plan's."""
    if plan_train is not None and ("for" in plan_train.entries or plan_train.broken):
        return
    for stage in stages:
        for key, each in stage.parts.items():
            if stage.train is None and not stage.broken:
                message = f"`{key}` in stage `{stage.name.text}`, which is not trained"
                errors.add("GP048", message, each.key.span, help=f"add a `train` to it, or remove `{key}`")


def unread_of(draft: FileDraft, headers: Iterable[Entry], errors: Errors) -> Unread | None:
    """What was reported of a plan. Mistakes in headers, names of stages and trainings hide no step."""
    if not errors.found:
        return None
    trains = [*filter(None, (draft.train, *(stage.train for stage in draft.stages)))]
    parts = [part for stage in draft.stages for part in stage.parts.values()]
    apart = [entry.span for entry in headers]
    apart += [span for train in trains for span in (train.span, *(e.span for e in train.entries.values()))]
    apart += [joined([each.key.span, *(w.span for w in each.words)]) or each.key.span for each in parts]
    apart += [stage.name.span for stage in draft.stages]
    spans = [d.span for d in errors.found if d.span is None or not any(_holds(s, d.span) for s in apart)]
    if not spans:
        return Unread(None)
    known = [span.start for span in spans if span is not None and span.source is draft.source]
    stages = [stage.span.source is draft.source for stage in draft.stages]
    return Unread(min(known) if len(known) == len(spans) and all(stages) else 0)


def _holds(outer: Span, inner: Span) -> bool:
    return outer.source is inner.source and outer.start <= inner.start and inner.end <= outer.end


def check_shape(draft: FileDraft, errors: Errors) -> None:
    """Report steps beside stages, and a training without stages, of one file or of a whole plan."""
    if draft.stages and draft.steps:
        message = "a step outside of the plan's stages"
        help = ("move it into a stage", "or write all steps under `steps:`, without stages")
        errors.add("GP043", message, draft.steps[0].span, help=help)
    elif draft.train is not None and draft.steps:
        message = "`train` in a plan without stages"
        help = (
            "put the steps into a stage: `stages:`, with `name:` and `steps:` (`stage NAME` in the DSL)",
            "or remove it: a plan of steps is grown by `growplan apply`, and trained by you",
        )
        errors.add("GP044", message, draft.train.key.span, help=help)


def check_drafts(draft: FileDraft, errors: Errors) -> None:
    """Report what is wrong with a file by itself, as far as its words are known (no `${name}`)."""
    headers = {key: entry for key, entry in draft.headers.items() if "${" not in entry.value.text}
    check_version(headers.get("growplan"), errors)
    build_headers({key: (entry, "") for key, entry in headers.items() if key != "growplan"}, "", errors)
    named = [stage for stage in draft.stages if stage.name.text and "${" not in stage.name.text]
    stages = join_stages([named], errors)
    for step in join_steps([draft.every_step], errors, [stage.name for stage in stages]):
        words = [entry.value for entry in step.entries.values()]
        words += [w for g in step.growths for w in (g.axis, g.source, g.to, g.by) if w is not None]
        if not any("${" in word.text for word in words):
            build_step(step, errors)
    trains = [draft.train, *(stage.train for stage in draft.stages)]
    for train in filter(None, trains):
        known = {key: entry for key, entry in train.entries.items() if "${" not in entry.value.text}
        build_train(replace(train, entries=known), errors)
    for each in (parts for stage in draft.stages for parts in stage.parts.values()):
        _parts(each, errors)
    check_shape(draft, errors)
