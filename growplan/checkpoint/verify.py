"""Is a grown checkpoint still what growth.json says? Every file and tensor is read and compared."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
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


def verify(directory: Path | str, progress: Progress | None = None) -> list[Diagnostic]:
    """What is wrong with a checkpoint directory; an empty list when nothing is.

    Checks config.json, every header, the index, growth.json, each tensor's and each file's sha256.
    GP400 is raised when there is no such directory; everything else is returned.
    """
    directory = Path(directory)
    names = list_directory(directory)
    findings: list[Diagnostic] = []
    config = _collect(findings, lambda: read_config(directory))
    headers = _collect(findings, lambda: read_headers(directory))
    growth = _collect(findings, lambda: read_growth(directory))
    if GROWTH not in names:
        findings.append(
            _finding("GP460", f"{directory} has no growth.json: its tensors cannot be compared", "warning")
        )
    if MARKER in names:
        findings.append(_finding("GP464", f"{directory} was left by a run that did not end"))
    if config is not None and headers is not None:
        findings += _dtype_findings(config, headers)
    if growth is not None:
        findings += _file_findings(directory, growth)
        if headers is not None:
            findings += _tensor_findings(headers, growth, progress)
    return findings


def _collect(findings: list[Diagnostic], read: Callable[[], T]) -> T | None:
    try:
        return read()
    except DiagnosticError as error:
        findings.extend(error.diagnostics)
        return None


def _finding(code: str, message: str, severity: Severity = "error", help: str = "") -> Diagnostic:
    return Diagnostic(code, message, help=(help,) if help else (), severity=severity)


def _dtype_findings(config: Config, headers: Headers) -> list[Diagnostic]:
    said = config.dtype
    floats = {d for d in headers.dtypes if d.startswith(("F", "BF"))}
    if said is None or not floats or said in floats:
        return []
    message = f"{CONFIG} says {said}, but the tensors are {', '.join(sorted(floats))}"
    return [
        Diagnostic("GP465", message, config.span("dtype") or config.span("torch_dtype"), severity="warning")
    ]


def _file_findings(directory: Path, growth: Growth) -> list[Diagnostic]:
    findings = []
    for name, expected in sorted(growth.files.items()):
        if ".." in Path(name).parts or Path(name).is_absolute():
            findings.append(_finding("GP450", f"{GROWTH} names a file outside the directory: {name}"))
        elif not is_regular(directory / name):
            findings.append(_finding("GP461", f"{name} is missing"))
        elif file_sha256(directory / name) != expected:
            severity: Severity = "warning" if name in _MAY_CHANGE else "error"
            findings.append(_finding("GP462", f"{name} was changed since it was written", severity))
    return findings


def _tensor_findings(headers: Headers, growth: Growth, progress: Progress | None) -> list[Diagnostic]:
    missing = sorted(growth.tensors.keys() - headers.tensors.keys())
    extra = sorted(headers.tensors.keys() - growth.tensors.keys())
    findings = [_finding("GP461", f"tensor `{name}` is missing") for name in missing]
    findings += [_finding("GP463", f"tensor `{name}` is not in {GROWTH}") for name in extra]
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
            findings.append(_finding("GP462", f"tensor `{name}` was changed since it was written"))
    return findings
