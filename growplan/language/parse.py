"""Plan text to Plan: files, variables, steps, `--set`, then validation. The front end on a screen."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from growplan.diagnostics import DiagnosticError, Source, Span
from growplan.language.build import build_headers, build_step, check_version, join_steps, rebase, validated
from growplan.language.build_stages import (
    build_stage,
    build_train,
    check_shape,
    check_untrained,
    join_stages,
    join_trains,
    unread_of,
)
from growplan.language.draft import Entry, FileDraft
from growplan.language.errors import Errors
from growplan.language.files import (
    PlanFile,
    Reader,
    checked,
    draft_of,
    guess_syntax,
    load,
    read_bytes,
    read_file,
)
from growplan.language.overrides import Override, parse_overrides, set_headers, set_steps, set_variables
from growplan.language.plan import Plan, Unread
from growplan.language.variables import Variables
from growplan.language.words import Word


def parse_file(
    path: str | os.PathLike[str], overrides: Sequence[str] = (), *, reader: Reader = read_bytes
) -> Plan:
    """The plan in a file (`.grow` is DSL, `.yaml` is YAML), with its parents and `--set` applied.

    Raises DiagnosticError with every error of the plan, at most 20.
    """
    name = os.fspath(path)
    source = read_file(name, reader)
    syntax = guess_syntax(name, source.text)
    return _parse(source, syntax, name, overrides, reader)


def parse_text(
    text: str,
    name: str = "<text>",
    syntax: str = "yaml",
    overrides: Sequence[str] = (),
    *,
    path: str | None = None,
    reader: Reader = read_bytes,
) -> Plan:
    """The plan in a string; `syntax` is "yaml" or "dsl".

    `path` is the file that the text stands for, if any: relative paths start from its folder.
    `reader` gives the bytes of files that it extends. Raises DiagnosticError as `parse_file`.
    """
    return _parse(checked(Source(name, text.removeprefix("\ufeff"))), syntax, path, overrides, reader)


def parse_expression(text: str) -> Plan:
    """A plan from steps on the command line: `widen hidden to 768 via fpi; stack depth x2`."""
    return parse_text(text, "-e", "dsl")


def _parse(source: Source, syntax: str, path: str | None, overrides: Sequence[str], reader: Reader) -> Plan:
    folder = str(Path(path).parent) if path else "."
    errors = Errors()
    plan: Plan | None = None
    unread: Unread | None = None
    try:
        with errors:
            settings = parse_overrides(overrides, errors)
            files = load(source, syntax, folder, reader, errors)
            variables = _variables(files, settings, errors)
            drafts = [draft_of(file, variables, errors) for file in files]
            plan, unread = _plan(list(zip(files, drafts, strict=True)), settings, errors)
    except DiagnosticError as error:
        partial = plan.read_from(path, unread) if plan is not None else None
        raise DiagnosticError(*error.diagnostics, partial=partial) from None
    assert plan is not None
    return plan.read_from(path)


def _variables(files: Sequence[PlanFile], settings: Sequence[Override], errors: Errors) -> Variables:
    values: dict[str, Word] = {}
    for file in files:
        values.update(file.vars or {})
    set_variables(values, settings, errors)
    return Variables(values)


def _plan(
    files: Sequence[tuple[PlanFile, FileDraft]], settings: Sequence[Override], errors: Errors
) -> tuple[Plan | None, Unread | None]:
    """Merge the files (root first), apply the settings, and validate."""
    last, draft = files[-1]
    headers: dict[str, tuple[Entry, str]] = {}
    for file, each in files:
        check_version(each.headers.pop("growplan", None), errors)
        _rebase_data(each, file.folder, last.folder)
        headers.update({key: (entry, file.folder) for key, entry in each.headers.items()})
    set_by_user: dict[str, Entry] = {}
    set_headers(set_by_user, settings)
    headers.update({key: (entry, last.folder) for key, entry in set_by_user.items()})

    whole = FileDraft(last.source)
    whole.stages = join_stages([each.stages for _, each in files], errors)
    whole.train = join_trains([each for _, each in files])
    names = [stage.name for stage in whole.stages]
    whole.steps = join_steps([each.steps for _, each in files], errors, names)
    join_steps([[step for stage in whole.stages for step in stage.steps]], errors, names)
    set_steps(whole, settings, errors)
    fields, places = build_headers(headers, last.folder, errors)
    built = [build_step(step, errors) for step in whole.steps]
    stages = [build_stage(stage, errors) for stage in whole.stages]
    places |= {"stages": whole.stages[0].name.span} if whole.stages else {}
    fields["train"] = build_train(whole.train, errors) if whole.train else None
    check_untrained(whole.train, whole.stages, errors)
    check_shape(whole, errors)
    if not whole.steps and not whole.stages and not errors.found:
        end = len(last.source.text.rstrip())
        errors.add(
            "GP039",
            "the plan has no steps",
            Span(last.source, end, end),
            help="add one: `widen hidden x2 via fpi`",
        )
    fields["steps"] = tuple(step for step in built if step is not None)
    fields["stages"] = tuple(stage for stage in stages if stage is not None)
    fields["extra"] = {key: value for _, each in files for key, value in each.extra.items()}
    found = validated(Plan, fields, draft.span, places, errors)
    return found, unread_of(whole, [entry for entry, _ in headers.values()], errors)


def _rebase_data(draft: FileDraft, origin: str, folder: str) -> None:
    """Make the data paths of a parent's steps and stages relative to the plan that extends it."""
    trains = [draft.train, *(stage.train for stage in draft.stages)]
    entries = [train.entries for train in trains if train is not None]
    keys = ["on"] * len(entries) + ["on" if s.verb.text == "grow" else "data" for s in draft.every_step]
    entries += [step.entries for step in draft.every_step]
    for key, each in zip(keys, entries, strict=True):
        if key in each:
            word = replace(each[key].value, text=rebase(each[key].value.text, origin, folder))
            each[key] = Entry(each[key].key, word)
