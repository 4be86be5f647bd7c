"""Layer maps that several methods share, and how to say that there is none."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal, NoReturn

from growplan.diagnostics import fail
from growplan.methods.base import LayerSource, Option, OptionValue

Layers = tuple[LayerSource, ...]
LARGEST_FACTOR = 64  # depths that a message looks through

PLACE = Option(
    "place",
    "spread",
    "where new blocks go: spread through the stack, before its first layer, or after its last",
    ("spread", "start", "end"),
)


def copies(order: Iterable[int]) -> Layers:
    """Whole copies of old layers, in this order."""
    return tuple(LayerSource(layer) for layer in order)


def spread(old: int, new: int, fresh: str = "") -> Layers:
    """Old layers in order, the N = new - old silent ones between them as evenly as can be.

    Old layer i is followed by floor((i + 1) N / L) - floor(i N / L) silent blocks made from it.
    """
    extra = new - old
    return after_each(((i + 1) * extra // old - i * extra // old for i in range(old)), fresh)


def after_each(counts: Iterable[int], fresh: str = "") -> Layers:
    """Old layer i, then counts[i] silent blocks made from it."""
    out: list[LayerSource] = []
    for layer, count in enumerate(counts):
        out += [LayerSource(layer), *[LayerSource(layer, "zero", fresh)] * count]
    return tuple(out)


def placed(old: int, new: int, options: Mapping[str, OptionValue], fresh: str = "") -> Layers:
    """Silent blocks where the option `place` says; at an end they are made from the layer there."""
    place, extra = options.get("place", "spread"), new - old
    if place == "start":
        return (*[LayerSource(0, "zero", fresh)] * extra, *copies(range(old)))
    if place == "end":
        return after_each([0] * (old - 1) + [extra], fresh)
    return spread(old, new, fresh)


def no_depth(
    name: str,
    why: str,
    old: int,
    new: int,
    legal: Iterable[int],
    other: Literal["via interlace", "via identity", "new fresh"],
) -> NoReturn:
    """GP121: `name` cannot make `new` layers of `old`; the nearest `legal` depths, or what takes any."""
    depths = sorted({depth for depth in legal if depth > old})
    below, above = [d for d in depths if d < new][-1:], [d for d in depths if d > new][:1]
    ways = [f"use {' or '.join(map(str, (*below, *above)))} layers"] if below or above else []
    ways.append(f"{'or ' if ways else ''}`{other}`, which takes any depth")
    fail("GP121", f"`{name}` {why}, so {old} layers cannot become {new}", help=ways)


def contradicted(name: str, option: str, value: int, says: str, old: int, new: int) -> NoReturn:
    """GP221: the option asks for another depth than the plan's."""
    fail(
        "GP221",
        f"`{option} {value}` of `{name}` {says}, and the plan says {old}→{new}",
        help=f"leave out the size, or `{option}`",
        part=option,
    )
