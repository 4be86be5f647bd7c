"""The IR: an SSA graph of primitive tensor rewrites, one model per plan step.

`Graph.models[0]` is the source checkpoint; `models[k]` names the value of every tensor after
step k. Nothing here knows torch; shapes and dtypes are known before any byte is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from growplan.algebra import Expansion, Root
from growplan.ir.primitives import Primitive, Ranges, Resample
from growplan.ir.rings import RingGroup, RingLaw

LawKind = Literal["linear", "embedding", "layernorm", "rmsnorm", "bias", "patches", "parameter", "tied"]


@dataclass(frozen=True)
class TensorType:
    """Shape and safetensors dtype name (`F32`, `BF16`, ...)."""

    shape: tuple[int, ...]
    dtype: str

    def __str__(self) -> str:
        return f"{self.dtype.lower()}[{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Node:
    """One value: a primitive applied to other values. `step` is 0 for what is read."""

    id: str
    op: Primitive
    inputs: tuple[str, ...]
    type: TensorType
    step: int


@dataclass(frozen=True)
class TensorLaw:
    """What the verifier proves of one tensor of a step.

        new = rows . old . D + N     with D . cols = I and N . cols = 0

    `rows` acts on `row_dim`, `cols` (E_in, None where nothing is read) on `col_dim`. Rows of
    kind `free` may hold anything; columns that meet a free input must be zero. `constant`: new is
    this number everywhere instead, and the maps only give its sizes.
    `source` is the tensor of the model before the step that `new` is made from.
    """

    tensor: str
    source: str
    rows: Expansion
    cols: Expansion | None
    row_dim: int
    col_dim: int | None
    constant: Root | None = None
    given: bool = False  # free rows are those of the tensor's own data leaf, all of them
    twins: Expansion | None = None  # the input before the step is twins . z: N . cols . twins = 0 will do


@dataclass(frozen=True)
class Above:
    """Slices `at` along `dim` that are those of `source`, the same tensor one layer up."""

    source: str
    dim: int
    at: Ranges


@dataclass(frozen=True)
class BlockLaw(TensorLaw):
    """Where nothing is preserved: what every slice of a tensor is, element by element.

    new = rows . old . D     D = the even shares of `cols`; copies only
    new[above.at] = the same of `above.source`
    """

    above: Above | None = None


@dataclass(frozen=True)
class Widened:
    """A section of a dimension that a leaf widens: `count` units of `inner` slices from `start` on.

    `whole`: the leaf makes every new unit of the section, those of the old ones too.
    """

    dim: int
    start: int  # in the tensor before the step
    count: int
    inner: int
    leaf: str
    whole: bool = False


@dataclass(frozen=True)
class LearnedLaw:
    """Where a tensor is learned: the old tensors and the leaves that it is made of.

        new = B_rows . (sum over l of depth[row, l] old_l) . B_cols^T + residual

    Where `rows` are given, the sum is `rows` times `source` instead, as static steps make it.
    `source` is the one old tensor, or that of layer 0 of the `layers` that are blended. With
    `widened_first` each old layer is widened before the sum; `~` in the name of a leaf is its number.
    """

    tensor: str
    source: str
    layers: int = 0  # 0: nothing is blended
    depth: str = ""  # the leaf of the weights
    row: int = 0
    sides: tuple[Widened, ...] = ()
    widened_first: bool = False
    residual: str = ""  # the leaf that is added last, if any
    rows: Expansion | None = None  # a norm: `source` by these rows, as in a `TensorLaw`, and the residual


@dataclass(frozen=True)
class ModuleLaw:
    """What the executor measures of one module of a step: module*(E_in x) = E_out module(x).

    `tied` stands for the head that reads an embedding; `module` is then the embedding and
    E_out the vocab's map. `exact` is False for a norm whose violation the claim admits.
    """

    module: str
    kind: LawKind
    layer: int | None
    source_layer: int | None
    e_in: Expansion | None
    e_out: Expansion
    exact: bool = True


@dataclass(frozen=True)
class Provenance:
    """Where nothing is preserved: tensor `tensor` must be bit-equal to `source` before the step.

    `resample`: not equal, but what this primitive makes of it.
    """

    tensor: str
    source: str
    resample: Resample | None = None


@dataclass(frozen=True)
class SetConfig:
    """`config[key] = value` in the model after the step (primitive `set_config`)."""

    key: str
    value: Any


@dataclass(frozen=True)
class Step:
    """One executed step: what it is called, what it claims, and what can be asserted of it."""

    index: int  # 1-based
    id: str
    text: str  # `widen hidden 384→768 via fpi`
    claim: str  # exact | approximate | none
    origin: str  # `minilm.grow.yaml:7:5`, or `implied by <step id>`
    config: tuple[SetConfig, ...] = ()
    sizes: tuple[tuple[str, int], ...] = ()  # of the model after the step
    stream: Expansion | None = None  # E of the residual stream, for block and logit checks
    laws: tuple[TensorLaw, ...] = ()
    modules: tuple[ModuleLaw, ...] = ()
    provenance: tuple[Provenance, ...] = ()
    layers: tuple[tuple[int, bool], ...] = ()  # depth steps: (source layer, silent) of each layer
    learned: tuple[LearnedLaw, ...] = ()
    rings: tuple[RingLaw, ...] = ()
    groups: tuple[RingGroup, ...] = ()  # what the rings are of

    @property
    def of_leaves(self) -> tuple[LearnedLaw | RingLaw, ...]:
        """What is claimed of tensors that leaves make."""
        return (*self.learned, *self.rings)

    def __post_init__(self) -> None:
        """What is claimed of tensors and modules is a set: kept in one order, layers counted as numbers."""
        laws = sorted(self.laws, key=lambda law: natural(law.tensor))
        provenance = sorted(self.provenance, key=lambda claim: natural(claim.tensor))
        modules = sorted(self.modules, key=lambda m: (-1 if m.layer is None else m.layer, m.module, m.kind))
        learned = sorted(self.learned, key=lambda law: natural(law.tensor))
        object.__setattr__(self, "laws", tuple(laws))
        object.__setattr__(self, "learned", tuple(learned))
        object.__setattr__(self, "rings", tuple(sorted(self.rings, key=lambda law: natural(law.tensor))))
        object.__setattr__(self, "provenance", tuple(provenance))
        object.__setattr__(self, "modules", tuple(modules))


def natural(name: str) -> tuple[tuple[int, str | int], ...]:
    """A sort key under which `h.2.w` comes before `h.10.w`."""
    parts = re.split(r"(\d+)", name)
    return tuple((1, int(part)) if part.isdigit() else (0, part) for part in parts)


@dataclass
class Graph:
    """Nodes in a valid order, the model after each step, and what is stored."""

    nodes: dict[str, Node] = field(default_factory=dict)
    models: list[dict[str, str]] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    stores: dict[str, str] = field(default_factory=dict)  # tensor on disk -> value

    def add(self, node: Node) -> str:
        """Append a node; its inputs must already be there."""
        if node.id in self.nodes:
            raise ValueError(f"value {node.id} is defined twice")
        for name in node.inputs:
            if name not in self.nodes:
                raise ValueError(f"{node.id} reads {name}, which is not defined yet")
        self.nodes[node.id] = node
        return node.id

    def chain(self, value: str) -> Iterator[Node]:
        """The node of `value` and everything it is made from, consumers first."""
        seen: set[str] = set()
        stack = [value]
        while stack:
            node = self.nodes[stack.pop()]
            if node.id not in seen:
                seen.add(node.id)
                yield node
                stack.extend(node.inputs)

    def users(self) -> Mapping[str, list[str]]:
        """Value -> the values that read it."""
        out: dict[str, list[str]] = {name: [] for name in self.nodes}
        for node in self.nodes.values():
            for name in node.inputs:
                out[name].append(node.id)
        return out
