"""What a step says of tensor rings: which blocks are packed, and which tensor is which blocks of a ring."""

from __future__ import annotations

from dataclasses import dataclass

from growplan.ir.layers import in_layer
from growplan.ir.primitives.ring import Cut


@dataclass(frozen=True)
class RingGroup:
    """Blocks of all old layers that one ring mixes: `members` are tensors of layer 0, each with its cut.

    `cores` are the leaves S_B, S_O, S_L and S_I; blocks are `rows` x `cols`.
    """

    name: str
    layers: int
    rows: int
    cols: int
    members: tuple[tuple[str, Cut], ...]
    cores: tuple[str, str, str, str]

    def sources(self, layer: int) -> tuple[str, ...]:
        """The tensors of one old layer."""
        return tuple(in_layer(name, 0, layer) for name, _ in self.members)


@dataclass(frozen=True)
class RingLaw:
    """What a tensor is: blocks of a new layer, or parts that are, joined along `dim`.

    `parts`: (the name of a group, which of its blocks).
    """

    tensor: str
    layer: int
    parts: tuple[tuple[str, Cut], ...]
    dim: int = 0


def packed_value(group: str, layer: int, step: int) -> str:
    """The value that is the packed blocks of an old layer."""
    return f"pack/{group}.{layer}@{step}"


def ring_inputs(group: RingGroup, step: int) -> tuple[str, ...]:
    """The values that a `ring_map` of a group reads."""
    cores = (f"{leaf}@{step}" for leaf in group.cores)
    return (*cores, *(packed_value(group.name, layer, step) for layer in range(group.layers)))
