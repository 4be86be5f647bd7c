"""Where every tensor of a checkpoint to be written will lie, before a byte exists.

Shards are cut as huggingface_hub cuts them (in the given order, a tensor never split); inside a
file, tensors lie as the safetensors serializer lays them: types by rank, then names.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass

from growplan.checkpoint.dtypes import RANK, nbytes, numel
from growplan.checkpoint.headers import SINGLE

MAX_SHARD_BYTES = 5_000_000_000
_METADATA = {"format": "pt"}

TensorSpec = tuple[str, tuple[int, ...]]  # (safetensors dtype, shape)


@dataclass(frozen=True)
class Slot:
    """The place of one tensor: bytes `start` to `end` of `file`."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: str
    start: int
    end: int

    @property
    def nbytes(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class Shard:
    """One file to be: its name, first bytes (length and header), and whole size."""

    file: str
    head: bytes
    size: int


@dataclass(frozen=True)
class Layout:
    """A checkpoint's weight files, known to the byte."""

    shards: tuple[Shard, ...]
    slots: Mapping[str, Slot]
    total_size: int
    total_parameters: int

    @property
    def disk_bytes(self) -> int:
        """What the files will take, index included."""
        return sum(shard.size for shard in self.shards) + len(self.index_text() or "")

    def index_text(self) -> str | None:
        """model.safetensors.index.json as transformers writes it; None for a single file."""
        if len(self.shards) == 1:
            return None
        metadata = {"total_parameters": self.total_parameters, "total_size": self.total_size}
        weight_map = {name: slot.file for name, slot in self.slots.items()}
        index = {"metadata": metadata, "weight_map": weight_map}
        return json.dumps(index, indent=2, sort_keys=True) + "\n"


def plan_shards(
    tensors: Mapping[str, TensorSpec],
    max_shard_bytes: int = MAX_SHARD_BYTES,
    total_parameters: int | None = None,
) -> Layout:
    """Lay out `tensors` (name → dtype, shape) in the given order.

    `total_parameters` defaults to the elements of all tensors; give it where buffers are among
    them. A tensor above `max_shard_bytes` gets a shard of its own. ValueError for a type or shape
    that has no whole number of bytes.
    """
    groups = _groups({name: _size(name, spec) for name, spec in tensors.items()}, max_shard_bytes)
    shards: list[Shard] = []
    slots: dict[str, Slot] = {}
    for number, names in enumerate(groups, 1):
        file = SINGLE if len(groups) == 1 else f"model-{number:05d}-of-{len(groups):05d}.safetensors"
        shard, placed = _place(file, {name: tensors[name] for name in names})
        shards.append(shard)
        slots.update(placed)
    total = sum(slot.nbytes for slot in slots.values())
    count = sum(numel(shape) for _, shape in tensors.values())
    return Layout(tuple(shards), slots, total, count if total_parameters is None else total_parameters)


def plan_file(file: str, tensors: Mapping[str, TensorSpec]) -> Layout:
    """One file of that name for all `tensors`. ValueError as `plan_shards`."""
    shard, slots = _place(file, tensors)
    total = sum(slot.nbytes for slot in slots.values())
    return Layout((shard,), slots, total, sum(numel(shape) for _, shape in tensors.values()))


def _size(name: str, spec: TensorSpec) -> int:
    size = nbytes(*spec)
    if size is None:
        raise ValueError(f"{name}: {spec[0]} {list(spec[1])} takes no whole number of bytes")
    return size


def _groups(sizes: Mapping[str, int], limit: int) -> list[list[str]]:
    groups: list[list[str]] = []
    current: list[str] = []
    filled = 0
    for name, size in sizes.items():
        if size > limit:
            groups.append([name])
            continue
        if current and filled + size > limit:
            groups.append(current)
            current, filled = [], 0
        current.append(name)
        filled += size
    if current or not groups:
        groups.append(current)
    return groups


def _place(file: str, tensors: Mapping[str, TensorSpec]) -> tuple[Shard, dict[str, Slot]]:
    order = sorted(tensors, key=lambda name: (-RANK[tensors[name][0]], name.encode()))
    entries: dict[str, object] = {"__metadata__": _METADATA}
    offsets: dict[str, tuple[int, int]] = {}
    at = 0
    for name in order:
        dtype, shape = tensors[name]
        offsets[name] = (at, at + _size(name, tensors[name]))
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets[name])}
        at = offsets[name][1]
    text = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    head = struct.pack("<Q", len(text)) + text
    slots = {
        name: Slot(name, *tensors[name], file, len(head) + start, len(head) + end)
        for name, (start, end) in offsets.items()
    }
    return Shard(file, head, len(head) + at), slots
