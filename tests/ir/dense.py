"""Graphs on small matrices of exact fractions: what the symbolic rules claim, done by hand."""

from __future__ import annotations

from fractions import Fraction
from random import Random

from growplan.algebra import Expansion, Root, even_inverse, first_inverse
from growplan.ir.graph import Graph, Node, TensorLaw
from growplan.ir.primitives import (
    AddNull,
    DuplicateRow,
    Fill,
    Fresh,
    FromLeaf,
    Graft,
    Leaf,
    LnAverage,
    Load,
    Mask,
    RescaleNorm,
    Scale,
    SplitColumn,
    ZeroOut,
)

Cell = Fraction | None  # None: not written
Matrix = list[list[Cell]]


def rational(c: Root) -> Fraction:
    exact = c.as_rational()
    assert exact is not None
    return exact


def draw(rng: Random) -> Fraction:
    return Fraction(rng.randint(-999, 999), 7)


def run(graph: Graph, rng: Random) -> dict[str, Matrix]:
    """Every value of a graph of matrices, random where it is read or drawn."""
    values: dict[str, Matrix] = {}
    for node in graph.nodes.values():
        values[node.id] = _value(node, [values[i] for i in node.inputs], rng)
    return values


def _value(node: Node, inputs: list[Matrix], rng: Random) -> Matrix:
    op = node.op
    if isinstance(op, Load | Leaf):
        rows, cols = node.type.shape
        return [[draw(rng) for _ in range(cols)] for _ in range(rows)]
    dim = getattr(op, "dim", 0)
    x, *rest = [value if dim == 0 else flipped(value) for value in inputs]
    match op:
        case DuplicateRow(map=map):
            out = _gather(x, map)
        case SplitColumn(map=map, shares="even"):
            out = _gather(x, even_inverse(map))
        case SplitColumn(map=map, shares="first"):
            out = _gather(x, first_inverse(map))
        case SplitColumn(map=map, shares="own", rows=rows):
            out = _own(x, map, rows)
        case SplitColumn(map=map):
            out = _split(x, map, rng)
        case LnAverage(at=at, c=c):
            means = [_mean(column) for column in flipped(rest[0])]
            out = _filled(x, at, lambda: [None if m is None else rational(c) * m for m in means])
        case ZeroOut(at=at):
            out = _filled(x, at, lambda: [Fraction(0)] * len(x[0]))
        case Mask(at=at):
            zeros = [_times(row, Fraction(0)) for row in x]
            out = [zeros[i] if any(a <= i < b for a, b in at) else row for i, row in enumerate(x)]
        case Graft(at=at):
            out = [rest[0][i] if any(a <= i < b for a, b in at) else row for i, row in enumerate(x)]
        case Fill(value=value):
            out = [[rational(value)] * len(row) for row in x]
        case Fresh(at=at):
            out = _filled(x, at, lambda: [draw(rng) for _ in x[0]])
        case AddNull():
            out = _noisy(x, op, rng)
        case FromLeaf(at=at):
            given = iter(rest[0])
            out = _filled(x, at, lambda: next(given))
        case Scale(by=by) | RescaleNorm(by=by):
            out = [_times(row, rational(by)) for row in x]
        case _:
            out = x
    return out if dim == 0 else flipped(out)


def flipped(a: Matrix) -> Matrix:
    return [list(column) for column in zip(*a, strict=True)]


def _times(row: list[Cell], c: Fraction) -> list[Cell]:
    return [None if cell is None else c * cell for cell in row]


def _gather(x: Matrix, e: Expansion) -> Matrix:
    return [
        _times(x[row.unit], rational(row.c))
        if row.kind == "copy"
        else [Fraction(0) if row.kind == "zero" else None] * len(x[0])
        for row in e.rows()
    ]


