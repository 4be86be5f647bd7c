"""Null terms in a law: noise that the input's expansion cancels, proved from the maps alone.

A null term of map M adds N to the copies of a unit, with sum over a group of N_i m_i = 0, m the
coefficients of M; a group is all copies of a unit, or two of them (`paired`). So
N . E = 0 where E has rows in proportion to M's in every group: c_i = t m_i of one and the same row.
"""

from __future__ import annotations

from collections.abc import Iterator

from growplan.algebra import Expansion, Root, Row
from growplan.ir.primitives import AddNull
from growplan.ir.slices import Axis, Noise, Objection, Part

ZERO = Root.rational(0)


def without_noise(axis: Axis, e_in: Expansion) -> Axis:
    """The axis as it was before null terms, if `e_in` cancels them whole; else an `Objection`."""
    while noisy := [part for part in axis.parts if part.kind == "noisy"]:
        noise, c = noisy[0].of, noisy[0].c
        assert isinstance(noise, Noise)
        _check_whole(axis, noise, c)
        if not cancels(noise.op, e_in):
            raise Objection(
                "GP266",
                f"the noise is null for {noise.op.map}, the input is {e_in}",
                "draw it over the map of the tensor's input",
            )
        parts: list[Part] = []
        at = 0
        for part in axis.parts:
            before = noise.under.cut(at, at + part.count)
            parts += [old.times(c) for old in before] if part.kind == "noisy" else [part]
            at += part.count
        axis = Axis.of(parts)
    return axis


def cancels(op: AddNull, e: Expansion) -> bool:
    """Whether N . e = 0 for every N that `op` may draw."""
    if e.size != op.map.size:
        return False
    if op.map.repeated == e.repeated:
        return True
    rows, drawn = list(e.rows()), list(op.map.rows())
    return all(len({_share(rows[i], drawn[i].c) for i in group}) == 1 for group in groups(op))


def groups(op: AddNull) -> Iterator[tuple[int, ...]]:
    """The sets of new units over which the noise cancels."""
    copies: dict[int, list[int]] = {}
    for i, row in enumerate(op.map.repeated.rows()):
        if row.kind == "copy":
            copies.setdefault(row.unit, []).append(i)
    for all_ in copies.values():
        if op.pairing == "paired":
            yield from zip(all_[::2], all_[1::2], strict=False)
        else:
            yield tuple(all_)


def _share(row: Row, drawn: Root) -> tuple[str, int, Root, int]:
    """What a row reads and by how much for one unit of noise; equal where noise may cancel.

    A free row is like no other, not even itself read twice.
    """
    if row.kind == "zero":
        return "zero", 0, ZERO, 0
    return row.kind, row.unit, row.c / drawn, id(row) if row.kind == "free" else 0


def _check_whole(axis: Axis, noise: Noise, c: Root) -> None:
    """Every noisy slice of this term is there, once, in its place, times one constant."""
    at, found = 0, 0
    for part in axis.parts:
        if part.kind == "noisy":
            if (part.of, part.c, part.start) != (noise, c, at):
                raise Objection("GP266", f"the noise of column {part.start} stands at {at}, or is scaled")
            found += part.count
        at += part.count
    if found != sum(run.count for run in noise.op.map.repeated.runs if run.kind == "copy"):
        raise Objection("GP266", "the noise of a unit's copies is not all there, so it need not cancel")
