"""Lazy evaluation of IR values: any rows of any value, from the source tensors on disk."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from growplan.backend import kernels
from growplan.backend.dtypes import arithmetic, torch_dtype
from growplan.backend.operands import Block, Moments, Operand, column_mean, moments
from growplan.backend.rows import MANY_PIECES, Rows, all_rows, pieces
from growplan.ir.graph import Graph, TensorType
from growplan.ir.primitives import Leaf, Load

Read = Callable[[str, int, int], Tensor]
"""`read(name, first, last)`: rows first:last of a source tensor, in its own dtype, on the CPU."""

LEAF = "leaf "
"""`read` gives the values of a leaf under its name after this word."""


def with_leaves(read: Read, leaves: Mapping[str, Tensor]) -> Read:
    """`read`, and the values of leaves by name beside it. KeyError for a leaf without values."""
    named = {LEAF + name: values for name, values in leaves.items()}

    def both(name: str, first: int, last: int) -> Tensor:
        values = named.get(name)
        return read(name, first, last) if values is None else values[first:last]

    return both


_Memo = dict[tuple[str, object], tuple[Rows, Tensor]]


class Evaluation:
    """Evaluates values of one graph; reductions are kept, blocks of rows are not.

    Within one call a value that several others read is computed once.
    """

    def __init__(self, graph: Graph, read: Read, device: torch.device | str = "cpu") -> None:
        self.graph, self.read, self.device = graph, read, torch.device(device)
        self._users = {name: len(users) for name, users in graph.users().items()}
        self._means: dict[str, Tensor] = {}
        self._moments: dict[str, Moments] = {}

    def whole(self, value: str) -> Tensor:
        """All rows of a value, in the arithmetic dtype (a stored value: in the stored one)."""
        return self.rows(value, all_rows(self.graph.nodes[value].type.shape))

    def rows(self, value: str, rows: Rows) -> Tensor:
        """Rows of a value. The tensor may be shared: do not write to it."""
        return self._rows(value, rows, {})

    def _rows(self, value: str, rows: Rows, memo: _Memo) -> Tensor:
        node = self.graph.nodes[value]
        shared = self._users[value] > 1 and not isinstance(node.op, Load | Leaf)
        key = (value, (rows.start, rows.stop) if isinstance(rows, range) else id(rows))
        if shared and key in memo:
            return memo[key][1]
        operands: list[Operand] = [_Value(self, name, memo) for name in node.inputs]
        if isinstance(node.op, Load):
            operands = [OnDisk(self.read, node.op.tensor, node.type, self.device)]
        elif isinstance(node.op, Leaf):
            operands = [OnDisk(self.read, LEAF + node.op.leaf, node.type, self.device)]
        out = kernels.KERNELS[type(node.op)](node.op, operands, Block(node.type, rows, self.device))
        if shared:
            memo[key] = (rows, out)  # holds the rows too, so that their id stays theirs
        return out

    def column_mean(self, value: str) -> Tensor:
        """Mean over dimension 0, float64."""
        if value not in self._means:
            self._means[value] = column_mean(_Value(self, value, None))
        return self._means[value]

    def moments(self, value: str) -> Moments:
        """Mean and standard deviation of a value."""
        if value not in self._moments:
            self._moments[value] = moments(_Value(self, value, None))
        return self._moments[value]

    def operand(self, value: str) -> Operand:
        """A value as a kernel sees it."""
        return _Value(self, value, None)


@dataclass(frozen=True)
class _Value:
    """A value of the graph as an operand; without a memo every call stands alone."""

    evaluation: Evaluation
    name: str
    memo: _Memo | None

    @property
    def type(self) -> TensorType:
        return self.evaluation.graph.nodes[self.name].type

    def rows(self, rows: Rows) -> Tensor:
        return self.evaluation._rows(self.name, rows, {} if self.memo is None else self.memo)

    def column_mean(self) -> Tensor:
        return self.evaluation.column_mean(self.name)

    def moments(self) -> Moments:
        return self.evaluation.moments(self.name)


@dataclass(frozen=True)
class OnDisk:
    """A tensor of the source checkpoint as an operand."""

    read: Read
    tensor: str
    type: TensorType
    device: torch.device

    def rows(self, rows: Rows) -> Tensor:
        return read_rows(self.read, self.tensor, rows).to(self.device, arithmetic(self.type.dtype))

    def column_mean(self) -> Tensor:
        return column_mean(self)

    def moments(self) -> Moments:
        return moments(self)


def read_rows(read: Read, name: str, rows: Rows) -> Tensor:
    """Rows of a source tensor; scattered ones as their runs, or as the span that holds them."""
    if isinstance(rows, range):
        return read(name, rows.start, rows.stop)
    index = rows.cpu()
    if index.numel() == 0:
        return read(name, 0, 0)
    runs = list(pieces(index))
    if len(runs) <= MANY_PIECES:
        parts = [read(name, run.start, run.stop) for run in runs]
        return parts[0] if len(parts) == 1 else torch.cat(parts)
    low, high = int(index.min()), int(index.max()) + 1
    if high - low <= 4 * index.numel():
        return read(name, low, high).index_select(0, index - low)
    return torch.cat([read(name, run.start, run.stop) for run in runs])


def evaluate(graph: Graph, value: str, read: Read, device: torch.device | str = "cpu") -> Tensor:
    """A whole value of the graph."""
    return Evaluation(graph, read, device).whole(value)


class ModelView:
    """The tensors of the model after step k, evaluated lazily; k = 0 is the source itself.

    Values keep the arithmetic dtype: half-precision checkpoints are asserted in float32,
    where a fault cannot hide in the rounding; `rounded=True` gives what would be stored.
    The source is read directly, not through the `load` kernel.
    """

    def __init__(
        self,
        graph: Graph,
        k: int,
        read: Read,
        device: torch.device | str = "cpu",
        *,
        rounded: bool = False,
        keep: int = 256 << 20,
    ) -> None:
        self.graph, self.k, self.rounded, self.keep = graph, k, rounded, keep
        self.values = graph.models[k]
        self.evaluation = Evaluation(graph, read, device)
        self._cache: OrderedDict[str, Tensor] = OrderedDict()
        self._held = 0

    @property
    def device(self) -> torch.device:
        return self.evaluation.device

    def __contains__(self, tensor: str) -> bool:
        return tensor in self.values

    def get(self, tensor: str) -> Tensor:
        """The tensor of that name on disk. KeyError where the model has none."""
        if tensor in self._cache:
            self._cache.move_to_end(tensor)
            return self._cache[tensor]
        value = self._evaluate(self.values[tensor])
        self._cache[tensor] = value
        self._held += value.nbytes
        while self._held > self.keep and len(self._cache) > 1:
            self._held -= self._cache.popitem(last=False)[1].nbytes
        return value

    def dtype(self, tensor: str) -> str:
        """The safetensors dtype that the tensor is stored in."""
        return self.graph.nodes[self.values[tensor]].type.dtype

    def _evaluate(self, value: str) -> Tensor:
        node = self.graph.nodes[value]
        if self.k == 0 and isinstance(node.op, Load):
            disk = OnDisk(self.evaluation.read, node.op.tensor, node.type, self.evaluation.device)
            out = disk.rows(all_rows(node.type.shape))
        else:
            out = self.evaluation.whole(value)
        return out.to(torch_dtype(node.type.dtype)) if self.rounded else out
