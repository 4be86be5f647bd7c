"""What lies on disk, compared with the last model of the graph that was asserted."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from growplan.backend.dtypes import UNIT_ROUNDOFF, torch_dtype
from growplan.backend.evaluate import Evaluation, Read
from growplan.backend.executor import block_rows, copied_from
from growplan.backend.provenance import bit_equal
from growplan.backend.rows import all_rows
from growplan.backend.threads import one_thread_each
from growplan.diagnostics import fail
from growplan.ir.graph import Graph

BLOCK_BYTES = 64 << 20
COMPOSED_ROUNDINGS = 4  # a pass that composes maps rounds fewer times than the steps did


@dataclass(frozen=True)
class Written:
    """How many tensors were compared, and how many of them are bit-equal."""

    tensors: int
    bit_equal: int


def written_equals(graph: Graph, source: Read, written: Read, device: torch.device | str = "cpu") -> Written:
    """Compare every stored tensor of `graph` (as lowered) with what was written.

    A tensor whose rewrites a pass composed may differ by a few roundings of its dtype (relative
    to the tensor's scale); anything else must be equal bit for bit. Raises GP506.
    """
    last = graph.models[-1]

    def one(tensor: str) -> bool:
        exact = True
        for rows, expected in _stored(graph, last[tensor], source, device):
            found = written(tensor, rows.start, rows.stop)
            if bit_equal(found, expected.cpu()):
                continue
            exact = False
            _check_close(tensor, rows.start, expected.cpu(), found, _steps(graph, last[tensor]))
        return exact

    with one_thread_each() as workers, ThreadPoolExecutor(workers, "growplan-compare") as pool:
        equal = sum(pool.map(one, graph.stores))
    return Written(len(graph.stores), equal)


def _stored(
    graph: Graph, value: str, source: Read, device: torch.device | str
) -> Iterator[tuple[range, Tensor]]:
    """The value in blocks of rows, rounded to its stored dtype; copies come from the source itself."""
    node = graph.nodes[value]
    evaluation = Evaluation(graph, source, device)
    original = copied_from(graph, value)
    stop, step = all_rows(node.type.shape).stop, block_rows(node, BLOCK_BYTES)
    for start in range(0, stop, step):
        rows = range(start, min(start + step, stop))
        if original is not None:
            yield rows, source(original, rows.start, rows.stop)
        else:
            yield rows, evaluation.rows(value, rows).to(torch_dtype(node.type.dtype))


def _steps(graph: Graph, value: str) -> int:
    """How many steps rewrote the value."""
    return len({node.step for node in graph.chain(value)} - {0})


def _check_close(tensor: str, start: int, expected: Tensor, found: Tensor, steps: int) -> None:
    worst = float("inf")
    same_kind = expected.shape == found.shape and expected.dtype == found.dtype
    if same_kind and expected.dtype in UNIT_ROUNDOFF and steps > 1:
        a, b = expected.to(torch.float64), found.to(torch.float64)
        scale = a.abs() + a.square().mean().sqrt()
        worst = float(((a - b).abs() / scale.clamp(min=1e-290)).nan_to_num(nan=float("inf")).max())
    tolerance = COMPOSED_ROUNDINGS * steps * UNIT_ROUNDOFF.get(expected.dtype, 0.0)
    if not worst <= tolerance:
        fail(
            "GP506",
            f"`{tensor}` on disk is not the tensor that was asserted",
            notes=[
                ("rows", f"{start}:{start + expected.shape[0] if expected.ndim else 1}"),
                ("difference", "in shape or bits" if worst == float("inf") else f"{worst:.2g} (relative)"),
            ],
            help="nothing was published; check disk and memory, and run again",
        )
