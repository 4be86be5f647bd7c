"""An operator cut over ranks (FSDP2), with the source it reads: for targets that fit on no rank.

    leaf            : parameters of a group, `fully_shard`ed: gathered while the group runs, gradients
                      summed back to the pieces. The leaves that one block reads are its group; those
                      that several read are the root's.
    source tensor   : a piece on each rank; layers are blended piece by piece, and only the sum is gathered.
    target tensor   : made whole by the block that runs (`growplan.learn.blocks`), and dropped after it.

What lies outside of the blocks (embeddings, head) is whole on every rank while a batch runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Shard, distribute_tensor

from growplan.ir.graph import Graph
from growplan.ir.primitives import Leaf
from growplan.learn.blocks import Blocks
from growplan.learn.constants import Constants
from growplan.learn.corpus import IGNORED, Batch
from growplan.learn.materialise import Materialiser
from growplan.learn.ranks import Ranks, gathering


class Pieces(Constants):
    """Constants of which each rank keeps some elements; they are gathered where they are read."""

    def __init__(self, mesh: DeviceMesh) -> None:
        super().__init__()
        self.mesh = mesh
        self._shapes: dict[str, torch.Size] = {}

    def keep(self, value: str, tensor: Tensor) -> None:
        """Add one: this rank's elements of it, the last ones filled up with zeros."""
        flat, size = tensor.flatten(), ceil(tensor.numel() / self.mesh.size())
        own = flat[self.mesh.get_local_rank() * size :][:size]
        self._kept[value] = nn.functional.pad(own, (0, size - own.numel())).clone()
        self._shapes[value] = tensor.shape

    def __getitem__(self, value: str) -> Tensor:
        shape = self._shapes[value]
        return self._gathered(self._kept[value][None], shape.numel()).view(shape)

    def blend(self, weights: Tensor, values: Sequence[str]) -> Tensor:
        """Sums of tensors of one shape: weights [rows, values] -> [rows, elements].

        The weights' gradient is this rank's part of it, as every gradient of a leaf is.
        """
        pieces = super().stacked(tuple(values))
        return self._gathered(weights @ pieces, self._shapes[values[0]].numel())

    def stacked(self, values: tuple[str, ...]) -> Tensor:
        """Tensors of one shape as one [values, ...], gathered."""
        shape = self._shapes[values[0]]
        return self._gathered(super().stacked(values), shape.numel()).view(-1, *shape)

    def _gathered(self, pieces: Tensor, elements: int) -> Tensor:
        """[rows, size] of each rank -> [rows, elements] on all; gradients are summed back to the pieces."""
        cut = DTensor.from_local(pieces, self.mesh, [Shard(1)], run_check=False)
        return cut.full_tensor(grad_placements=[Partial()])[:, :elements]


