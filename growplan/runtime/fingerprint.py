"""What a growth state knows its checkpoint by: a few values of every tensor, from all over it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from growplan.checkpoint.dtypes import BITS, numel
from growplan.checkpoint.headers import Headers, find_headers
from growplan.checkpoint.reader import open_reader
from growplan.diagnostics import fail
from growplan.runtime.state import GrowthState

EACH = 16  # values of a tensor


def spots(count: int) -> Sequence[int]:
    """The places, among `count` values in a row, that are looked at."""
    return range(count) if count <= EACH else [i * (count - 1) // (EACH - 1) for i in range(EACH)]


def sampled(headers: Headers) -> Iterator[tuple[str, bytearray]]:
    """(tensor on disk, the bytes of its values at `spots`), by name. Raises GP425, GP43x."""
    with open_reader(headers) as reader:
        for name, info in sorted(headers.tensors.items()):
            size = BITS[info.dtype] // 8
            values = bytearray()
            for place in spots(numel(info.shape)) if size else ():
                value = bytearray(size)
                reader.read_into(name, value, place * size)
                values += value
            yield name, values


def fingerprint(directory: Path | str) -> str | None:
    """Of the checkpoint in `directory`; None where its weights are no safetensors of one directory."""
    headers = find_headers(directory)
    if headers is None:
        return None
    digest = hashlib.sha256()
    for name, values in sampled(headers):
        info = headers.tensors[name]
        digest.update(f"{name} {info.dtype} {list(info.shape)}\n".encode())
        digest.update(values)
    return digest.hexdigest()


def check_fingerprint(state: GrowthState, directory: Path) -> None:
    """GP582 where `state` was written beside other weights than those in `directory`."""
    if state.fingerprint is not None and state.fingerprint != fingerprint(directory):
        fail(
            "GP582",
            f"the growth state in {directory} is of another model of these sizes",
            help="take the checkpoint that it was written beside",
        )
