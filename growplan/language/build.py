"""Drafts to the validated plan: ids, numbers, words that must be one of a few."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from growplan.diagnostics import Span
from growplan.language.draft import Entry, GrowthDraft, StepDraft
from growplan.language.errors import Errors
from growplan.language.plan import Growth, Node, Scalar, Step
from growplan.language.scalars import check_trap, scalar, whole
from growplan.language.words import (
    EXPECTS,
    HEADERS,
    INVISIBLE_IN_VALUES,
    PATHS,
    STATEMENTS,
    VERBS,
    Word,
    did_you_mean,
)

N = TypeVar("N", bound=Node)
ID = re.compile(r"[A-Za-z_][\w-]*")
METHOD = re.compile(r"[A-Za-z]\w*(?:-\w+)*")
RESERVED = (*VERBS, *HEADERS, *STATEMENTS, "vars", "steps", "stages")
ONLY_FOR = {"over": "mask-in"}


def derived_id(step: StepDraft) -> str:
    """`widen-hidden`, `mask-in-heads`, `grow-hidden-depth`: what a step is called until named."""
    axes = ("ffn",) if step.verb.text == "upcycle" else [g.axis.text for g in step.growths]
    return "-".join((step.verb.text, *axes))


def join_steps(
    files: Sequence[Sequence[StepDraft]], errors: Errors, stages: Sequence[Word] = ()
) -> list[StepDraft]:
    """The steps of a plan from those of its files, root first, each with its `name`.

    A step whose given id is already a parent's takes the parent's place; all others follow.
    `stages` are names that no step may have.
    """
    joined: list[StepDraft] = []
    counts: dict[str, int] = {}
    for steps in files:
        position = {step.name: i for i, step in enumerate(joined)}
        given = _given(steps, errors, stages)
        taken = {*position, *given.values(), *(word.text for word in stages)}
        for step in steps:
            name = given.get(id(step)) or _free(derived_id(step), taken, counts)
            taken.add(name)
            step.name = name
            if id(step) in given and name in position:
                joined[position[name]] = step
            else:
                joined.append(step)
    return joined


def _given(steps: Sequence[StepDraft], errors: Errors, stages: Sequence[Word]) -> dict[int, str]:
    """Valid ids that a file's steps were given, by step."""
    given: dict[int, str] = {}
    first: dict[str, Word] = {}
    stage = {word.text: word for word in stages}
    for step in steps:
        word = step.given_id
        if word is None:
            continue
        if word.text in stage:
            check_name(word, "a step's id", "a stage and a step are both called", stage, errors)
        elif check_name(word, "a step's id", "two steps are called", first, errors):
            given[id(step)] = word.text
    return given


def check_name(word: Word, what: str, twice: str, first: dict[str, Word], errors: Errors) -> bool:
    """Whether a word can name a step or a stage; `first` holds the names that are taken, and gets it."""
    if check_trap(word, errors):
        return False
    if not ID.fullmatch(word.text) or word.text in RESERVED:
        reason = "a word of the language" if word.text in RESERVED else "not letters, digits, `_` and `-`"
        notes = (("because", f"it is {reason}"),)
        message = f"`{word.text}` cannot be {what}"
        errors.add("GP032", message, word.span, notes=notes, help="choose another")
        return False
    place = first.setdefault(word.text, word).span
    if place is word.span:
        return True
    notes = (("first", f"line {place.line}, column {place.column}"),)
    errors.add("GP031", f"{twice} `{word.text}`", word.span, notes=notes, help="rename one")
    return False


def _free(name: str, taken: set[str], counts: dict[str, int]) -> str:
    """`name`, or `name-2`, `name-3`, ...; `counts` remembers how far each name got."""
    candidate = name
    while candidate in taken:
        counts[name] = counts.get(name, 1) + 1
        candidate = f"{name}-{counts[name]}"
    return candidate


def build_step(draft: StepDraft, errors: Errors) -> Step | None:
    """A step from its words. None when something in it was reported."""
    before = len(errors.found)
    places = {"verb": draft.verb.span} | {key: entry.span for key, entry in draft.entries.items()}
    fields: dict[str, Any] = {}
    options: dict[str, Scalar] = {}
    for key, entry in draft.entries.items():
        if key == "id":
            places[key] = entry.value.span
        elif key in ("via", "expect", "over") or (draft.verb.text == "grow" and key in ("on", "steps")):
            places[key] = entry.value.span
            fields[key] = _field(draft, key, entry, errors)
        else:
            value = scalar(entry.value, errors)
            if value is not None and visible(key, entry.value, errors):
                options[key] = value
    growths = [_growth(growth, errors) for growth in draft.growths]
    places |= {"axis": draft.growths[0].axis.span} if draft.growths else {}
    if len(errors.found) > before or (draft.verb.text == "upcycle" and not _experts_given(draft)):
        return None
    raw = {"verb": draft.verb.text, "growths": tuple(growths), "id": draft.name, "options": options, **fields}
    return validated(Step, raw, draft.span, places, errors)


