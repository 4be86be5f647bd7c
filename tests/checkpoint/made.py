"""Small safetensors files and checkpoint directories, made by hand: bytes a test can predict."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.layout import TensorSpec, plan_shards
from growplan.checkpoint.writer import Writer
from growplan.diagnostics import Diagnostic, DiagnosticError

TENSORS: dict[str, TensorSpec] = {
    "a.weight": ("F32", (3, 4)),
    "b.weight": ("BF16", (5,)),
    "c.count": ("I64", ()),
    "d.empty": ("F32", (0, 4)),
}


def raw_file(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file from a header (JSON value or bytes), as it stands."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def content(name: str, size: int) -> bytes:
    """The bytes a tensor of that name gets."""
    pattern = name.encode()
    return (pattern * (size // len(pattern) + 1))[:size]


def write_weights(
    directory: Path, tensors: Mapping[str, TensorSpec] = TENSORS, max_shard_bytes: int = 10**9
) -> dict[str, str]:
    """Weight files with `content` in them; returns the sums."""
    layout = plan_shards(tensors, max_shard_bytes)
    with Writer(directory, layout) as writer:
        for name, slot in layout.slots.items():
            writer.write(name, content(name, slot.nbytes))
        return writer.finish()


def write_model(directory: Path, **config: Any) -> Path:
    """A directory with config.json and weights."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps({"model_type": "bert", **config}))
    write_weights(directory)
    assert read_headers(directory).tensors.keys() == TENSORS.keys()
    return directory


def names(directory: Path) -> list[str]:
    """What lies in a directory, sorted."""
    return sorted(path.name for path in directory.iterdir())


def failure(act: Callable[[], object]) -> Diagnostic:
    """The one diagnostic that `act` raises."""
    with pytest.raises(DiagnosticError) as caught:
        act()
    (diagnostic,) = caught.value.diagnostics
    return diagnostic
