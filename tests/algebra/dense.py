"""Expansions as dense matrices of exact numbers: the oracle of the algebra's tests."""

from __future__ import annotations

from fractions import Fraction

from hypothesis import strategies as st

from growplan.algebra import Expansion, Root, Run

Number = Fraction | float
Matrix = list[list[Number]]


def number(c: Root) -> Number:
    exact = c.as_rational()
    return float(c) if exact is None else exact


def dense(e: Expansion) -> Matrix:
    """The matrix of a map without free rows and holes."""
    out: Matrix = []
    for row in e.rows():
        if row.kind == "copy":
            out.append([number(row.c) if j == row.unit else Fraction(0) for j in range(e.old)])
        elif row.kind == "mean":
            out.append([number(row.c) / e.old] * e.old)
        else:
            assert row.kind == "zero", row
            out.append([Fraction(0)] * e.old)
    return out


def transposed(a: Matrix) -> Matrix:
    return [list(column) for column in zip(*a, strict=True)]


def product(a: Matrix, b: Matrix) -> Matrix:
    columns = transposed(b)
    return [[sum((x * y for x, y in zip(row, c, strict=True)), Fraction(0)) for c in columns] for row in a]


def kronecker(a: Matrix, b: Matrix) -> Matrix:
    return [[x * y for x in row for y in inner] for row in a for inner in b]


def direct_sum(a: Matrix, b: Matrix) -> Matrix:
    zero = Fraction(0)
    return [row + [zero] * len(b[0]) for row in a] + [[zero] * len(a[0]) + row for row in b]


def identity(n: int) -> Matrix:
    return [[Fraction(int(i == j)) for j in range(n)] for i in range(n)]


def close(a: Matrix, b: Matrix) -> bool:
    """Equal: exactly where both are rational, to rounding where a root is not."""
    return len(a) == len(b) and all(
        x == y or ((isinstance(x, float) or isinstance(y, float)) and abs(x - y) < 1e-12 * (1 + abs(x)))
        for row, other in zip(a, b, strict=True)
        for x, y in zip(row, other, strict=True)
    )


# strategies --------------------------------------------------------------------------------------


def rationals() -> st.SearchStrategy[Root]:
    return st.fractions(-3, 3, max_denominator=6).map(Root.rational)


def roots() -> st.SearchStrategy[Root]:
    return rationals() | st.fractions(-3, 3, max_denominator=6).map(Root)


@st.composite
def runs(draw: st.DrawFn, old: int, kinds: tuple[str, ...], cs: st.SearchStrategy[Root]) -> Run:
    kind = draw(st.sampled_from(kinds))
    start = draw(st.integers(0, old - 1)) if kind == "copy" else 0
    count = draw(st.integers(0, old - start if kind == "copy" else 3))
    return Run(kind, count, start, draw(cs))  # type: ignore[arg-type]


@st.composite
def expansions(
    draw: st.DrawFn,
    old: int | None = None,
    kinds: tuple[str, ...] = ("copy", "mean", "zero"),
    cs: st.SearchStrategy[Root] | None = None,
) -> Expansion:
    """Any map, on 1 to 5 old units unless said."""
    n = draw(st.integers(1, 5)) if old is None else old
    c = st.just(Root()) | rationals() if cs is None else cs
    rows = draw(st.lists(runs(n, kinds, c), min_size=1, max_size=5))
    e = Expansion(n, tuple(rows))
    return e if e.size else Expansion.identity(n)
