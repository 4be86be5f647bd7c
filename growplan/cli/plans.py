"""Reading a plan where a command names one: a file, `-` for stdin, or `-e` text."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from growplan.language.plan import Plan

STDIN = "<stdin>"


def read_plan(path: str, overrides: Sequence[str] = ()) -> Plan:
    """The plan in a file, or on stdin for `-`. Raises `DiagnosticError` with all its errors."""
    from growplan.language import parse_file

    if path != "-":
        return parse_file(path, overrides)
    from growplan.compare.read import parse_bytes

    return parse_bytes(stdin_bytes(), STDIN, overrides)


def stdin_bytes() -> bytes:
    """Standard input, no more than a plan may have (and one byte, to tell). Raises GP001."""
    from growplan.diagnostics import fail
    from growplan.language.files import LARGEST

    help = "pipe a plan in, or name its file"
    if sys.stdin is None:
        fail("GP001", "standard input is closed", help=help)
    try:
        buffer = getattr(sys.stdin, "buffer", None)
        return buffer.read(LARGEST + 1) if buffer is not None else sys.stdin.read(LARGEST + 1).encode()
    except (OSError, ValueError) as error:
        fail("GP001", f"cannot read standard input: {getattr(error, 'strerror', None) or error}", help=help)


def read_expression(text: str, overrides: Sequence[str] = ()) -> Plan:
    """The plan of `-e`: steps separated by `;`."""
    from growplan.language import parse_text

    return parse_text(text, "-e", "dsl", overrides)


def display_name(path: str) -> str:
    """The name of a plan in reports."""
    return STDIN if path == "-" else path