def _own(x: Matrix, e: Expansion, other: Expansion) -> Matrix:
    """Slice i of `e` and place k of `other`: 1 where both are copies of one rank, even where k is alone."""
    out: Matrix = []
    for i, row in enumerate(e.rows()):
        if row.kind != "copy":
            out.append([None] * len(x[0]))
            continue
        count, line = e.counts[row.unit], list[Cell]()
        for k, beside in enumerate(other.rows()):
            alone = beside.kind != "copy" or other.counts[beside.unit] == 1
            mine = other.ranks[k] % count == e.ranks[i]
            share = Fraction(1, count) if alone else Fraction(int(mine))
            cell = x[row.unit][k]
            line.append(None if cell is None else share * cell / rational(row.c))
        out.append(line)
    return out


def _split(x: Matrix, e: Expansion, rng: Random) -> Matrix:
    """Shares drawn per element, the last of a unit's copies takes the rest."""
    out: Matrix = []
    left = [[Fraction(1)] * len(x[0]) for _ in x]
    seen = [0] * e.old
    for row in e.rows():
        if row.kind != "copy":
            out.append([None] * len(x[0]))
            continue
        seen[row.unit] += 1
        last = seen[row.unit] == e.counts[row.unit]
        shares = [rest if last else draw(rng) for rest in left[row.unit]]
        left[row.unit] = [a - b for a, b in zip(left[row.unit], shares, strict=True)]
        c = rational(row.c)
        out.append([None if v is None else s * v / c for s, v in zip(shares, x[row.unit], strict=True)])
    return out


def _noisy(x: Matrix, op: AddNull, rng: Random) -> Matrix:
    """N as AddNull's docstring defines it, R drawn per element."""
    out = [list(row) for row in x]
    copies: dict[int, list[tuple[int, Fraction]]] = {}
    for i, row in enumerate(op.map.rows()):
        if row.kind == "copy":
            copies.setdefault(row.unit, []).append((i, rational(row.c)))
    for places in copies.values():
        pairs = list(zip(places[::2], places[1::2], strict=False))
        for group in pairs if op.pairing == "paired" else [places]:
            for k in range(len(x[0])):
                drawn = [draw(rng) for _ in group]
                if op.pairing == "centred":
                    drawn = [r - sum(drawn) / len(drawn) for r in drawn]
                elif op.pairing == "first":
                    drawn[0] = -sum(drawn[1:], Fraction(0))
                else:
                    drawn[1] = -drawn[0]
                for (i, c), r in zip(group, drawn, strict=True):
                    cell = out[i][k]
                    out[i][k] = None if cell is None else cell + r / c
    return out


def _mean(cells: list[Cell]) -> Cell:
    known = [cell for cell in cells if cell is not None]
    return sum(known, Fraction(0)) / len(cells) if len(known) == len(cells) else None


def _filled(x: Matrix, at: tuple[tuple[int, int], ...], fill) -> Matrix:
    return [fill() if any(a <= i < b for a, b in at) else row for i, row in enumerate(x)]


def law_holds(law: TensorLaw, old: Matrix, new: Matrix, rng: Random) -> bool:
    """new . E_in = E_out . old on every row that is not free, whatever a free input holds."""
    if law.row_dim == 1:
        old, new = flipped(old), flipped(new)
    if any(cell is None for row in new for cell in row):
        return False
    if law.constant is not None:
        return all(cell == rational(law.constant) for row in new for cell in row)
    cols = law.cols or Expansion.identity(len(old[0]))
    e_in = _matrix(cols, rng)
    e_out = _matrix(law.rows, rng)
    left, right = _product(new, e_in), _product(e_out, old)
    return all(row.kind == "free" or a == b for row, a, b in zip(law.rows.rows(), left, right, strict=True))


def _matrix(e: Expansion, rng: Random) -> Matrix:
    out: Matrix = []
    for row in e.rows():
        if row.kind == "copy":
            out.append([rational(row.c) * (j == row.unit) for j in range(e.old)])
        elif row.kind == "mean":
            out.append([rational(row.c) / e.old] * e.old)
        else:
            out.append([draw(rng) if row.kind == "free" else Fraction(0) for _ in range(e.old)])
    return out


def _product(a: Matrix, b: Matrix) -> Matrix:
    return [[sum((x * y for x, y in zip(row, c, strict=True)), Fraction(0)) for c in flipped(b)] for row in a]  # type: ignore[operator]
