"""A shared LiGO graph written by hand: one operator an axis, one row of depth weights a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from growplan.backend.executor import reader_rows
from growplan.checkpoint.config import read_config
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.reader import open_reader
from growplan.families import bind, detect
from growplan.families.model import Model, Param
from growplan.ir.graph import Graph, Node, Step, TensorType
from growplan.ir.primitives import BlendLayers, Leaf, Load, Primitive, Project


def bound(directory: Path) -> Model:
    """The model of a checkpoint."""
    config = read_config(directory)
    return bind(detect(config), config, read_headers(directory).tensors)


def grown(model: Model, sizes: Mapping[str, int], **config: Any) -> Model:
    """The same architecture with other sizes, its config edited by hand."""
    return model.resized({**model.sizes, **sizes}, {**model.config, **config})


def read_of(directory: Path) -> Callable[[str, int, int], Tensor]:
    """Rows of a checkpoint's tensors; all of them are read at once, so that nothing stays open."""
    headers = read_headers(directory)
    with open_reader(headers) as reader:
        rows = reader_rows(reader)
        whole = {name: rows(name, 0, (info.shape or (1,))[0]) for name, info in headers.tensors.items()}
    return lambda name, first, last: whole[name][first:last]


class Builder:
    """Adds nodes of one step; leaves are named by what they act on."""

    def __init__(self, old: Model, new: Model) -> None:
        self.old, self.new = old, new
        self.graph = Graph(models=[{}, {}], steps=[Step(1, "grown", "grow by hand", "none", "here:1:1")])

    def build(self) -> Graph:
        """Every tensor of the new model from those of the old."""
        names = {(p.module, p.leaf, layer): (name, p, layer) for name, p, layer in self.old.tensors()}
        for name, _, _ in names.values():
            self.graph.models[0][name] = self._source(name)
        for name, param, layer in self.new.tensors():
            if layer is None:
                value = self._source(name)
            else:
                old = [self._source(names[param.module, param.leaf, i][0]) for i in range(self.old.depth)]
                leaf = self._leaf(f"depth/{param.module}.{param.leaf}", (self.new.depth, self.old.depth))
                value = self._add(BlendLayers(layer), (leaf, *old), self._shape(old[0]))
            self.graph.models[1][name] = self._widened(param, value)
        return self.graph

    def _widened(self, param: Param, value: str) -> str:
        for dim, axis in enumerate(param.stored):
            at = 0
            for term in axis.split():
                units, wanted = term.size(self.old.sizes), term.size(self.new.sizes)
                if units != wanted:
                    leaf = self._leaf(f"width/{term}", (wanted - units, units))
                    shape = list(self._shape(value))
                    shape[dim] += wanted - units
                    value = self._add(Project(dim, at, units), (value, leaf), tuple(shape))
                at += wanted
        return value

    def _shape(self, value: str) -> tuple[int, ...]:
        return self.graph.nodes[value].type.shape

    def _source(self, name: str) -> str:
        shapes = {n: self.old.shape(p) for n, p, _ in self.old.tensors()}
        return self._once(name, Load(name), shapes[name], 0, self.old.dtype)

    def _leaf(self, name: str, shape: tuple[int, ...]) -> str:
        dtype = "F64" if self.old.dtype == "F64" else "F32"
        return self._once(f"leaf {name}", Leaf(name, shape, dtype, "trainable"), shape, 1, dtype)

    def _once(self, id: str, op: Primitive, shape: tuple[int, ...], step: int, dtype: str) -> str:
        if id not in self.graph.nodes:
            self.graph.add(Node(id, op, (), TensorType(shape, dtype), step))
        return id

    def _add(self, op: Primitive, inputs: tuple[str, ...], shape: tuple[int, ...]) -> str:
        type = TensorType(shape, self.old.dtype)
        return self.graph.add(Node(f"%{len(self.graph.nodes)}", op, inputs, type, 1))


def random_leaves(shapes: Mapping[str, tuple[int, ...]], dtype: torch.dtype) -> dict[str, Tensor]:
    """Leaves of a random operator, small enough that a model of it computes numbers of its own size."""
    random = torch.Generator().manual_seed(3)
    return {
        name: torch.randn(shape, generator=random, dtype=torch.float64).to(dtype) / shape[-1] ** 0.5
        for name, shape in shapes.items()
    }
