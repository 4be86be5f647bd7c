"""Running a graph: every stored tensor is made in memory, in row blocks, and written once.

Tensors that no step touched are copied from file to file without passing through torch. Several
workers overlap disk, hashing, bus and kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from growplan.backend.dtypes import arithmetic, byte_size, empty_cpu, raw_bytes
from growplan.backend.evaluate import Evaluation, Read, with_leaves
from growplan.backend.rows import all_rows
from growplan.backend.threads import one_thread_each
from growplan.checkpoint.reader import Reader
from growplan.checkpoint.writer import Writer
from growplan.ir.graph import Graph, Node
from growplan.ir.primitives import CopyLayer, CopyTensor, Load, Store

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
    leaves: Mapping[str, Tensor] | None = None,
) -> dict[str, str]:
    """Write every tensor of `graph.stores`; returns name on disk -> sha256 of its bytes.

    Tensors are dealt to as many workers as torch had threads. `memory` (bytes) bounds the
    working set of all of them together, by evaluating large tensors in blocks of rows; default:
    about twice the largest tensor. The bytes written depend on neither. `progress` is called
    on this thread; `leaves` are the values that `growplan.learn` found.
    """
    read = with_leaves(reader_rows(reader, device), leaves or {})
    total = sum(_bytes(graph.nodes[value]) for value in graph.stores.values())
    budget, done = memory or _default_memory(graph), 0

    def one(tensor: str) -> str:
        value = graph.stores[tensor]
        source = copied_from(graph, value)
        if source is not None:
            writer.copy(tensor, reader, source)
        else:
            _write_blocks(Evaluation(graph, read, device), tensor, value, writer, share)
        return tensor

    with one_thread_each() as workers, ThreadPoolExecutor(workers, "growplan-write") as pool:
        share = budget // workers
        waiting = [pool.submit(one, tensor) for tensor in graph.stores]
        try:
            for finished in as_completed(waiting):
                tensor = finished.result()
                done += _bytes(graph.nodes[graph.stores[tensor]])
                if progress is not None:
                    progress(Progress(tensor, done, total))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return writer.finish()


def copied_from(graph: Graph, value: str) -> str | None:
    """The source tensor that a stored value is byte for byte, or None."""
    node = graph.nodes[value]
    while isinstance(node.op, Store | CopyLayer | CopyTensor):
        node = graph.nodes[node.inputs[0]]
    return node.op.tensor if isinstance(node.op, Load) else None


def block_rows(node: Node, memory: int) -> int:
    """How many rows of a value to make at once."""
    rows = all_rows(node.type.shape).stop
    row = prod(node.type.shape[1:]) * arithmetic(node.type.dtype).itemsize
    return max(1, min(rows, memory // max(1, row * TEMPORARIES)))


def _write_blocks(evaluation: Evaluation, tensor: str, value: str, writer: Writer, memory: int) -> None:
    node = evaluation.graph.nodes[value]
    rows, step = all_rows(node.type.shape).stop, block_rows(node, memory)
    row = byte_size(node.type.shape[1:], node.type.dtype)
    for start in range(0, rows, step):
        block = evaluation.rows(value, range(start, min(start + step, rows))).contiguous().cpu()
        writer.write(tensor, raw_bytes(block), start * row)


def _bytes(node: Node) -> int:
    return byte_size(node.type.shape, node.type.dtype)


def _default_memory(graph: Graph) -> int:
    largest = max((_bytes(graph.nodes[value]) for value in graph.stores.values()), default=0)
    return max(MINIMUM_MEMORY, 2 * largest)
