"""Small graphs by hand, and checkpoints on disk to run them on."""

from __future__ import annotations

from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from growplan.backend.evaluate import Read
from growplan.ir.graph import Graph, Node, TensorType
from growplan.ir.primitives import Load, Primitive, Store

NAMES = {"torch.float64": "F64", "torch.float32": "F32", "torch.bfloat16": "BF16", "torch.float16": "F16"}


def type_of(tensor: Tensor) -> TensorType:
    return TensorType(tuple(tensor.shape), NAMES[str(tensor.dtype)])


def memory(tensors: dict[str, Tensor]) -> Read:
    """`read` over tensors in memory."""
    return lambda name, first, last: tensors[name][first:last] if tensors[name].ndim else tensors[name]


class Builder:
    """A graph over source tensors; `apply` appends a primitive to a tensor, `step` closes a step."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self.graph = Graph()
        self.now = {
            name: self.graph.add(Node(f"{name}@0", Load(name), (), type_of(t), 0))
            for name, t in tensors.items()
        }
        self.graph.models.append(dict(self.now))

    def apply(self, tensor: str, op: Primitive, *extra: str, size: int | None = None) -> str:
        """`size`: of the result along `op.dim`, where it changes."""
        value = self.now[tensor]
        type_ = self.graph.nodes[value].type
        if size is not None:
            shape = list(type_.shape)
            shape[op.dim] = size  # type: ignore[attr-defined]
            type_ = TensorType(tuple(shape), type_.dtype)
        name = f"{tensor}@{len(self.graph.models)}.{len(self.graph.nodes)}"
        self.now[tensor] = self.graph.add(Node(name, op, (value, *extra), type_, len(self.graph.models)))
        return self.now[tensor]

    def step(self) -> None:
        self.graph.models.append(dict(self.now))

    def finish(self) -> Graph:
        for tensor, value in self.now.items():
            node = Node(f"store {tensor}", Store(tensor), (value,), self.graph.nodes[value].type, 0)
            self.graph.stores[tensor] = self.graph.add(node)
        return self.graph


def on_disk(path: Path, tensors: dict[str, Tensor]) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in tensors.items()}, path / "model.safetensors", {"format": "pt"})
    return path
