"""The tensors of a learned step's target as a differentiable function of its leaves.

What no leaf reaches is made once, by the ordinary kernels, and kept. The rest is made anew in every
call, whole tensor by whole tensor, all of them or those that are asked for, by the rules below: one
for each primitive that a learned step applies to a value that depends on a leaf. A rule computes
what the kernel of its primitive computes, in the dtype of the leaves, and lets gradients through to
every input.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from growplan.backend.dtypes import arithmetic
from growplan.backend.evaluate import Evaluation, Read
from growplan.ir.graph import Graph, Node
from growplan.ir.primitives import (
    AddLeaf,
    BlendLayers,
    CopyLayer,
    CoreMatrix,
    Join,
    Leaf,
    Primitive,
    Project,
    RescaleNorm,
    RingMap,
    Scale,
    Store,
    Transform,
)
from growplan.learn import ring
from growplan.learn.constants import Constants

Leaves = Mapping[str, Tensor]
Rule = Callable[[Any, Sequence[Tensor]], Tensor]


class Materialiser:
    """Makes the tensors of the model after step k from source tensors and the leaves of that step.

    `read` gives source tensors, and the leaves of earlier steps. `dtype` is that of the tensors made,
    and of the leaves given: by default the arithmetic dtype of what is stored. `constants` keeps what
    no leaf reaches.
    """

    def __init__(
        self,
        graph: Graph,
        k: int,
        read: Read,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        constants: Constants | None = None,
    ) -> None:
        self.graph, self.device = graph, torch.device(device)
        self.values = dict(graph.models[k])
        self.dtype = dtype or self._arithmetic()
        self.shapes = self._leaves(k)
        self._moving = self._reached()
        self.constants = Constants() if constants is None else constants
        self._make_constants(Evaluation(graph, read, device))

    def __call__(self, leaves: Leaves, names: Iterable[str] | None = None) -> dict[str, Tensor]:
        """Name on disk -> tensor, with gradients to `leaves`; all of the model, or `names` and no others.

        Weights are made in their own dtype, under autocast too. KeyError for a leaf that is not given.
        """
        memo = _Memo(self, leaves, every=names is None)
        with torch.autocast(self.device.type, enabled=False):
            return {name: memo.value(self.values[name]) for name in (self.values if names is None else names)}

    def _arithmetic(self) -> torch.dtype:
        kinds = {arithmetic(self.graph.nodes[value].type.dtype) for value in self.values.values()}
        return torch.float64 if torch.float64 in kinds else torch.float32

    def _leaves(self, k: int) -> dict[str, tuple[int, ...]]:
        """The trainable leaves of the step: name -> shape."""
        nodes = [node for value in self.values.values() for node in self.graph.chain(value)]
        return {
            node.op.leaf: node.op.shape
            for node in nodes
            if isinstance(node.op, Leaf) and node.op.kind == "trainable" and node.step == k
        }

    def _reached(self) -> set[str]:
        """Every value that depends on a leaf of the step; nodes are in a valid order."""
        out: set[str] = set()
        for name, node in self.graph.nodes.items():
            own = isinstance(node.op, Leaf) and node.op.leaf in self.shapes
            if own or any(each in out for each in node.inputs):
                out.add(name)
        return out

    def _make_constants(self, evaluation: Evaluation) -> None:
        for value in self.values.values():
            for node in self.graph.chain(value):
                wanted = node.inputs if node.id in self._moving else (node.id,) * (node.id == value)
                for name in wanted:
                    if name not in self._moving and name not in self.constants:
                        made = evaluation.whole(name).to(self.device, self.dtype)
                        self.constants.keep(name, made.detach())

    def moves(self, value: str) -> bool:
        """Whether a leaf reaches the value."""
        return value in self._moving


class _Memo:
    """One call: every value is made once. `every`: for all tensors of the model."""

    def __init__(self, owner: Materialiser, leaves: Leaves, *, every: bool) -> None:
        self.owner, self.leaves, self.every = owner, leaves, every
        self.made: dict[str, Tensor] = {}
        self.blends: dict[tuple[str, tuple[str, ...]], tuple[Tensor, ...]] = {}
        self.rings: dict[tuple[tuple[str, ...], int | None], Tensor] = {}

    def value(self, name: str) -> Tensor:
        """A value of the graph. Loops, so that a long chain is no deep recursion."""
        stack = [name]
        while stack:
            at = stack[-1]
            if self._known(at):
                stack.pop()
                continue
            waiting = [each for each in self.owner.graph.nodes[at].inputs if not self._known(each)]
            if waiting:
                stack += waiting
                continue
            self.made[at] = self._make(self.owner.graph.nodes[stack.pop()])
        made = self.made.get(name)
        return self.owner.constants[name] if made is None else made

    def _known(self, name: str) -> bool:
        return name in self.made or name in self.owner.constants

    def _make(self, node: Node) -> Tensor:
        if isinstance(node.op, Leaf):
            return self.leaves[node.op.leaf]
        if isinstance(node.op, BlendLayers):
            blend = self._blend(node, node.op)
            if blend is not None:
                return blend
        if isinstance(node.op, RingMap):
            return self._ring(node, node.op)
        inputs = [self.value(each) for each in node.inputs]
        return RULES[type(node.op)](node.op, inputs)

    def _blend(self, node: Node, op: BlendLayers) -> Tensor | None:
        """A sum of layers that do not move: all rows by one product, or the one row that is asked for."""
        weights, layers = node.inputs[0], node.inputs[1:]
        if any(self.owner.moves(layer) for layer in layers):
            return None
        if not self.every:
            row = self.value(weights)[op.layer : op.layer + 1]
            return self.owner.constants.blend(row, layers).view(node.type.shape)
        key = (weights, layers)
        if key not in self.blends:
            self.blends[key] = self.owner.constants.blend(self.value(weights), layers).unbind(0)
        return self.blends[key][op.layer].view(node.type.shape)

    def _ring(self, node: Node, op: RingMap) -> Tensor:
        """Blocks of a new layer: of all layers at once, or of the one that is asked for."""
        made = (node.inputs, None if self.every else op.layer)
        if made not in self.rings:
            blocks, outs, depth, ins = (self.value(core) for core in node.inputs[:4])
            packs, constants = node.inputs[4:], self.owner.constants
            if self.every:
                self.rings[made] = ring.all_layers(blocks, outs, depth, ins, constants.stacked(packs))
            else:
                shape = self.owner.graph.nodes[packs[0]].type.shape
                mixed = constants.blend(ring.rows_of(depth, op.layer), packs).view(-1, *shape)
                self.rings[made] = ring.one_layer(blocks, outs, depth, ins, mixed)[None]
        return ring.cut_of(op.cut, self.rings[made][op.layer if self.every else 0])


# rules ---------------------------------------------------------------------------------------------


def blend_layers(op: BlendLayers, inputs: Sequence[Tensor]) -> Tensor:
    """y = sum over l of W[layer, l] x_l."""
    weights, *layers = inputs
    total = weights[op.layer, 0] * layers[0]
    for i, x in enumerate(layers[1:], 1):
        total = total + weights[op.layer, i] * x
    return total


def project(op: Project, inputs: Sequence[Tensor]) -> Tensor:
    """y = [x ; C x] along `dim`, whole units of `inner` slices."""
    return _put(op, op.stop, inputs)


def transform(op: Transform, inputs: Sequence[Tensor]) -> Tensor:
    """y = B x along `dim`, whole units of `inner` slices, in the place of the old ones."""
    return _put(op, op.start, inputs)


def _put(op: Project | Transform, begin: int, inputs: Sequence[Tensor]) -> Tensor:
    """What a leaf makes of a section, between what comes before slice `begin` and after the section."""
    x, leaf = inputs
    section = x.narrow(op.dim, op.start, op.count * op.inner)
    new = _times(leaf, section, op.dim, op.count, op.inner)
    before, after = x.narrow(op.dim, 0, begin), x.narrow(op.dim, op.stop, x.shape[op.dim] - op.stop)
    parts = [part for part in (before, new, after) if part.shape[op.dim]]
    return torch.cat(parts, op.dim) if len(parts) > 1 else new


def add_leaf(op: AddLeaf, inputs: Sequence[Tensor]) -> Tensor:
    """y = x + N."""
    return inputs[0] + inputs[1]


def _times(matrix: Tensor, section: Tensor, dim: int, count: int, inner: int) -> Tensor:
    """`matrix` [new, count] times the units along `dim`, each of `inner` slices."""
    lead, rest = section.shape[:dim], section.shape[dim + 1 :]
    if not rest and inner == 1:
        return section @ matrix.T
    units = section.reshape(*lead, count, -1)
    return torch.matmul(matrix, units).reshape(*lead, len(matrix) * inner, *rest)


def _same(op: Primitive, inputs: Sequence[Tensor]) -> Tensor:
    """What changes no value."""
    return inputs[0]


def _scaled(op: Scale | RescaleNorm, inputs: Sequence[Tensor]) -> Tensor:
    """c x."""
    return inputs[0] * float(op.by)


RULES: dict[type[Primitive], Rule] = {
    BlendLayers: blend_layers,
    Project: project,
    Transform: transform,
    AddLeaf: add_leaf,
    RingMap: ring.ring_map,
    CoreMatrix: ring.core_matrix,
    Join: ring.join,
    CopyLayer: _same,
    Store: _same,
    Scale: _scaled,
    RescaleNorm: _scaled,
}
