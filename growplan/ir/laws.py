"""The preservation law of one tensor, proved on its symbolic state.

        new . E_in = E_out . old        new = E_out . old . D + N,  D . E_in = I,  N . E_in = 0

Rows and columns separate: a cell holds the product of what its row and its column say, and a
fill is either allowed to hold anything (free rows, columns that only meet zeros) or is zero.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from growplan.algebra import ONE, Expansion, Root, Run, even_inverse
from growplan.ir.graph import TensorLaw
from growplan.ir.nulls import without_noise
from growplan.ir.slices import Axis, Objection, Part, Shares
from growplan.ir.symbolic import State

ZERO = Root.rational(0)
SHARES = "the shares of a unit's copies must add up to the unit"


def check_law(state: State, law: TensorLaw, shape: tuple[int, ...]) -> None:
    """Raise the `Objection` that `state`, made from a tensor of `shape`, breaks `law`."""
    check_form(state, law, shape)
    if law.constant is not None:
        _check_constant(state, law.constant)
        return
    if law.given:
        _check_given(state.axes[law.row_dim], law)
    for dim, axis in enumerate(state.axes):
        _check_no_holes(axis, dim)
        spoken_of = dim == law.row_dim or (dim == law.col_dim and law.cols is not None)
        if not spoken_of and axis != Axis.identity(shape[dim]):
            raise Objection("GP262", f"changes dim {dim}, of which the law says nothing")
    total = ONE
    if law.cols is not None and law.col_dim is not None:
        axis = without_noise(state.axes[law.col_dim], _input(law, law.cols))
        total = _check_columns(axis, law.cols, shape[law.col_dim])
    _check_rows(state.axes[law.row_dim], law.rows, shape[law.row_dim], total)


def _input(law: TensorLaw, cols: Expansion) -> Expansion:
    """What a null term must vanish on: E_in, or less where units of the input are known to be equal."""
    if law.twins is None:
        return cols
    if law.twins.size != cols.old:
        raise Objection("GP268", f"the law's twins make {law.twins.size} units, its columns read {cols.old}")
    known = cols.after(law.twins)
    return cols if known is None else known


def _check_constant(state: State, constant: Root) -> None:
    """Every cell is the constant."""
    total: Root = ONE
    for dim, axis in enumerate(state.axes):
        for part in axis.parts:
            if part.kind != "constant" or part != axis.parts[0]:
                found = f"dim {dim} holds `{_said(part, part.c)}`"
                raise Objection("GP264", f"{found}, the law says {constant} everywhere")
        total = total * axis.parts[0].c
    if total != constant:
        raise Objection("GP264", f"is {total} everywhere, the law says {constant}")


def _check_given(axis: Axis, law: TensorLaw) -> None:
    """Every row is that of a data leaf, in order."""
    part = axis.parts[0]
    leaf = part.of[0] if part.kind == "given" and isinstance(part.of, tuple) else None
    data = isinstance(leaf, State) and isinstance(leaf.base, tuple) and leaf.base[::2] == ("leaf", "data")
    if law.cols is not None and not law.cols.is_identity:
        raise Objection("GP268", f"a law of a leaf's values has no columns `{law.cols}`")
    if len(axis.parts) > 1 or not data:
        raise Objection("GP264", f"holds `{_said(part, part.c)}`, the law says its leaf's values everywhere")


def check_form(state: State, law: TensorLaw, shape: tuple[int, ...]) -> None:
    """The maps have the sizes of the tensor before and after, and no holes."""
    sides = [("rows", law.row_dim, law.rows)]
    if law.cols is not None:
        if law.col_dim is None or law.col_dim == law.row_dim:
            raise Objection("GP268", "the law's columns need a dimension of their own")
        sides.append(("columns", law.col_dim, law.cols))
    for what, dim, e in sides:
        if not 0 <= dim < len(shape):
            raise Objection("GP268", f"the law speaks of dim {dim} of a tensor with {len(shape)} dims")
        if (e.old, e.size) != (shape[dim], state.axes[dim].size):
            found = f"{shape[dim]}→{state.axes[dim].size}"
            raise Objection("GP268", f"the law's {what} go {e.old}→{e.size}, dim {dim} goes {found}")
        if "hole" in e.kinds:
            raise Objection("GP268", f"the law's {what} have holes")


def _check_no_holes(axis: Axis, dim: int) -> None:
    at = 0
    for part in axis.parts:
        if part.kind == "hole":
            raise Objection(
                "GP260",
                f"leaves slices {at}:{at + part.count} of dim {dim} unwritten",
                "fill them by one of `ln_average`, `zero_out`, `fresh`",
            )
        at += part.count


# rows: the axis the tensor writes ----------------------------------------------------------------


def _check_rows(axis: Axis, law: Expansion, old: int, total: Root) -> None:
    """Every row is what E_out says, times 1 / `total` (what the columns add up to)."""
    for at, run, part in _side_by_side(law, axis):
        if run.kind == "free" or (run.kind == "zero" and part.kind == "zero"):
            continue
        c = part.c
        if run.kind == "copy":
            right = part.kind == "copy" and part.start == run.start
        else:
            scale = part.of.uniform_scale(old) if isinstance(part.of, Axis) else None
            right = run.kind == "mean" and part.kind == "mean" and scale is not None
            c = c * (scale or ONE)
        if not right or c * total != run.c:
            raise Objection(
                "GP264",
                f"rows {at}:{at + run.count} hold `{_said(part, c * total)}`, the law says `{run}`",
            )


def _said(part: Part, c: Root) -> str:
    """A part in the words of a map."""
    if part.kind in ("copy", "mean", "zero"):
        return str(Run(part.kind, part.count, part.start, c))
    return f"{part.kind} x{part.count}"


# columns: the axis the tensor reads --------------------------------------------------------------


def _check_columns(axis: Axis, e_in: Expansion, old: int) -> Root:
    """D . E_in = total * I and N . E_in = 0; returns `total`."""
    if axis == Axis.identity(old) and e_in.is_identity:
        return ONE
    given: list[Run] = []  # what each old unit gets back: copy(unit, d * c)
    for at, run, part in _side_by_side(e_in, _resolved(axis, e_in, old)):
        if run.kind == "zero":
            continue  # the input is zero here: N may be anything
        if run.kind in ("free", "mean"):
            if part.kind != "zero":
                raise Objection(
                    "GP266",
                    f"columns {at}:{at + run.count} read a {run.kind} input but are not zero",
                    "the null term may only stand where the input is zero: `zero_out` these",
                )
        elif part.kind == "copy" and part.start == run.start:
            given.append(Run("copy", run.count, run.start, part.c * run.c))
        elif part.kind != "zero":
            raise Objection(
                "GP265",
                f"columns {at}:{at + run.count} hold `{_said(part, part.c)}`, their input is `{run}`",
            )
    return _common_total(given, old)


def _common_total(given: list[Run], old: int) -> Root:
    """What every old unit gets back in total; an objection where units differ."""
    first: Root | None = None
    for begin, end, total in _totals(given, old):
        if total is None or total.is_zero:
            said = "no single root" if total is None else "nothing"
            raise Objection("GP265", f"gives back {said} of units {begin}:{end}", SHARES)
        first = total if first is None else first
        if total != first:
            message = f"gives back {total} of units {begin}:{end} where the units before get {first}"
            raise Objection("GP265", message, SHARES)
    return first or ONE


def _totals(given: list[Run], old: int) -> Iterator[tuple[int, int, Root | None]]:
    """(begin, end, sum of the coefficients of the runs over these units), in order."""
    starts: dict[int, list[Run]] = {}
    for run in given:
        starts.setdefault(run.start, []).append(run)
    marks = sorted({0, old, *starts, *(run.start + run.count for run in given)})
    active: list[Run] = []
    for begin, end in pairwise(marks):
        active = [run for run in active if run.start + run.count > begin] + starts.get(begin, [])
        total: Root | None = ZERO
        for run in active:
            total = None if total is None else total.plus(run.c)
        yield begin, end, total


def _resolved(axis: Axis, e_in: Expansion, old: int) -> Axis:
    """The axis with uneven and own shares read as even ones, where they are complete.

    Such shares of a unit's copies add up to the unit by construction, whatever was drawn,
    provided that all of them are there, once, over the map's own coefficients.
    """
    drawn = [part for part in axis.parts if part.kind == "share"]
    if not drawn:
        return axis
    shares, c = drawn[0].of, drawn[0].c
    assert isinstance(shares, Shares)
    plain = shares.under.uniform_scale(old)
    whole = sum(part.count for part in drawn) == sum(shares.op.map.counts)
    if plain is None or not whole or any((part.of, part.c) != (shares, c) for part in drawn):
        raise Objection("GP265", "the uneven shares of a unit are not all there, so they need not add up")
    if _copies(shares.op.map) != _copies(e_in):
        raise Objection("GP265", f"shares are drawn over {shares.op.map}, the input is {e_in}")
    even = Axis.identity(old).gather(even_inverse(shares.op.map)).times(plain * c)
    out: list[Part] = []
    at = 0
    for part in axis.parts:
        if part.kind == "share" and part.start != at:
            raise Objection("GP265", f"the uneven share of column {part.start} stands at {at}")
        out += even.cut(at, at + part.count) if part.kind == "share" else [part]
        at += part.count
    return Axis.of(out)


def _copies(e: Expansion) -> Expansion:
    """Only the copies of a map."""
    return Expansion(e.old, tuple(r if r.kind == "copy" else Run("zero", r.count) for r in e.runs))


def _side_by_side(e: Expansion, axis: Axis) -> Iterator[tuple[int, Run, Part]]:
    """Where both are of one kind: (index, piece of the map, piece of the axis)."""
    at, index, used = 0, 0, 0
    for run in e.runs:
        done = 0
        while done < run.count:
            part = axis.parts[index]
            n = min(run.count - done, part.count - used)
            start = run.start + done if run.kind == "copy" else 0
            yield at, Run(run.kind, n, start, run.c), part.slice(used, n)
            done, used, at = done + n, used + n, at + n
            if used == part.count:
                index, used = index + 1, 0
