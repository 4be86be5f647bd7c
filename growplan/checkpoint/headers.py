"""What a checkpoint holds, from its headers alone: names, types, shapes and places of tensors.

Reads `model.safetensors`, or `model.safetensors.index.json` with its shards, in transformers'
order of preference. Nothing of a file is trusted: see `safetensors_header` for what is refused.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.config import list_directory
from growplan.checkpoint.files import guard, path_exists
from growplan.checkpoint.foreign import refuse_adapter, refuse_weights
from growplan.checkpoint.safetensors_header import FileHeader, TensorInfo, parse_header, read_raw_header
from growplan.checkpoint.strictjson import Codes, Document, read_json
from growplan.diagnostics import fail

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_SAVE_AGAIN = "write it again with `save_pretrained`"
_CODES = Codes(syntax="GP422", duplicate="GP422", help=_SAVE_AGAIN)


@dataclass(frozen=True)
class Headers:
    """Every tensor of a checkpoint directory. `files` are the weight files, in order."""

    directory: Path
    tensors: Mapping[str, TensorInfo]
    files: Mapping[str, FileHeader]
    index: str | None = None  # name of the index file of a sharded checkpoint

    @property
    def total_size(self) -> int:
        """Bytes of all tensors."""
        return sum(t.nbytes for t in self.tensors.values())

    @property
    def parameters(self) -> int:
        """Elements of all tensors."""
        return sum(t.numel for t in self.tensors.values())

    @property
    def dtypes(self) -> frozenset[str]:
        return frozenset(t.dtype for t in self.tensors.values())


def find_headers(directory: Path | str) -> Headers | None:
    """As `read_headers`, but None when the directory holds no weights of any kind (only config.json)."""
    directory = Path(directory)
    names = list_directory(directory)
    refuse_adapter(directory, names)
    if SINGLE in names:
        return _read_single(directory)
    if INDEX in names:
        return _read_sharded(directory)
    refuse_weights(directory, names)
    return None


def read_headers(directory: Path | str) -> Headers:
    """Read and check every header of a checkpoint directory.

    Raises GP400 (no directory), GP410 (another format), GP411 (PEFT), GP413 (no weights),
    GP414 (shard missing), GP415 to GP421 (a bad safetensors file), GP422 (a bad index),
    GP423 (index and shards disagree), GP43x (unreadable).
    """
    headers = find_headers(directory)
    if headers is None:
        fail(
            "GP413",
            f"there are no weights in {directory}",
            help=f"copy or download them: {SINGLE}, or {INDEX} and its shards",
        )
    return headers


def read_file_header(path: Path) -> tuple[FileHeader, dict[str, TensorInfo]]:
    """The checked header of one safetensors file."""
    with guard(path, "open"):
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        with guard(path, "read"):
            raw, info = read_raw_header(fd, path)
    finally:
        os.close(fd)
    return parse_header(raw, info, path)


def _read_single(directory: Path) -> Headers:
    header, tensors = read_file_header(directory / SINGLE)
    return Headers(directory, tensors, {SINGLE: header})


def _read_sharded(directory: Path) -> Headers:
    document = read_json(directory / INDEX, _CODES)
    weight_map = _weight_map(document)
    files: dict[str, FileHeader] = {}
    found: dict[str, TensorInfo] = {}
    for file in sorted(set(weight_map.values())):
        if not path_exists(directory / file):
            fail(
                "GP414",
                f"{directory} lacks the shard {file}",
                document.values.get(_first_of(file, weight_map)),
                help="copy or download the missing file; every shard is needed",
            )
        files[file], tensors = read_file_header(directory / file)
        _compare(document, file, tensors, weight_map)
        found.update(tensors)
    ordered = {name: found[name] for name in weight_map}
    return Headers(directory, ordered, files, INDEX)


def _first_of(file: str, weight_map: Mapping[str, str]) -> str:
    return "weight_map." + next(name for name, where in weight_map.items() if where == file)


def _weight_map(document: Document) -> dict[str, str]:
    data: Any = document.data
    if not isinstance(data, dict) or not isinstance(data.get("weight_map"), dict):
        _bad_index(document, "it has no `weight_map` object", "weight_map" if isinstance(data, dict) else "")
    weight_map: dict[str, Any] = data["weight_map"]
    if not weight_map:
        _bad_index(document, "its `weight_map` is empty", "weight_map")
    for name, file in weight_map.items():
        if not isinstance(file, str) or not _is_plain_name(file):
            _bad_index(
                document,
                f"tensor `{name}` is placed in {file!r}, not in a .safetensors file beside it",
                f"weight_map.{name}",
            )
    return weight_map


def _is_plain_name(file: str) -> bool:
    """A file of the same directory: no separators, no `..`, no drive, no NUL."""
    return file.endswith(".safetensors") and not file.startswith(".") and not set(file) & set("/\\\0:")


def _bad_index(document: Document, why: str, path: str) -> NoReturn:
    span = document.values.get(path)
    fail(
        "GP422",
        f"{document.path} is not a usable index: {why}",
        span,
        help=_SAVE_AGAIN,
    )


def _compare(
    document: Document, file: str, tensors: Mapping[str, TensorInfo], weight_map: Mapping[str, str]
) -> None:
    """The index and one shard must name the same tensors."""
    listed = {name for name, where in weight_map.items() if where == file}
    missing = sorted(listed - tensors.keys())
    extra = sorted(tensors.keys() - listed)
    if not missing and not extra:
        return
    if missing:
        message = f"{file} does not hold `{missing[0]}`, which the index places there"
        span = document.values.get(f"weight_map.{missing[0]}")
    else:
        where = weight_map.get(extra[0])
        detail = f"which the index places in {where}" if where else "which the index does not list"
        message = f"{file} holds `{extra[0]}`, {detail}"
        span = document.values.get(f"weight_map.{extra[0]}")
    more = len(missing) + len(extra) - 1
    notes = [("also", f"{more} more tensors like it")] if more else []
    fail(
        "GP423",
        message,
        span,
        notes=notes,
        help="the files come from different saves: copy all of them again",
    )
