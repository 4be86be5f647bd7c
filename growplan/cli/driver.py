"""`growplan diff` as git's external diff driver, and the textconv beside it."""

from __future__ import annotations

import os
from collections.abc import Sequence

from growplan.checkpoint.files import TEXT_LIMIT, read_regular
from growplan.compare.read import temporary_side
from growplan.diagnostics import DiagnosticError, fail
from growplan.language.plan import Plan
from growplan.views.style import Style, printable


def answer(arguments: Sequence[str]) -> str:
    """What git shows for one file.

    arguments: path old-file old-hex old-mode new-file new-hex new-mode [new-path message].
    A side that is no valid plan is shown as a diff of lines, with the reason.
    """
    path, old_file, _, _, new_file, _, _, *renamed = arguments
    new_path = renamed[0] if renamed else path
    names = [
        os.devnull if file == os.devnull else f"{side}/{name}"
        for side, file, name in (("a", old_file, path), ("b", new_file, new_path))
    ]
    head = [f"diff --growplan a/{path} b/{new_path}"]
    head += [line for line in (renamed[1].splitlines() if renamed else ()) if line.strip()]
    try:
        body = _semantic(names, (old_file, path), (new_file, new_path))
    except DiagnosticError as error:
        first = error.diagnostics[0]
        body = [f"compared line by line: {first.span or path}: {first.code}: {first.message}"]
        body += _lines(names, old_file, new_file)
    return "\n".join(map(printable, [*head, *body]))


def _semantic(names: Sequence[str], old: tuple[str, str], new: tuple[str, str]) -> list[str]:
    from dataclasses import replace

    from growplan.compare.diff import compare
    from growplan.views.diff import DiffReport

    left, right = (temporary_side(file, path) for file, path in (old, new))
    found = compare(replace(left, name=names[0]), replace(right, name=names[1]))
    return DiffReport(found).human(Style()).splitlines()


def _lines(names: Sequence[str], old_file: str, new_file: str) -> list[str]:
    from difflib import unified_diff

    old, new = (_raw(file).splitlines() for file in (old_file, new_file))
    return list(unified_diff(old, new, names[0], names[1], lineterm=""))


def _raw(file: str) -> str:
    try:
        return read_regular(file, TEXT_LIMIT).decode("utf-8", "replace")
    except OSError as error:
        fail("GP001", f"cannot read `{file}`: {error.strerror or error}", help="name a plan file")


def textconv(file: str) -> str:
    """A plan in one spelling, so that git compares meaning, not layout.

    A file that is no valid plan is passed on as it is. Raises GP001 where there is none.
    """
    try:
        plan = temporary_side(file, file).plan
    except DiagnosticError as error:
        if error.diagnostics[0].code == "GP001" and error.diagnostics[0].span is None:
            raise
        return _raw(file)
    assert plan is not None
    return _spelled(plan)


def _spelled(plan: Plan) -> str:
    """Header lines, then one line a step, sizes as written; stages with the whole of their training."""
    from growplan.compare.header import header
    from growplan.language import step_text
    from growplan.language.printing import stage_lines

    lines = [f"{key} {value}" for key, value in header(plan).items() if value is not None]
    lines += ["", *(step_text(step, label=True) for step in plan.steps)] if plan.steps else []
    for stage in plan.stages:
        lines += ["", *stage_lines(plan, stage)]
    return "\n".join(lines) + "\n"