def _experts_given(draft: StepDraft) -> bool:
    """Whether an `upcycle` says how many experts; where it does not, that was reported."""
    return any(growth.to is not None for growth in draft.growths)


def _field(draft: StepDraft, key: str, entry: Entry, errors: Errors) -> str | int | None:
    word = entry.value
    if (verb := ONLY_FOR.get(key, draft.verb.text)) != draft.verb.text:
        errors.add(
            "GP041",
            f"`{key}` belongs to `{verb}`, not to `{draft.verb.text}`",
            entry.span,
            help=f"remove `{key}`",
        )
        return None
    if key in ("over", "steps"):
        return whole(word, errors, f"`{key}`")
    if check_trap(word, errors):
        return None
    if key == "expect" and word.text not in EXPECTS:
        help = did_you_mean(word.text, EXPECTS, "write exact, approximate or none")
        errors.add(
            "GP024", f"`expect` must be exact, approximate or none, not `{word.text}`", word.span, help=help
        )
    elif key == "via" and not METHOD.fullmatch(word.text):
        errors.add(
            "GP024", f"`{word.text}` is no name of a method", word.span, help="`growplan methods` lists them"
        )
    elif key == "on":
        visible(key, word, errors)
    return word.text


def visible(key: str, word: Word, errors: Errors) -> bool:
    """Report a value with line breaks or control characters (which escapes can make)."""
    if INVISIBLE_IN_VALUES.search(word.text) is None:
        return True
    message = f"`{key}` must be on one line and without control characters"
    errors.add("GP013", message, word.span, help="remove the line break or the character")
    return False


def _growth(draft: GrowthDraft, errors: Errors) -> Growth | None:
    parts = {"source": draft.source, "to": draft.to, "by": draft.by}
    words = {part: word for part, word in parts.items() if word is not None}
    places = {"axis": draft.axis.span} | {part: word.span for part, word in words.items()}
    what = {"source": "the old size", "to": "the new size", "by": "the factor"}
    sizes = {
        p: whole(w, errors, f"{what[p]} of `{draft.axis.text}`", 2 if p == "by" else 1)
        for p, w in words.items()
    }
    if draft.to and draft.by:
        message = f"`{draft.axis.text}` has both a new size and a factor"
        errors.add("GP026", message, draft.by.span, help="keep `to` or `by`")
    elif draft.source and not draft.to and not draft.by:
        message = f"`{draft.axis.text}` has an old size and no new one"
        errors.add("GP026", message, draft.source.span, help="add the new size")
    if None in sizes.values():
        return None
    return validated(Growth, {"axis": draft.axis.text, **sizes}, draft.span, places, errors)


def check_version(entry: Entry | None, errors: Errors) -> None:
    """Refuse a version of the language other than 1."""
    if entry is not None and (entry.value.quoted or entry.value.text != "1"):
        message = f"version `{entry.value.text}` of the plan language is not known"
        errors.add(
            "GP014", message, entry.value.span, help="write `growplan: 1`; a newer growplan may know it"
        )


def build_headers(
    headers: dict[str, tuple[Entry, str]], folder: str, errors: Errors
) -> tuple[dict[str, Any], dict[str, Span]]:
    """The plan's own fields, paths made relative to `folder`. Each entry comes with its file's folder."""
    fields: dict[str, Any] = {}
    for key, (entry, origin) in headers.items():
        word = entry.value
        if key == "seed":
            fields[key] = whole(word, errors, "`seed`", 0, 2**64 - 1) or 0
        elif key in PATHS and not check_trap(word, errors):
            if not word.text:
                help = "write a path, such as `./model`"
                errors.add("GP013", f"`{key}` must be a path", word.span, help=help)
            visible(key, word, errors)
            fields[key] = rebase(word.text, origin, folder)
    return fields, {key: entry.value.span for key, (entry, _) in headers.items()}


def rebase(path: str, origin: str, folder: str) -> str:
    """A path written relative to `origin`, as written relative to `folder`."""
    if Path(path).is_absolute() or Path(origin).resolve() == Path(folder).resolve():
        return path
    return os.path.normpath(Path(os.path.relpath(origin or ".", folder or ".")) / path)


def validated(
    model: type[N], raw: dict[str, Any], span: Span | None, places: dict[str, Span], errors: Errors
) -> N | None:
    """The pydantic model, or None with its complaints reported at the places of the parts."""
    try:
        node: N = model(**raw).located(span, places)
    except ValidationError as error:
        for problem in error.errors():
            part = str(problem["loc"][0]) if problem["loc"] else ""
            help = f"correct `{part}`; `growplan schema` says what it may be"
            errors.add("GP013", f"`{part}`: {problem['msg']}", places.get(part, span), help=help)
        return None
    return node
