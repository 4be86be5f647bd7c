"""The layout of a tensor ring: which weights are packed into which blocks, and which cores act on them.

Mango (arXiv 2310.10699) as re-derived from the shapes of its operator; no official code exists. The
weights of a layer are cut into blocks, outputs x inputs. Blocks that write one axis and read one
axis are a *group*: a ring of four cores makes all of its blocks of all new layers from all of those
of all old ones, so that

    numbers = R^2 (sum over groups of B^2  +  sum over axes that are written, and over those that are
              read, of old * new units  +  L * L*)      for bonds of R, groups of B blocks

    stream      the residual stream, and every axis k times as wide before and after: k blocks (the
                ffn, attention's width); with them there is one group, the paper's 4 + 2k blocks
    NAME        any other axis that grows: an ffn of another ratio, grouped key and value heads; of
                attention where heads are kept whole, cores count heads, each as many slices as its size

What is no block has the first bonds of the same cores as plain matrices: biases and norms those of
their layers too, embeddings and heads as they write the stream or read it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Literal

from growplan.check.axis_classes import STREAM, axis_classes
from growplan.families.model import AxisExpr, Model, Param
from growplan.methods.base import LeafSpec, Operator

HEADS = ("heads", "kv_heads")
GROWING = ("hidden", "ffn", *HEADS)
Side = Literal["O", "I"]  # what a tensor writes (outputs), what it reads (inputs)


@dataclass(frozen=True)
class CoreAxis:
    """An axis that cores act on: so many units before and after, each of `inner` slices."""

    name: str
    old: int
    new: int
    inner: int = 1


@dataclass(frozen=True)
class Run:
    """A part of a dimension: `pieces` times a core's axis, from slice `start` of the old tensor on."""

    dim: int
    start: int
    of: CoreAxis
    pieces: int

    @property
    def step(self) -> int:
        """Slices of one piece."""
        return self.of.old * self.of.inner


@dataclass(frozen=True)
class Member:
    """Rows of a tensor as blocks `first` : `first + down * across` of a group, counted row by row."""

    param: Param
    start: int
    down: int
    across: int
    first: int

    @property
    def count(self) -> int:
        """How many blocks these are."""
        return self.down * self.across


@dataclass(frozen=True)
class Group:
    """Blocks that write one axis and read one axis; a ring makes them together."""

    out: CoreAxis
    into: CoreAxis
    members: tuple[Member, ...]

    @property
    def name(self) -> str:
        """Both axes: `ffn-stream` writes the ffn and reads the stream."""
        return f"{self.out.name}-{self.into.name}"

    @property
    def blocks(self) -> int:
        """Blocks of one layer, as many before as after."""
        return sum(member.count for member in self.members)


