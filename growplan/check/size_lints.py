"""Lints about sizes of the result: tiles of 64, and splits over devices. Only of what a plan changed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import lcm

from growplan.check.cost import cost
from growplan.check.typed import TypedStep
from growplan.diagnostics import Diagnostic, Span
from growplan.families.model import Model

TILE = 64  # units of a matrix tile on current accelerators
SMALL = 256  # below this, tiles decide nothing
DEGREES = (8, 4, 2)  # devices that share the heads of a layer
LARGE = 10**9  # parameters from which a model is split over devices


def size_lints(steps: Sequence[TypedStep], source: Model, target: Model) -> Iterator[Diagnostic]:
    """GP910 and GP911, each once, for the axes of the result that a step has changed."""
    changed = {
        axis: (old, new)
        for axis, new in target.sizes.items()
        if (old := source.sizes.get(axis)) is not None and old != new
    }
    yield from _tiles(steps, changed, target)
    yield from _devices(steps, changed, target)


def _tiles(
    steps: Sequence[TypedStep], changed: dict[str, tuple[int, int]], target: Model
) -> Iterator[Diagnostic]:
    """Sizes that are no multiple of 64."""
    odd = {
        axis: new for axis, (old, new) in changed.items() if new % TILE and _counts(axis, old, new, target)
    }
    if not odd:
        return
    shown = ", ".join(f"`{axis}` {new}" for axis, new in odd.items())
    yield Diagnostic(
        "GP910",
        f"no multiple of {TILE}: {shown}; matrix kernels fill whole tiles",
        _place(steps, next(iter(odd))),
        help=tuple(f"`{axis}` {_nearest(axis, changed[axis], target)}" for axis in odd),
        severity="warning",
    )


def _counts(axis: str, old: int, new: int, target: Model) -> bool:
    """Whether tiles matter for the axis: in small models, and in heads that had no such size, they do not."""
    if axis == "head_dim":
        return old % TILE == 0
    return axis in ("hidden", "ffn", "vocab") and new >= SMALL


def _nearest(axis: str, sizes: tuple[int, int], target: Model) -> str:
    """The multiples of 64 on both sides that the axis can reach: `704 or 768`."""
    old, new = sizes
    unit = TILE
    coupled = any(axis in (left, right) for left, right in (*target.family.equations, *target.family.keeps))
    if axis == "hidden" and coupled and target.sizes.get("head_dim"):
        unit = lcm(TILE, target.sizes["head_dim"])
    below, above = new // unit * unit, -(-new // unit) * unit
    return " or ".join(str(size) for size in (below, above) if size >= old)


def _devices(
    steps: Sequence[TypedStep], changed: dict[str, tuple[int, int]], target: Model
) -> Iterator[Diagnostic]:
    """Heads that a usual degree of tensor parallelism divided, and no longer does."""
    lost = {
        axis: degree
        for axis, (old, new) in changed.items()
        if axis in ("heads", "kv_heads")
        and (degree := next((d for d in DEGREES if old % d == 0 and new % d), None)) is not None
    }
    if not lost or cost(target).parameters < LARGE:
        return
    shown = ", ".join(f"`{axis}` {changed[axis][1]} by {degree}" for axis, degree in lost.items())
    ways = []
    for axis, degree in lost.items():
        old, new = changed[axis]
        around = (new // degree * degree, -(-new // degree) * degree)
        ways.append(f"`{axis}` {' or '.join(str(size) for size in around if size >= old)}")
    yield Diagnostic(
        "GP911",
        f"no longer divides, as it did: {shown}; tensor parallelism gives each device whole heads",
        _place(steps, next(iter(lost))),
        help=tuple(ways),
        severity="warning",
    )


def _place(steps: Sequence[TypedStep], axis: str) -> Span | None:
    """The last step that set the axis."""
    return next((step.span for step in reversed(steps) if axis in {a for a, _, _ in step.axes}), None)
