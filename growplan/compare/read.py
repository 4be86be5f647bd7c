"""Reading the sides of a diff: files, standard input, blobs of git, temporary files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from growplan.compare.sides import Side
from growplan.language import guess_syntax, parse_text
from growplan.language.files import decode, read_bytes, read_file
from growplan.language.plan import Plan


def parse_bytes(data: bytes, name: str, overrides: Sequence[str] = ()) -> Plan:
    """A plan that has no file, under a name for diagnostics."""
    source = decode(data, name)
    return parse_text(source.text, name, guess_syntax(name, source.text), overrides)


def git_side(revision: str, path: str, overrides: Sequence[str] = ()) -> Side:
    """A plan as it was in a revision, with what it extends; its source is read from disk."""
    from growplan.compare.git import Revision

    at = Revision(revision, path)
    name = f"{revision}:{path}"
    source = decode(at.blob(path), name)
    syntax = guess_syntax(path, source.text)
    return Side(name, parse_text(source.text, name, syntax, overrides, path=path, reader=at.read))


def temporary_side(file: str, path: str) -> Side:
    """A file that git wrote for its diff driver, standing for `path`; `/dev/null` is no plan."""
    if file == os.devnull:
        return Side(file, None)
    source = read_file(file, read_bytes)
    return Side(path, parse_text(source.text, path, guess_syntax(path, source.text), path=path))
