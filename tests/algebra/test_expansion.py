"""Expansions against dense exact matrices: canonical form, counts, sums, products, inverses."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growplan.algebra import ONE, Expansion, Root, Run, even_inverse
from tests.algebra.dense import (
    close,
    dense,
    direct_sum,
    expansions,
    identity,
    kronecker,
    product,
    rationals,
    roots,
    transposed,
)

KINDS = ("copy", "mean", "zero", "free", "hole")
INNER = ("copy", "zero")


# roots -------------------------------------------------------------------------------------------


@given(a=roots(), b=roots())
def test_root_arithmetic(a: Root, b: Root) -> None:
    x, y = float(a), float(b)
    assert float(a * b) == pytest.approx(x * y)
    assert float(-a) == -x
    assert a * b == b * a
    if not b.is_zero:
        assert float(a / b) == pytest.approx(x / y)
        assert a / b * b == a
    total = a.plus(b)
    if total is not None:
        assert float(total) == pytest.approx(x + y, abs=1e-12)
    assert b.plus(a) == total


@given(a=rationals(), b=rationals())
def test_rationals_are_closed_under_sums(a: Root, b: Root) -> None:
    p, q = a.as_rational(), b.as_rational()
    assert p is not None and q is not None
    assert a.plus(b) == Root.rational(p + q)


def test_root_words() -> None:
    values = (ONE, Root.rational(Fraction(-1, 2)), Root(Fraction(1, 2)), Root(Fraction(-3)))
    assert [str(c) for c in values] == ["1", "-1/2", "sqrt(1/2)", "-sqrt(3)"]
    assert Root(Fraction(2)).plus(ONE) is None
    assert Root(Fraction(2)).plus(Root(Fraction(8))) == Root(Fraction(18))
    assert Root(Fraction(9, 4)).as_rational() == Fraction(3, 2)
    assert Root(Fraction(2)).as_rational() is None


# canonical form ----------------------------------------------------------------------------------


@given(a=expansions(old=3), b=expansions(old=3))
def test_equality_is_equality_of_matrices(a: Expansion, b: Expansion) -> None:
    assert (a == b) == (dense(a) == dense(b))
    if a == b:
        assert hash(a) == hash(b)


@given(e=expansions(kinds=KINDS))
def test_canonical_runs(e: Expansion) -> None:
    """One run a row gives the same map; neighbours never continue each other."""
    rows = list(e.rows())
    assert len(rows) == e.size
    assert Expansion(e.old, tuple(Run(r.kind, 1, r.unit, r.c) for r in rows)) == e
    for left, right in zip(e.runs, e.runs[1:], strict=False):
        follows = left.start + left.count == right.start if left.kind == "copy" else True
        assert (left.kind, left.c) != (right.kind, right.c) or not follows
    assert all(run.count > 0 for run in e.runs)


def test_what_a_kind_does_not_use_is_dropped() -> None:
    two = Root.rational(2)
    assert Expansion(3, (Run("zero", 2, 1, two),)) == Expansion(3, (Run("zero", 2),))
    assert Expansion(3, (Run("copy", 2, 1, Root(Fraction(0))),)) == Expansion(3, (Run("zero", 2),))
    assert Expansion(1, (Run("mean", 2, 0, two),)) == Expansion(1, (Run("copy", 1, 0, two),) * 2)


@pytest.mark.parametrize(
    ("runs", "message"),
    [
        ([Run("copy", 3, 2)], "copy 2:5 reads past the 4 old units"),
        ([Run("copy", 1, -1)], "copy -1 reads past the 4 old units"),
        ([Run("zero", -1)], "negative run zero x-1"),
        ([Run("zero", 3), Run("zero", -1)], "negative run zero x-1"),
    ],
)
def test_refuses(runs: list[Run], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Expansion(4, tuple(runs))


# counts and positions ----------------------------------------------------------------------------


@given(e=expansions(kinds=KINDS))
def test_counts(e: Expansion) -> None:
    copies = Counter(row.unit for row in e.rows() if row.kind == "copy")
    counts = tuple(copies[j] for j in range(e.old))
    assert e.counts == counts
    assert e.distinct_counts == set(counts)
    assert e.most_copies == max(counts)
    assert e.uniform_count == (counts[0] if len(set(counts)) == 1 else None)
    assert e.keeps_every_unit == (min(counts) > 0)
    for kind in KINDS:
        at = [i for i, row in enumerate(e.rows()) if row.kind == kind]
        assert [i for begin, end in e.positions(kind) for i in range(begin, end)] == at


@given(n=st.integers(1, 6), more=st.integers(0, 9))
def test_constructors(n: int, more: int) -> None:
    rows = [row.unit for row in Expansion.circular(n, n + more).rows()]
    assert rows == [i % n for i in range(n + more)]
    assert Expansion.of_units(n, rows) == Expansion.circular(n, n + more)
    padded = [row.kind for row in Expansion.padded(n, n + more, "zero").rows()]
    assert padded == ["copy"] * ((n + more) // n * n) + ["zero"] * ((n + more) % n)
    assert Expansion.appended(n, n + more, "free").positions("free") == (((n, n + more),) if more else ())
    assert Expansion.identity(n).is_identity == (Expansion.circular(n, n + more).is_identity or more > 0)


# maps on maps ------------------------------------------------------------------------------------


@given(e=expansions(), c=rationals())
def test_scaled(e: Expansion, c: Root) -> None:
    factor = c.as_rational()
    assert factor is not None
    assert dense(e.scaled(c)) == [[x * factor for x in row] for row in dense(e)]


@given(e=expansions(kinds=KINDS))
def test_plain_and_kinds(e: Expansion) -> None:
    assert e.plain().counts == e.counts
    assert e.plain().scales <= {ONE}
    assert e.map_kind("free", "zero").map_kind("hole", "zero").kinds <= {"copy", "mean", "zero"}
    assert e.is_plain == ("mean" not in e.kinds and e.scales <= {ONE})


# composition -------------------------------------------------------------------------------------


@st.composite
def towers(draw: st.DrawFn, height: int, cs: st.SearchStrategy[Root] | None = None) -> list[Expansion]:
    """Maps that follow each other, first first."""
    out = [draw(expansions(cs=cs))]
    for _ in range(height - 1):
        out.append(draw(expansions(old=out[-1].size, cs=cs)))
    return out


@given(maps=towers(2, roots()))
def test_composition_is_the_product(maps: list[Expansion]) -> None:
    first, second = maps
    both = second.after(first)
    if both is None:
        assert "mean" in second.kinds
    else:
        assert close(dense(both), product(dense(second), dense(first)))


@given(maps=towers(2))
def test_composition_is_closed_where_it_says(maps: list[Expansion]) -> None:
    """A mean of even copies with one scale is a mean, whatever zero and mean rows stand beside."""
    first, second = maps
    even = first.uniform_count is not None and len(first.scales) <= 1
    assert (second.after(first) is not None) >= (even or "mean" not in second.kinds)


@given(maps=towers(3))
def test_composition_is_associative(maps: list[Expansion]) -> None:
    a, b, c = maps
    inner, outer = b.after(a), c.after(b)
    if inner is not None and outer is not None:
        left, right = c.after(inner), outer.after(a)
        if left is not None and right is not None:
            assert left == right


@given(e=expansions(kinds=KINDS))
def test_identity_is_neutral(e: Expansion) -> None:
    assert Expansion.identity(e.size).after(e) == e
    if "mean" not in e.kinds or e.old > 0:
        assert e.after(Expansion.identity(e.old)) == e


@given(e=expansions(kinds=("copy", "zero", "free")), unit=st.integers(0, 20))
def test_a_copy_of_a_free_row_is_free(e: Expansion, unit: int) -> None:
    row = list(e.rows())[unit % e.size]
    both = Expansion.of_units(e.size, [unit % e.size]).after(e)
    assert both is not None
    assert [r.kind for r in both.rows()] == [row.kind]


def test_sizes_must_fit() -> None:
    with pytest.raises(ValueError, match="cannot compose 4 with 3"):
        Expansion.identity(4).after(Expansion.identity(3))


# sums and products -------------------------------------------------------------------------------


@given(a=expansions(kinds=INNER, cs=roots()), b=expansions(kinds=INNER, cs=roots()))
def test_direct_sum_and_kronecker(a: Expansion, b: Expansion) -> None:
    assert close(dense(a + b), direct_sum(dense(a), dense(b)))
    assert close(dense(a * b), kronecker(dense(a), dense(b)))


@given(a=expansions(kinds=("copy", "free", "zero")), n=st.integers(1, 4))
def test_kronecker_with_identity_blows_up_rows(a: Expansion, n: int) -> None:
    """Whole heads: every row of a becomes n rows of its kind."""
    blown = a * Expansion.identity(n)
    assert [r.kind for r in blown.rows()] == [r.kind for r in a.rows() for _ in range(n)]
    assert Expansion.identity(1) * a == a == a * Expansion.identity(1)


@given(data=st.data())
def test_composition_goes_through_sums_and_products(data: st.DataObject) -> None:
    """(b o a) (x) (d o c) = (b (x) d) o (a (x) c), and the same for sums."""
    a, c = (data.draw(expansions(kinds=INNER)) for _ in range(2))
    b, d = (data.draw(expansions(old=e.size, kinds=INNER)) for e in (a, c))
    ba, dc = b.after(a), d.after(c)
    assert ba is not None and dc is not None
    assert ba * dc == (b * d).after(a * c)
    assert ba + dc == (b + d).after(a + c)


def test_means_have_no_sum_and_no_product() -> None:
    mean = Expansion(2, (Run("copy", 2), Run("mean", 1)))
    with pytest.raises(ValueError, match="no direct sum"):
        _ = mean + Expansion.identity(2)
    with pytest.raises(ValueError, match="no Kronecker product"):
        _ = mean * Expansion.identity(2)


# left inverses -----------------------------------------------------------------------------------


@st.composite
def whole(draw: st.DrawFn, cs: st.SearchStrategy[Root]) -> Expansion:
    """A map that keeps every unit, with non-zero coefficients."""
    e = draw(expansions(cs=cs.filter(lambda c: not c.is_zero)))
    return Expansion(e.old, (*e.runs, Run("copy", e.old)))


@given(e=whole(roots()))
def test_even_shares_undo_the_map(e: Expansion) -> None:
    """D . E = I on the copies; rows that are no copies get nothing."""
    d, copies = even_inverse(e), e.map_kind("mean", "zero")
    assert close(product(transposed(dense(d)), dense(copies)), identity(e.old))
    assert close(product(transposed(dense(d)), dense(e)), identity(e.old))


@given(e=whole(st.just(ONE)))
def test_even_shares_are_even(e: Expansion) -> None:
    for row in even_inverse(e).rows():
        assert row.kind == "zero" or row.c == Root.rational(Fraction(1, e.counts[row.unit]))


def test_no_inverse_without_a_copy() -> None:
    with pytest.raises(ValueError, match="unit 2 has no copy"):
        even_inverse(Expansion(3, (Run("copy", 2), Run("mean", 1))))
    hole = Expansion(2, (Run("copy", 2), Run("hole", 1)))
    assert even_inverse(hole) == hole


def test_words() -> None:
    half = Root(Fraction(1, 2))
    e = Expansion(8, (Run("copy", 4, 2), Run("copy", 1, 7, half), Run("mean", 3), Run("free", 1)))
    assert str(e) == "[copy 2:6, copy 7*sqrt(1/2), mean x3, free x1]"
