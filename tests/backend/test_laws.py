"""Laws are measured in units of their own rounding: what is right passes, small faults do not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from growplan.algebra import Expansion, Root, Run
from growplan.backend.evaluate import ModelView
from growplan.backend.laws import LawError, Sides, measure_laws
from growplan.backend.maps import apply, determined, magnitude
from growplan.ir.graph import Graph, Step, TensorLaw
from growplan.ir.primitives import Store
from tests.backend.dense import copy_maps, matrix, random
from tests.backend.graphs import Builder, memory


def law_error(old: Tensor, new: Tensor, rows: Expansion, cols: Expansion | None) -> LawError:
    """The measured law of a graph whose model 1 simply is `new`."""
    b = Builder({"old": old, "new": new})
    graph: Graph = b.graph
    graph.models = [{"w": "old@0"}, {"w": "new@0"}]
    law = TensorLaw("w", "w", rows, cols, 0, None if cols is None else 1)
    step = Step(1, "s", "s", "exact", "t:1:1", laws=(law,))
    views = [ModelView(graph, k, memory({"old": old, "new": new})) for k in (0, 1)]
    sides = OneTensor(None, None, *views, torch.Generator().manual_seed(0))  # type: ignore[arg-type]
    (error,) = measure_laws(step, sides)
    return error


class OneTensor(Sides):
    layers = {"w": None}  # noqa: RUF012


WIDE = Expansion(40, (Run("copy", 40), Run("copy", 24), Run("free", 6)))
ROWS = Expansion(30, (Run("copy", 30, 0, Root.rational(3)), Run("mean", 5), Run("zero", 3), Run("free", 2)))


def grown(old: Tensor, dtype: torch.dtype) -> Tensor:
    """E_out W D + N by dense matrices, rounded once; free rows are noise."""
    d = torch.zeros(40, 70, dtype=torch.float64)
    for i, row in enumerate(WIDE.rows()):
        if row.kind == "copy":
            d[row.unit, i] = 1 / WIDE.counts[row.unit]
    new = matrix(ROWS) @ old.double() @ d
    new[38:] = random((2, 70), seed=9)
    new[:, 64:] = 0
    return new.to(dtype)


@pytest.mark.parametrize("dtype", ["F64", "F32"])
@pytest.mark.parametrize("seed", range(5))
def test_rounding_is_within_the_tolerance(dtype: str, seed: int) -> None:
    old = random((30, 40), dtype, seed)
    error = law_error(old, grown(old, old.dtype), ROWS, WIDE)
    assert error.holds and error.error > 0


FAULTS: dict[str, Callable[[Tensor], None]] = {
    "one element, relatively 1e-4": lambda w: w[3, 5].mul_(1 + 1e-4),
    "a column that reads a free unit": lambda w: w[4, 66].fill_(1e-4),
    "the sign of a row": lambda w: w[7].neg_(),
    "two rows swapped": lambda w: w.copy_(w[[1, 0, *range(2, 40)]]),
    "a row that should be zero": lambda w: w[36].fill_(1e-9),
    "a mean row that is a copy": lambda w: w[30].copy_(w[0]),
    "a hole": lambda w: w[1, 1].fill_(float("nan")),
    "a hole in a free row": lambda w: w[39, 0].fill_(float("nan")),
    "infinity": lambda w: w[2, 2].fill_(float("inf")),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("dtype", ["F64", "F32"])
def test_small_faults_are_not(fault: str, dtype: str) -> None:
    old = random((30, 40), dtype)
    new = grown(old, old.dtype)
    FAULTS[fault](new)
    assert not law_error(old, new, ROWS, WIDE).holds


def test_free_rows_may_hold_anything() -> None:
    old = random((30, 40), "F32")
    new = grown(old, old.dtype)
    new[38:] = 1e6
    assert law_error(old, new, ROWS, WIDE).holds


def test_vectors() -> None:
    old = random((30,), "F32")
    new = apply(ROWS, old.double()).float()
    assert law_error(old, new, ROWS, None).holds
    new[4] *= 1 + 1e-5
    assert not law_error(old, new, ROWS, None).holds


def test_an_infinity_that_the_source_has_is_not_the_steps_fault() -> None:
    old = random((4,), "F32")
    old[0] = float("inf")
    identity = Expansion.identity(4)
    assert law_error(old, old, identity, None).error == float("inf")  # inf - inf says nothing
    spread = Expansion(4, (Run("free", 1), Run("copy", 3, 1)))
    assert law_error(old, old, spread, None).holds


@given(copy_maps(holes=False), st.integers(0, 5))
@settings(max_examples=40)
def test_apply_is_a_product_with_e(e: Expansion, extra: int) -> None:
    e = Expansion(
        e.old, (*e.runs, Run("mean", extra, 0, Root.rational(2)), Run("zero", extra), Run("free", extra))
    )
    x, noise = random((3, e.old)), random((3, e.size), seed=1)
    y = apply(e, x, free=noise)
    keep = determined(e)
    torch.testing.assert_close(y[:, keep], (x @ matrix(e).T)[:, keep])
    assert torch.equal(y[:, ~keep], noise[:, ~keep])
    torch.testing.assert_close(apply(magnitude(e), x.abs()), x.abs() @ matrix(e).abs().T)


def test_an_expansion_with_holes_has_no_values() -> None:
    with pytest.raises(ValueError, match="holes"):
        apply(Expansion.appended(3, 4, "hole"), random((3,)))


def test_store_takes_no_part_in_laws() -> None:
    """Half precision is asserted before the store rounds."""
    old = random((6, 4), "BF16")
    b = Builder({"w": old})
    b.step()
    graph = b.finish()
    view = ModelView(graph, 1, memory({"w": old}))
    assert view.get("w").dtype == torch.float32
    assert isinstance(graph.nodes[graph.stores["w"]].op, Store)