@dataclass(frozen=True)
class MangoLayout:
    """A tensor ring between two models."""

    before: Model
    after: Model
    operator: Operator

    # axes ------------------------------------------------------------------------------------------

    def core(self, axis: AxisExpr, *, in_layer: bool) -> tuple[CoreAxis, int] | None:
        """The axis whose cores act on `axis`, and how many times it holds that; None where nothing does."""
        old, new = (axis.size(model.sizes) for model in (self.before, self.after))
        (term,) = axis.terms
        grows = old != new or (in_layer and any(factor in GROWING for factor in term)) or term == ("hidden",)
        if not grows:
            return None
        if self.operator.mix == "heads" and term[1:] == ("head_dim",):
            inner = self.before.sizes["head_dim"]
            return CoreAxis(self._name(term), old // inner, new // inner, inner), 1
        stream = CoreAxis(STREAM, self.before.sizes["hidden"], self.after.sizes["hidden"])
        pieces = old // stream.old
        if (pieces * stream.old, pieces * stream.new) == (old, new):
            return stream, pieces
        return CoreAxis(self._name(term), old, new), 1

    def _name(self, term: tuple[str | int, ...]) -> str:
        """What an axis is called: the first size it is made of; kv_heads are heads where they are as many."""
        name = next((factor for factor in term if isinstance(factor, str)), "units")
        same = all(m.sizes["heads"] == m.sizes.get("kv_heads") for m in (self.before, self.after))
        return "heads" if name == "kv_heads" and same else name

    def rows(self, param: Param) -> tuple[Run | None, ...]:
        """What each part of the axis that a tensor writes is to the cores."""
        found: list[Run | None] = []
        start = 0
        for axis in param.rows.split():
            of = self.core(axis, in_layer=param.in_layer)
            found.append(None if of is None else Run(param.row_dim, start, *of))
            start += axis.size(self.before.sizes)
        return tuple(found)

    def cols(self, param: Param) -> Run | None:
        """What the axis that a tensor reads is to the cores."""
        if param.cols is None or param.unfolded or len(param.cols.terms) > 1:
            return None
        of = self.core(param.cols, in_layer=param.in_layer)
        return None if of is None else Run(param.col_dim, 0, *of)

    def runs(self, param: Param) -> tuple[tuple[Side, Run], ...]:
        """The parts of a tensor's dimensions that cores act on."""
        written, read = self.rows(param), self.cols(param)
        found: list[tuple[Side, Run]] = [("O", run) for run in written if run is not None]
        return tuple(found) if read is None else (*found, ("I", read))

    # groups ----------------------------------------------------------------------------------------

    def is_packed(self, param: Param) -> bool:
        """Whether a tensor is blocks of rings: a matrix of a layer with cores on both sides."""
        return (
            param.in_layer
            and param.ones == 0
            and self.cols(param) is not None
            and all(run is not None for run in self.rows(param))
        )

    @cached_property
    def params(self) -> tuple[Param, ...]:
        """Every parameter of the old model, layers folded, a parameter of each expert alone."""
        return tuple(each for param in self.before.params() for each in self.before.of_experts(param))

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        """The rings, and what is packed into each, in the order of the model."""
        found: dict[tuple[CoreAxis, CoreAxis], list[Member]] = {}
        for param in filter(self.is_packed, self.params):
            for out, into, run in self._parts(param):
                members = found.setdefault((out, into), [])
                first = members[-1].first + members[-1].count if members else 0
                across = self.cols(param)
                assert across is not None
                members.append(Member(param, run.start, run.pieces, across.pieces, first))
        return tuple(Group(*axes, tuple(members)) for axes, members in found.items())

    def _parts(self, param: Param) -> Iterator[tuple[CoreAxis, CoreAxis, Run]]:
        """The rows of a tensor by what they are to the cores; neighbours of one axis are one part."""
        read, joined = self.cols(param), list[Run]()
        assert read is not None
        for run in self.rows(param):
            assert run is not None
            if joined and joined[-1].of == run.of:
                run = Run(run.dim, joined[-1].start, run.of, joined.pop().pieces + run.pieces)
            joined.append(run)
        yield from ((run.of, read.of, run) for run in joined)

    @cached_property
    def members(self) -> Mapping[Param, tuple[tuple[Group, Member], ...]]:
        """The groups that a packed tensor's rows belong to, from the first row on."""
        found: dict[Param, list[tuple[Group, Member]]] = {}
        for group in self.groups:
            for member in group.members:
                found.setdefault(member.param, []).append((group, member))
        return {p: tuple(sorted(each, key=lambda pair: pair[1].start)) for p, each in found.items()}

    # leaves ----------------------------------------------------------------------------------------

    @cached_property
    def axes(self) -> Mapping[tuple[Side, CoreAxis], None]:
        """The axes that have a core, once for what writes them and once for what reads them."""
        return {(side, run.of): None for param in self.params for side, run in self.runs(param)}

    @property
    def layered(self) -> bool:
        """Whether there are layers to mix."""
        return any(param.in_layer for param in self.params)

    def leaves(self, id: str, key: str) -> tuple[LeafSpec, ...]:
        """Every leaf of step `id`, whose draws begin with `key`: cores [bond, old, new, bond].

        What writes an axis begins as what reads it does, and no bond but the first holds more than noise.
        """
        o, (r1, r2, r3, r4) = self.operator, self.operator.ranks
        found = [
            LeafSpec(f"{id}/S_B/{group.name}", (r1, group.blocks, group.blocks, r2), "identity", f"{key}/S_B")
            for group in self.groups
        ]
        for side, of in self.axes:
            bonds = (r2, r3) if side == "O" else (r4, r1)
            init = f"identity, {o.width_init}" if of.new > of.old else "identity"
            shape = (bonds[0], of.old, of.new, bonds[1])
            found.append(LeafSpec(f"{id}/S_{side}/{of.name}", shape, init, f"{key}/{of.name}"))
        if self.layered:
            depths = (self.before.depth, self.after.depth)
            init = "identity" if depths[0] == depths[1] else o.depth_init
            found.append(LeafSpec(f"{id}/S_L", (r3, *depths, r4), init, f"{key}/S_L"))
        return tuple(found)

    # sizes -----------------------------------------------------------------------------------------

    @property
    def parts(self) -> Mapping[str, int]:
        """Numbers of width, of blocks and of depth."""
        r1, r2, r3, r4 = self.operator.ranks
        width = sum(of.old * of.new * (r2 * r3 if side == "O" else r4 * r1) for side, of in self.axes)
        depth = r3 * r4 * self.before.depth * self.after.depth if self.layered else 0
        return {"width": width, "blocks": r1 * r2 * sum(g.blocks**2 for g in self.groups), "depth": depth}

    @property
    def inner_parameters(self) -> int:
        """No layer has cores of its own."""
        return 0

    @property
    def whole_heads(self) -> bool:
        """Whether `auto` mixes heads as wholes: positions are rotary, or heads are normed."""
        return axis_classes(self.before, separate_output=True).whole_heads

    @property
    def materialise(self) -> int:
        """FLOPs of making all weights of the target once, in the order of `growplan.learn.ring`."""
        rings = sum(self._ring(group) for group in self.groups)
        return rings + sum(self._plain(param) for param in self.params if not self.is_packed(param))

    def _ring(self, group: Group) -> int:
        r1, r2, r3, r4 = self.operator.ranks
        old, new, b = self.before.depth, self.after.depth, group.blocks
        rows, cols = group.out.new * group.out.inner, group.into.old * group.into.inner
        outs = old * b * group.out.old * r2 * r3 * rows * cols
        mixed = (old * b * b * r1 * r2 * r3 + new * old * b * r1 * r3 * r4) * rows * cols
        ins = new * b * r1 * r4 * rows * cols * group.into.new
        return 2 * (outs + mixed + ins)

    def _plain(self, param: Param) -> int:
        """A tensor that is no block: its layers blended, then each part of its dimensions made anew."""
        shape = list(self.before.shape(param))
        layers = self.after.depth if param.in_layer else 1
        total = 2 * self.before.depth * prod(shape) if param.in_layer else 0
        for _, run in self.runs(param):
            beside = prod(shape) // shape[run.dim] * run.of.inner
            total += 2 * run.pieces * run.of.new * run.of.old * beside
            shape[run.dim] += run.pieces * (run.of.new - run.of.old) * run.of.inner
        return layers * total

    # words -----------------------------------------------------------------------------------------

    @property
    def label(self) -> str:
        """Whether there is one ring or several, in a few words."""
        return "a tensor ring" if len(self.groups) == 1 else "tensor rings"

    @property
    def reasons(self) -> tuple[str, ...]:
        """What is fitted, for the reader of a check."""
        reasons = ["what the grown model computes is fitted on data: nothing is preserved"]
        layers = f"of all {self.before.depth} layers"
        reasons += [
            f"{group.name}: each of {group.blocks} blocks a layer is a sum of all {group.blocks} {layers}"
            for group in self.groups
        ]
        bonds = self.operator.ranks[0]
        shared = ", ".join(dict.fromkeys(of.name for _, of in self.axes))
        reasons.append(f"cores of {bonds} bond{'s' * (bonds > 1)} for {shared}, the layers and the blocks")
        reasons.append("biases, norms, embeddings and heads are made by the first bonds of the same cores")
        if self.operator.mix == "heads":
            reasons.append(
                "new heads are sums of whole heads, so that rotary pairs and norms keep their units"
            )
        return tuple(reasons)
