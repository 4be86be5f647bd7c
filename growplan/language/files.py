"""Plan files: reading their bytes safely, and following `extends` to the root."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from growplan.checkpoint.files import read_regular
from growplan.diagnostics import DiagnosticError, Source, Span, fail
from growplan.language.draft import FileDraft
from growplan.language.dsl import read_dsl
from growplan.language.errors import Errors
from growplan.language.nodes import Node, read_nodes
from growplan.language.variables import Variables
from growplan.language.words import INVISIBLE_IN_FILES, Text, Word
from growplan.language.yamlplan import read_extends, read_vars, read_yaml

LARGEST = 1 << 20  # bytes
YAML_KEY = re.compile(
    r"^(?:growplan|extends|source|target|seed|family|vars|steps|stages|train|x-[\w-]+)[ \t]*:", re.MULTILINE
)

Reader = Callable[[str], bytes]


def read_bytes(path: str) -> bytes:
    """The bytes of a file, no more than a plan may have (and one, to tell)."""
    with Path(path).open("rb") as file:
        return file.read(LARGEST + 1)


def _read_parent(path: str) -> bytes:
    """As `read_bytes`; a plan cannot make its reader wait for a pipe, or read a device."""
    return read_regular(path, LARGEST)


@dataclass
class PlanFile:
    """One file of a plan: YAML nodes or, for the DSL, a finished draft."""

    source: Source
    folder: str
    root: Node | None = None
    draft: FileDraft | None = None
    vars: dict[str, Word] | None = None


def guess_syntax(name: str, text: str) -> str:
    """`dsl` for NAME.grow, `yaml` for .yaml, .yml and .json; else by the first key at a margin."""
    if name.endswith(".grow"):
        return "dsl"
    if name.endswith((".yaml", ".yml", ".json")):
        return "yaml"
    return "yaml" if YAML_KEY.search(text) or text.lstrip().startswith("{") else "dsl"


def decode(data: bytes, name: str, at: Span | None = None) -> Source:
    """A plan's bytes as text. Raises DiagnosticError when they are too many, or are no text."""
    if len(data) > LARGEST:
        fail("GP004", f"`{name}` is larger than a plan may be (1 MiB)", at, help="is this the right file?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        lines = data[: error.start].decode("utf-8", "replace")
        source = Source(name, lines)
        span = Span(source, len(lines), len(lines))
        fail("GP002", f"not UTF-8 text: byte 0x{data[error.start]:02x}", span, help="save the file as UTF-8")
    return checked(Source(name, text))


def checked(source: Source) -> Source:
    """The source, unless it holds characters that no plan needs."""
    if len(source.text) > LARGEST:
        fail(
            "GP004",
            f"`{source.name}` is larger than a plan may be (1 MiB)",
            None,
            help="is this the right file?",
        )
    if found := INVISIBLE_IN_FILES.search(source.text):
        shown = Source(source.name, INVISIBLE_IN_FILES.sub("�", source.text))
        span = Span(shown, found.start(), found.end())
        fail(
            "GP003",
            f"an invisible character, U+{ord(found.group()):04X}",
            span,
            help="remove it; is this a text file?",
        )
    return source


def read_file(path: str, reader: Reader, at: Span | None = None) -> Source:
    """The text of a file. Raises DiagnosticError (at the place that names it) when there is none."""
    try:
        return decode(reader(path), path, at)
    except IsADirectoryError:
        fail("GP001", f"`{path}` is a folder, not a plan", at, help="name the plan file in it")
    except FileNotFoundError:
        fail(
            "GP001",
            f"no such file: `{path}`",
            at,
            help="check the path; it is relative to where it is written",
        )
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        fail("GP001", f"cannot read `{path}`: {reason}", at, help="check the path and its permissions")


def load(source: Source, syntax: str, folder: str, reader: Reader, errors: Errors) -> list[PlanFile]:
    """A plan's files, the root parent first. What is wrong with any is reported."""
    files: list[PlanFile] = []
    seen = {Path(folder, Path(source.name).name).resolve()}
    while True:
        file = _load_one(source, syntax, folder, errors)
        files.insert(0, file)
        word = _extends(file)
        if word is None:
            return files
        path = os.path.normpath(Path(folder) / word.text)
        if Path(path).resolve() in seen:
            help = "remove one `extends`"
            errors.add("GP035", f"`{word.text}` leads back to itself", word.span, help=help)
            return files
        seen.add(Path(path).resolve())
        try:
            source = read_file(path, _read_parent if reader is read_bytes else reader, word.span)
        except DiagnosticError as error:
            errors.found.extend(
                replace(d, code="GP035") if d.code == "GP001" else d for d in error.diagnostics
            )
            return files
        syntax, folder = guess_syntax(path, source.text), str(Path(path).parent)


def _load_one(source: Source, syntax: str, folder: str, errors: Errors) -> PlanFile:
    file = PlanFile(source, folder)
    if syntax == "dsl":
        file.draft = read_dsl(Text(source.text, source), errors)
    else:
        file.root = read_nodes(source, errors)
        file.vars = read_vars(file.root, errors)
    return file


def _extends(file: PlanFile) -> Word | None:
    if file.draft is not None:
        entry = file.draft.headers.get("extends")
        return entry.value if entry else None
    return read_extends(file.root, Variables(file.vars or {}), Errors())


def draft_of(file: PlanFile, variables: Variables, errors: Errors) -> FileDraft:
    """The draft of a file, once the variables of all files are known."""
    return file.draft or read_yaml(file.source, file.root, variables, errors)
