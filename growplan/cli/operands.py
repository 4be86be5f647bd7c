"""What the operands of `growplan diff` mean: files, revisions, or a call by git."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from growplan.checkpoint.files import path_exists
from growplan.compare import read
from growplan.compare.sides import Side
from growplan.diagnostics import Diagnostic, DiagnosticError, fail

ReadSide = Callable[[Sequence[str]], Side]


@dataclass(frozen=True)
class Pair:
    """Two sides that have not been read yet."""

    old: ReadSide
    new: ReadSide

    def sides(self, overrides: Sequence[str]) -> tuple[Side, Side]:
        """Read both; all their errors are raised together."""
        found: list[Side] = []
        problems: list[Diagnostic] = []
        for side in (self.old, self.new):
            try:
                found.append(side(overrides))
            except DiagnosticError as error:
                problems += error.diagnostics
        if problems:
            raise DiagnosticError(*problems)
        return found[0], found[1]


def is_driver_call(arguments: Sequence[str]) -> bool:
    """Whether git called us: path, old file, hex, mode, new file, hex, mode [, new name, message].

    The hex and mode of a missing side are `.`.
    """
    if len(arguments) not in (7, 9):
        return False
    return all(map(_is_hex, (arguments[2], arguments[5]))) and all(
        mode == "." or (len(mode) == 6 and mode.isdigit()) for mode in (arguments[3], arguments[6])
    )


def _is_hex(text: str) -> bool:
    return text == "." or (len(text) >= 4 and all(ch in "0123456789abcdef" for ch in text))


def pairs(operands: Sequence[str], paths: Sequence[str] | None) -> list[Pair]:
    """The comparisons that the operands ask for. Raises click.UsageError on too many."""
    if len(operands) > 2:
        raise click.UsageError("at most two files or revisions; plans go after `--`")
    if paths:
        return list(_plans_in_revisions(operands, paths))
    match [*operands]:
        case [one] if one == "-" or path_exists(Path(one)):
            return [Pair(_git("HEAD", one), _file(one))]
        case [old, new] if _names_file(old) or _names_file(new):
            return [Pair(_operand(old, new), _operand(new, old))]
    return list(_changed(*(operands or ("HEAD",))))


def _plans_in_revisions(operands: Sequence[str], paths: Sequence[str]) -> Iterator[Pair]:
    old, new = ([*operands, None, None])[:2]
    for path in paths:
        yield Pair(_git(old or "HEAD", path), _file(path) if new is None else _git(new, path))


def _changed(old: str, new: str | None = None) -> Iterator[Pair]:
    from growplan.compare.git import changed_plans

    for file in changed_plans(old, new):
        before = _nothing if file.old is None else _git(old, file.old)
        after = _nothing if file.new is None else _file(file.new) if new is None else _git(new, file.new)
        yield Pair(before, after)


def _names_file(operand: str) -> bool:
    """A file, standard input, `REV:PATH`, or a word that looks like a plan's name."""
    looks = operand.endswith((".yaml", ".yml", ".grow")) or ":" in operand
    return operand == "-" or looks or path_exists(Path(operand))


def _operand(operand: str, other: str) -> ReadSide:
    """A side that is a file, `REV:PATH`, or a revision of the other side's file."""
    if operand == "-" or path_exists(Path(operand)):
        return _file(operand)
    revision, colon, path = operand.partition(":")
    if colon and revision:
        return _git(revision, path)
    if operand.endswith((".yaml", ".yml", ".grow")):
        return _file(operand)
    return _revision_or_file(operand, other)


def _revision_or_file(operand: str, other: str) -> ReadSide:
    """A revision of the other side's file; where there is no repository, a file that is missing."""
    read_revision = _git(operand, other)

    def side(overrides: Sequence[str]) -> Side:
        try:
            return read_revision(overrides)
        except DiagnosticError as error:
            if error.diagnostics[0].code != "GP601":
                raise
            help = "check the path; where there is no git repository, OLD and NEW are two files"
            fail("GP001", f"no such file: `{operand}`", help=help)

    return side


def _file(path: str) -> ReadSide:
    def side(overrides: Sequence[str]) -> Side:
        from growplan.cli.plans import read_plan

        return Side(path, read_plan(path, overrides))

    return side


def _git(revision: str, path: str) -> ReadSide:
    return lambda overrides: read.git_side(revision, path, overrides)


def _nothing(overrides: Sequence[str]) -> Side:
    return Side(os.devnull, None)
