"""Running a graph: every stored tensor is made in memory, in row blocks, and written once.

Tensors that no step touched are copied from file to file without passing through torch.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from types import TracebackType

import torch
from torch import Tensor

from growplan.backend.dtypes import arithmetic, byte_size, empty_cpu, raw_bytes
from growplan.backend.evaluate import Evaluation, Read
from growplan.backend.rows import all_rows
from growplan.checkpoint.reader import Reader
from growplan.checkpoint.writer import Writer
from growplan.ir.graph import Graph, Node
from growplan.ir.primitives import CopyLayer, Load, Store

MINIMUM_MEMORY = 64 << 20
TEMPORARIES = 6  # tensors of a block's size alive at once while a chain is evaluated


@dataclass(frozen=True)
class Progress:
    """One tensor is being written: `done` of `total` bytes of the whole output."""

    tensor: str
    done: int
    total: int


def reader_rows(reader: Reader, device: torch.device | str = "cpu") -> Read:
    """`read(name, first, last)` over an open checkpoint; buffers are pinned for a CUDA device."""
    pinned = torch.device(device).type == "cuda"

    def read(name: str, first: int, last: int) -> Tensor:
        info = reader.info(name)
        row = byte_size(tuple(info.shape[1:]), info.dtype)
        shape = (last - first, *info.shape[1:]) if info.shape else ()
        out = empty_cpu(shape, info.dtype, pinned=pinned)
        reader.read_into(name, raw_bytes(out), first * row)
        return out

    return read


def execute(
    graph: Graph,
    reader: Reader,
    writer: Writer,
    device: torch.device | str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    memory: int | None = None,
) -> dict[str, str]:
    """Write every tensor of `graph.stores`; returns name on disk -> sha256 of its bytes.

    `memory` (bytes) bounds the working set by evaluating large tensors in blocks of rows;
    the bytes written do not depend on it. Default: about twice the largest tensor.
    """
    evaluation = Evaluation(graph, reader_rows(reader, device), device)
    total = sum(_bytes(graph.nodes[value]) for value in graph.stores.values())
    budget = memory or _default_memory(graph)
    done = 0
    with _WriteBehind(writer) as behind:
        for tensor, value in graph.stores.items():
            node = graph.nodes[value]
            source = copied_from(graph, value)
            if source is not None:
                writer.copy(tensor, reader, source)
            else:
                _write_blocks(evaluation, tensor, value, behind, budget)
            evaluation.forget()
            done += _bytes(node)
            if progress is not None:
                progress(Progress(tensor, done, total))
    return writer.finish()


def copied_from(graph: Graph, value: str) -> str | None:
    """The source tensor that a stored value is byte for byte, or None."""
    node = graph.nodes[value]
    while isinstance(node.op, Store | CopyLayer):
        node = graph.nodes[node.inputs[0]]
    return node.op.tensor if isinstance(node.op, Load) else None


def block_rows(node: Node, memory: int) -> int:
    """How many rows of a value to make at once."""
    rows = all_rows(node.type.shape).stop
    row = prod(node.type.shape[1:]) * arithmetic(node.type.dtype).itemsize
    return max(1, min(rows, memory // max(1, row * TEMPORARIES)))


def _write_blocks(evaluation: Evaluation, tensor: str, value: str, behind: _WriteBehind, memory: int) -> None:
    node = evaluation.graph.nodes[value]
    rows, step = all_rows(node.type.shape).stop, block_rows(node, memory)
    row = byte_size(node.type.shape[1:], node.type.dtype)
    for start in range(0, rows, step):
        block = evaluation.rows(value, range(start, min(start + step, rows)))
        behind.write(tensor, block.contiguous().cpu(), start * row)


class _WriteBehind:
    """Writes (and hashes) one block on another thread while the next is computed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="growplan-write")
        self._last: Future[None] | None = None

    def __enter__(self) -> _WriteBehind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if self._last is not None and error is None:
            self._last.result()

    def write(self, tensor: str, block: Tensor, offset: int) -> None:
        if self._last is not None:
            self._last.result()
        self._last = self._pool.submit(self._write, tensor, block, offset)

    def _write(self, tensor: str, block: Tensor, offset: int) -> None:
        self._writer.write(tensor, raw_bytes(block), offset)


def _bytes(node: Node) -> int:
    return byte_size(node.type.shape, node.type.dtype)


def _default_memory(graph: Graph) -> int:
    largest = max((_bytes(graph.nodes[value]) for value in graph.stores.values()), default=0)
    return max(MINIMUM_MEMORY, 2 * largest)
