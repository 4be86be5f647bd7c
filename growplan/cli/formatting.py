"""What `growplan fmt` does to one file: read, format, replace as a whole."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from growplan.cli.plans import display_name, stdin_bytes
from growplan.diagnostics import fail
from growplan.views.fmt import Formatted


def format_source(path: str, to: str | None) -> Formatted:
    """The formatted text of a file, or of standard input for `-`."""
    from growplan.language import format_plan, guess_syntax
    from growplan.language.files import decode, read_bytes, read_file

    name = display_name(path)
    source = decode(stdin_bytes(), name) if path == "-" else read_file(path, read_bytes)
    syntax = guess_syntax(name, source.text)
    target = to or syntax
    result = format_plan(source.text, syntax, target, name)
    return Formatted(name, source.text, result, to_stdout=path == "-" or to is not None)


def replace_file(path: str, text: str) -> None:
    """Put `text` in place of a file in one step, keeping its mode; through links, not over them."""
    target = Path(path).resolve()
    try:
        mode = target.stat().st_mode & 0o7777
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=".growplan-")
        written = Path(name)
        try:
            with os.fdopen(handle, "w", encoding="utf-8", newline="") as out:
                out.write(text)
            written.chmod(mode)
            written.replace(target)
        except BaseException:
            written.unlink()
            raise
    except OSError as error:
        fail("GP604", f"cannot write {path}: {error.strerror or error}", help="check who owns the folder")