class Group(nn.Module):
    """Leaves that are gathered together. Running something in it has them whole."""

    def __init__(self, leaves: Sequence[Tensor]) -> None:
        super().__init__()
        self.leaves = nn.ParameterList(leaf.detach().contiguous() for leaf in leaves)

    def forward(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `run` gives."""
        return run(*args, **kwargs)


class Root(Group):
    """The leaves of no single block, and the groups of all blocks.

    FSDP takes the mean of gradients over ranks: those of a loss that is summed over ranks go in as many
    times as there are ranks.
    """

    def __init__(self, leaves: Sequence[Tensor], groups: Sequence[Group], ranks: int) -> None:
        super().__init__(leaves)
        self.groups = nn.ModuleList(groups)
        self.ranks = ranks

    def forward(self, run: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """What `run` gives: a loss."""
        loss = run(*args, **kwargs)
        if loss.requires_grad:
            loss.register_hook(lambda gradient: gradient * self.ranks)
        return loss


class CutLeaves(Mapping[str, Tensor]):
    """Leaves by name as they are at the moment: whole inside of their group, pieces (DTensor) outside.

    `blocks`: the leaves that each block reads.
    """

    def __init__(self, values: Mapping[str, Tensor], blocks: Sequence[set[str]], mesh: DeviceMesh) -> None:
        names: list[list[str]] = [[] for _ in (*blocks, "root")]
        for name in sorted(values):
            readers = [i for i, reads in enumerate(blocks) if name in reads]
            names[readers[0] if len(readers) == 1 else -1].append(name)
        self.groups = [Group([values[name] for name in own]) for own in names[:-1]]
        self.root = Root([values[name] for name in names[-1]], self.groups, mesh.size())
        every = (*self.groups, self.root)
        for group in every:
            if group is self.root or len(group.leaves):
                fully_shard(group, mesh=mesh, reshard_after_forward=True)
        self._place = {
            name: (group, i) for own, group in zip(names, every, strict=True) for i, name in enumerate(own)
        }

    def __getitem__(self, name: str) -> Tensor:
        group, i = self._place[name]
        leaf: Tensor = group.leaves[i]
        return leaf

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._place))

    def __len__(self) -> int:
        return len(self._place)


class Shards:
    """Every rank has a piece of each leaf: a `growplan.learn.spread.Spread`.

    `materialise` has its constants in pieces too, and `blocks` make their own tensors.
    """

    def __init__(self, ranks: Ranks, mesh: DeviceMesh, materialise: Materialiser, blocks: Blocks) -> None:
        self.ranks, self._mesh, self._blocks = ranks, mesh, blocks
        values = ([materialise.values[name] for name in names] for names in blocks.inside)
        self._read = [leaves_read(materialise.graph, own) for own in values]
        self._cut: CutLeaves

    def leaves(
        self, values: Mapping[str, Tensor], device: torch.device, dtype: torch.dtype
    ) -> dict[str, Tensor]:
        """This rank's pieces."""
        moved = {name: tensor.to(device, dtype) for name, tensor in values.items()}
        self._cut = CutLeaves(moved, self._read, self._mesh)
        self._blocks.within = self._cut.groups
        return dict(self._cut)

    def view(self, leaves: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The leaves as their groups have them."""
        return self._cut

    def like(self, leaf: Tensor, values: Tensor) -> Tensor:
        """This rank's piece of values, cut as the leaf is."""
        assert isinstance(leaf, DTensor)
        return distribute_tensor(values.to(leaf.device, leaf.dtype), leaf.device_mesh, leaf.placements)

    def whole(self, part: Tensor) -> Tensor:
        """The tensor gathered from all ranks, on the CPU."""
        return (part.full_tensor() if isinstance(part, DTensor) else part).detach().cpu()

    def apart(self) -> AbstractContextManager[None]:
        """Nothing is done apart: ranks gather from each other all the time. GP551 where one is gone."""
        return gathering()

    def share(self, batch: Batch) -> Batch:
        """This rank's rows, as many as on every other: a row of which nothing is asked fills them up."""
        own = batch.share(self.ranks.rank, self.ranks.world)
        if len(own.inputs) * self.ranks.world >= len(batch.inputs):
            return own
        first = batch.parts(len(batch.inputs)).__next__()
        mask = None if own.mask is None or first.mask is None else torch.cat([own.mask, first.mask])
        silent = torch.full_like(first.targets, IGNORED)
        return Batch(torch.cat([own.inputs, first.inputs]), torch.cat([own.targets, silent]), mask)

    def run(self, loss: Callable[[], Tensor]) -> Tensor:
        """The loss, with the leaves that several blocks read gathered."""
        found: Tensor = self._cut.root(loss)
        return found

    def add_up(self, leaves: Iterable[Tensor]) -> None:
        """FSDP has summed the gradients already."""


def mesh_of(ranks: Ranks, device: torch.device | str) -> DeviceMesh:
    """All ranks in one row."""
    return init_device_mesh(torch.device(device).type, (ranks.world,))


def leaves_read(graph: Graph, values: Sequence[str]) -> set[str]:
    """The leaves that some values are made of."""
    nodes = (node for value in values for node in graph.chain(value))
    return {node.op.leaf for node in nodes if isinstance(node.op, Leaf)}
