"""Is a grown checkpoint still what growth.json says? Every tensor and recorded file is read and compared."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from growplan.checkpoint.card import CARD
from growplan.checkpoint.config import CONFIG, Config, list_directory, read_config
from growplan.checkpoint.files import CHUNK, file_sha256, is_regular
from growplan.checkpoint.growth import GROWTH, Growth
from growplan.checkpoint.growth_reader import read_growth
from growplan.checkpoint.headers import Headers, read_headers
from growplan.checkpoint.reader import Reader, open_reader
from growplan.checkpoint.swap import MARKER
from growplan.diagnostics import Diagnostic, DiagnosticError, Severity

T = TypeVar("T")
Progress = Callable[[int, int], None]  # bytes done, bytes in all
_MAY_CHANGE = (CARD,)  # the user's to edit
_SHOWN = 8  # stray files named
_AGAIN = "copy it again, or apply the plan again: the same plan and source give the same bytes"
_CHANGED = "expected after training or editing; otherwise copy it again"


def verify(directory: Path | str, progress: Progress | None = None) -> list[Diagnostic]:
    """What is wrong with a checkpoint directory; an empty list when nothing is.

    Checks config.json, every header, the index, growth.json, and the sha256 of each tensor and of each
    file that growth.json lists; files it does not list are named (the card and hidden ones apart).
    GP400 is raised when there is no such directory; everything else is returned.
    """
    directory = Path(directory)
    names = list_directory(directory)
    findings: list[Diagnostic] = []
    config = _collect(findings, lambda: read_config(directory))
    headers = _collect(findings, lambda: read_headers(directory))
    growth = _collect(findings, lambda: read_growth(directory))
    if GROWTH not in names:
        help = "name a directory that `growplan apply` wrote, or restore the file from where it came from"
        findings.append(_finding("GP460", f"{directory} has no growth.json to compare it with", help))
    if MARKER in names:
        help = "apply the plan again with the same `--out`: it tidies up first"
        findings.append(_finding("GP464", f"{directory} was left by a run that did not end", help))
    if config is not None and headers is not None:
        findings += _dtype_findings(config, headers)
    if growth is not None:
        findings += _file_findings(directory, growth)
        findings += _stray_findings(directory, growth, headers)
        if headers is not None:
            findings += _tensor_findings(headers, growth, progress)
    return findings


def _collect(findings: list[Diagnostic], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except DiagnosticError as error:
        findings.extend(error.diagnostics)
        return None


def _finding(code: str, message: str, help: str, severity: Severity = "error") -> Diagnostic:
    return Diagnostic(code, message, help=(help,), severity=severity)


def _dtype_findings(config: Config, headers: Headers) -> list[Diagnostic]:
    said = config.dtype
    floats = {d for d in headers.dtypes if d.startswith(("F", "BF"))}
    if said is None or not floats or said in floats:
        return []
    message = f"{CONFIG} says {said}, but the tensors are {', '.join(sorted(floats))}"
    span = config.span("dtype") or config.span("torch_dtype")
    help = (f"set `dtype` in {CONFIG} to the type of the tensors",)
    return [Diagnostic("GP465", message, span, help=help, severity="warning")]


def _file_findings(directory: Path, growth: Growth) -> list[Diagnostic]:
    findings = []
    for name, expected in sorted(growth.files.items()):
        if ".." in Path(name).parts or Path(name).is_absolute():
            message = f"{GROWTH} names a file outside the directory: {name}"
            findings.append(_finding("GP450", message, "do not trust it: get the checkpoint again"))
        elif not is_regular(directory / name):
            findings.append(_finding("GP461", f"{name} is missing", _AGAIN))
        elif file_sha256(directory / name) != expected:
            severity: Severity = "warning" if name in _MAY_CHANGE else "error"
            findings.append(_finding("GP462", f"{name} was changed since it was written", _CHANGED, severity))
    return findings


def _stray_findings(directory: Path, growth: Growth, headers: Headers | None) -> list[Diagnostic]:
    """A file that was put there later may change what is loaded."""
    weights = () if headers is None else (*headers.files, headers.index)
    known = {*growth.files, *weights, GROWTH, CARD}
    stray = sorted(path for path in _visible_files(directory) if path not in known)
    if not stray:
        return []
    more = f" and {len(stray) - _SHOWN} more" if len(stray) > _SHOWN else ""
    message = f"not written by growplan: {', '.join(stray[:_SHOWN])}{more}"
    return [_finding("GP466", message, "move it out of the directory if you did not put it there", "warning")]


def _visible_files(directory: Path) -> Iterator[str]:
    for folder, folders, files in os.walk(directory):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in files:
            if not name.startswith("."):
                yield os.path.relpath(Path(folder, name), directory)


def _tensor_findings(headers: Headers, growth: Growth, progress: Progress | None) -> list[Diagnostic]:
    missing = sorted(growth.tensors.keys() - headers.tensors.keys())
    extra = sorted(headers.tensors.keys() - growth.tensors.keys())
    findings = [_finding("GP461", f"tensor `{name}` is missing", _AGAIN) for name in missing]
    findings += [_finding("GP463", f"tensor `{name}` is not in {GROWTH}", _CHANGED) for name in extra]
    try:
        with open_reader(headers) as reader:
            findings += _hash_findings(reader, growth, progress)
    except DiagnosticError as error:
        findings.extend(error.diagnostics)
    return findings


def _hash_findings(reader: Reader, growth: Growth, progress: Progress | None) -> list[Diagnostic]:
    total, done = reader.headers.total_size, 0
    buffer = memoryview(bytearray(CHUNK))
    findings = []
    for name, info in reader.headers.tensors.items():
        if name not in growth.tensors:
            continue
        digest = hashlib.sha256()
        for offset in range(0, info.nbytes, CHUNK):
            part = buffer[: min(CHUNK, info.nbytes - offset)]
            reader.read_into(name, part, offset)
            digest.update(part)
            done += len(part)
            if progress is not None:
                progress(done, total)
        if digest.hexdigest() != growth.tensors[name]:
            findings.append(_finding("GP462", f"tensor `{name}` was changed since it was written", _CHANGED))
    return findings
