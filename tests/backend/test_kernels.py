"""Every kernel against dense float64 matrices; blocks of rows against the whole tensor."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from growplan.algebra import Expansion, Root, Run
from growplan.backend import philox
from growplan.backend.dtypes import UNIT_ROUNDOFF, torch_dtype
from growplan.backend.kernels import KERNELS
from growplan.ir.primitives import (
    PRIMITIVES,
    AddLeaf,
    AddNull,
    CopyLayer,
    CopyTensor,
    DuplicateRow,
    Fill,
    Fresh,
    FromLeaf,
    Graft,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Primitive,
    Resample,
    RescaleNorm,
    Scale,
    SplitColumn,
    Store,
    ZeroOut,
)
from tests.backend.dense import block, copy_maps, held, matrix, random

DTYPES = ["F64", "F32", "BF16", "F16"]


def run(op: Primitive, inputs: Sequence[Tensor], shape: tuple[int, ...], dtype: str = "F64") -> Tensor:
    return KERNELS[type(op)](op, held(*inputs, dtype=dtype), block(shape, dtype))


def test_every_primitive_has_a_kernel() -> None:
    assert set(KERNELS) == set(PRIMITIVES)


@pytest.mark.parametrize(
    "op", [Load("t"), CopyLayer(0, 1), CopyTensor("a", "t"), Store("t"), Leaf("t", (3, 4), "F64")]
)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_only_moves_a_tensor_keeps_its_bits(op: Primitive, dtype: str) -> None:
    x = random((3, 4), dtype)
    assert torch.equal(run(op, [x], (3, 4), dtype).to(x.dtype), x)


def test_store_rounds_to_the_stored_dtype() -> None:
    out = run(Store("t"), [torch.tensor([1 + 2**-8, 1 + 3 * 2**-8])], (2,), "BF16")
    assert out.dtype == torch.bfloat16 and out.tolist() == [1.0, 1 + 2**-6]  # ties to even


@given(copy_maps(), st.integers(0, 1))
def test_duplicate_row_is_a_product_with_e(e: Expansion, dim: int) -> None:
    x = random((e.old, 3) if dim == 0 else (3, e.old))
    shape = (e.size, 3) if dim == 0 else (3, e.size)
    y = run(DuplicateRow(dim, e), [x], shape)
    expected = matrix(e) @ x if dim == 0 else x @ matrix(e).T
    holes = torch.tensor([row.kind == "hole" for row in e.rows()])
    assert y.select(dim, int(holes.int().argmax())).isnan().all() if holes.any() else True
    kept = (~holes).nonzero().flatten()
    torch.testing.assert_close(y.index_select(dim, kept), expected.index_select(dim, kept))


@given(copy_maps(), st.integers(0, 1), st.sampled_from(["even", "uneven", "first"]))
def test_split_column_is_a_left_inverse(e: Expansion, dim: int, shares: str) -> None:
    w = random((3, e.old) if dim == 1 else (e.old, 3))
    shape = (3, e.size) if dim == 1 else (e.size, 3)
    y = run(SplitColumn(dim, e, shares, "key"), [w], shape).nan_to_num(0)
    back = y @ matrix(e) if dim == 1 else matrix(e).T @ y
    torch.testing.assert_close(back, w)


@given(copy_maps(), copy_maps(scaled=False), st.integers(0, 1))
def test_own_shares_add_up_in_every_row(e: Expansion, rows: Expansion, dim: int) -> None:
    """Each copy reads one copy, rows that are alone all of them; both ways give back the unit."""
    w = random((rows.size, e.old) if dim == 1 else (e.old, rows.size))
    shape = (rows.size, e.size) if dim == 1 else (e.size, rows.size)
    y = run(SplitColumn(dim, e, "own", rows=rows), [w], shape).nan_to_num(0)
    y, w = (y, w) if dim == 1 else (y.T, w.T)
    torch.testing.assert_close(y @ matrix(e), w)
    for i, row in enumerate(rows.rows()):
        alone = row.kind != "copy" or rows.counts[row.unit] == 1
        for unit in range(e.old):
            copies = [j for j, r in enumerate(e.rows()) if r.kind == "copy" and r.unit == unit]
            wanted = len(copies) if alone else 1
            assert int((y[i, copies] != 0).sum()) == wanted


def test_own_shares_of_a_doubling_are_block_diagonal() -> None:
    w, e = random((3, 4)), Expansion.circular(4, 8)
    y = run(SplitColumn(1, e, "own", rows=Expansion.circular(3, 6)), [torch.cat([w, w])], (6, 8))
    assert torch.equal(y, torch.block_diag(w, w))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dim", [0, 1])
@given(copy_maps(scaled=False), st.integers(0, 9))
@settings(max_examples=25)
def test_uneven_shares_sum_exactly(dtype: str, dim: int, e: Expansion, seed: int) -> None:
    """In Fractions: the stored shares of every element add up to it; the last is at least half."""
    w = random((5, e.old) if dim == 1 else (e.old, 5), dtype, seed)
    shape = (5, e.size) if dim == 1 else (e.size, 5)
    y = run(SplitColumn(dim, e, "uneven", f"key{seed}"), [w], shape, dtype)
    stored = y.to(torch_dtype(dtype))
    assert torch.equal(stored.to(y.dtype).nan_to_num(9), y.nan_to_num(9)), "stored without rounding"
    table, old = (stored, w) if dim == 1 else (stored.T, w.T)
    units = [row.unit if row.kind == "copy" else -1 for row in e.rows()]
    for r in range(5):
        for j in range(e.old):
            parts = [float(table[r, i]) for i, unit in enumerate(units) if unit == j]
            assert sum(map(Fraction, parts)) == Fraction(float(old[r, j]))
            assert all(part * float(old[r, j]) >= 0 for part in parts)
            if len(parts) > 1:
                assert 2 * abs(parts[-1]) >= abs(float(old[r, j]))


@pytest.mark.parametrize("dtype", ["BF16", "F16", "F32"])
def test_uneven_shares_of_subnormal_numbers(dtype: str) -> None:
    tiny = torch.finfo(torch_dtype(dtype)).smallest_normal * torch.tensor([[0.0, 0.03, -0.5, 1.0]])
    w = tiny.to(torch_dtype(dtype))
    y = run(SplitColumn(1, Expansion.circular(4, 12), "uneven", "k"), [w], (1, 12), dtype)
    stored = y.to(torch_dtype(dtype)).tolist()[0]
    for j in range(4):
        assert sum(map(Fraction, stored[j::4])) == Fraction(float(w[0, j]))


def test_shares_follow_the_published_draw() -> None:
    """The last copy takes fl(s x) with s from its own element, the first what is left."""
    w = random((2, 3), "F32")
    y = run(SplitColumn(1, Expansion.circular(3, 6), "uneven", "k"), [w], (2, 6), "F32")
    s = philox.upper_half(philox.words(philox.key_of("k"), 0, 12)).view(2, 6).to(torch.float32)
    assert torch.equal(y[:, 3:], s[:, 3:] * w)
    assert torch.equal(y[:, :3], w - s[:, 3:] * w)


@pytest.mark.parametrize("dim", [0, 1])
def test_ln_average(dim: int) -> None:
    x, y = random((5, 7)), random((5, 7), seed=1)
    at = ((1, 2), (4, 5))
    out = run(LnAverage(dim, at, Root.rational(3)), [y, x], (5, 7))
    expected = y.clone()
    for a, b in at:
        expected.narrow(dim, a, b - a).copy_(
            3 * x.mean(dim, keepdim=True).expand_as(expected.narrow(dim, a, b - a))
        )
    torch.testing.assert_close(out, expected)
    assert torch.equal(y, random((5, 7), seed=1)), "an operand was written to"


@pytest.mark.parametrize("op", [ZeroOut(1, ((1, 3),)), Mask(1, ((1, 3),), "ffn", 0)])
def test_zero_out_and_mask(op: Primitive) -> None:
    y = random((2, 4))
    y[0, 1] = float("nan")  # a hole
    out = run(op, [y], (2, 4))
    assert out[:, 1:3].tolist() == [[0, 0], [0, 0]] and not torch.signbit(out[:, 1:3]).any()
    assert torch.equal(out[:, [0, 3]], y[:, [0, 3]])


@pytest.mark.parametrize("shape", [(5,), (5, 4), (3, 5, 2)])
def test_graft(shape: tuple[int, ...]) -> None:
    dim, at = shape.index(5), ((0, 1), (3, 5))
    y, z = random(shape), random(shape, seed=1)
    out = run(Graft(dim, at), [y, z], shape)
    taken = torch.tensor([0, 3, 4])
    assert torch.equal(out.index_select(dim, taken), z.index_select(dim, taken))
    own = torch.tensor([1, 2])
    assert torch.equal(out.index_select(dim, own), random(shape).index_select(dim, own))
    assert torch.equal(y, random(shape)), "an operand was written to"


def test_fill() -> None:
    x = random((3, 2))
    x[0, 1] = float("inf")
    assert torch.equal(run(Fill(Root.rational(3)), [x], (3, 2)), torch.full((3, 2), 3.0, dtype=x.dtype))


@pytest.mark.parametrize("op", [Scale(Root(Fraction(2))), RescaleNorm(Root(Fraction(2)))])
def test_scales(op: Primitive) -> None:
    x = random((4,))
    torch.testing.assert_close(run(op, [x], (4,)), x * 2**0.5)


@pytest.mark.parametrize("dim", [0, 1])
def test_fresh_like_has_the_scale_of_its_model(dim: int) -> None:
    x = 3 + 0.5 * random((300, 40))
    y = torch.full((300, 40), 7.0, dtype=torch.float64)
    out = run(Fresh(dim, ((10, 30),), "like", "k"), [y, x], (300, 40))
    drawn = out.narrow(dim, 10, 20)
    n = drawn.numel() ** 0.5
    assert abs(float(drawn.mean()) - 3) < 5 * 0.5 / n and abs(float(drawn.std()) - 0.5) < 5 * 0.5 / n
    assert (out.narrow(dim, 0, 10) == 7).all() and (out.narrow(dim, 30, 10) == 7).all()


def test_fresh_depends_on_key_and_element_alone() -> None:
    x, y = random((4, 6)), torch.zeros(4, 6, dtype=torch.float64)
    rows = run(Fresh(0, ((0, 4),), "normal(0.02)", "k"), [y, x], (4, 6))
    columns = run(Fresh(1, ((0, 2), (2, 6)), "normal(0.02)", "k"), [y, x], (4, 6))
    other = run(Fresh(1, ((0, 6),), "normal(0.02)", "l"), [y, x], (4, 6))
    assert torch.equal(rows, columns) and not torch.equal(rows, other)


@pytest.mark.parametrize("dim", [0, 1])
def test_from_leaf_fills_in_order(dim: int) -> None:
    y, x, at = random((5, 7)), random((3, 7) if dim == 0 else (5, 3), seed=1), ((0, 1), (2, 4))
    out = run(FromLeaf(dim, at), [y, x], (5, 7))
    filled = [i for a, b in at for i in range(a, b)]
    assert torch.equal(out.index_select(dim, torch.tensor(filled)), x)
    kept = torch.tensor([i for i in range(y.shape[dim]) if i not in filled])
    assert torch.equal(out.index_select(dim, kept), y.index_select(dim, kept))
    assert torch.equal(y, random((5, 7))), "an operand was written to"


@given(
    copy_maps(),
    st.integers(0, 1),
    st.sampled_from(["centred", "first", "paired"]),
    st.sampled_from(["like", "like(0.5)", "normal(2)", "snr(3)"]),
)
def test_noise_is_null(e: Expansion, dim: int, pairing: str, scale: str) -> None:
    """N . E = 0, whatever y holds, and nothing changes where a unit has one copy."""
    if e.most_copies < 2:
        return
    x = random((3, e.old) if dim == 1 else (e.old, 3))
    shape = (3, e.size) if dim == 1 else (e.size, 3)
    zero = torch.zeros(shape, dtype=torch.float64)
    noise = run(AddNull(dim, e, pairing, scale, "k"), [zero, x], shape)
    table = noise if dim == 1 else noise.T
    assert float((table @ matrix(e)).abs().max()) < 1e-12
    noisy = torch.tensor([row.kind == "copy" for row in e.repeated.rows()])
    assert not table[:, ~noisy].any() and table[:, noisy].any()
    y = random(shape, seed=1)
    added = run(AddNull(dim, e, pairing, scale, "k"), [y, x], shape)
    torch.testing.assert_close(added - y, noise, atol=1e-12, rtol=0)


def test_noise_has_the_power_that_snr_says() -> None:
    """20 dB below the weights as they stand after the division, drawn or paired."""
    x, e = 3 + random((400, 50)), Expansion.circular(50, 100)
    y = run(SplitColumn(1, e, "even"), [x], (400, 100))
    for pairing, share in (("paired", 1), ("centred", 2)):  # a mean of two keeps half of the power
        noise = run(AddNull(1, e, pairing, "snr(20)", "k"), [y, x], (400, 100)) - y
        ratio = float(y.square().mean() / noise.square().mean())
        assert abs(ratio / (100 * share) - 1) < 0.05, pairing
        torch.testing.assert_close(noise[:, :50], -noise[:, 50:], atol=1e-12, rtol=0)


def test_noise_follows_the_published_draw() -> None:
    """Philox of the element; an odd last copy of a pair gets none."""
    x, e = random((2, 2)), Expansion.circular(2, 6)
    zero = torch.zeros(2, 6, dtype=torch.float64)
    z = philox.normal(philox.words(philox.key_of("k"), 0, 12)).view(2, 6)
    paired = run(AddNull(1, e, "paired", "normal(1)", "k"), [zero, x], (2, 6))
    assert torch.equal(paired[:, :2], z[:, :2]) and torch.equal(paired[:, 2:4], -z[:, :2])
    assert not paired[:, 4:].any()
    centred = run(AddNull(1, e, "centred", "normal(1)", "k"), [zero, x], (2, 6))
    mean = z.view(2, 3, 2).mean(1, keepdim=True).expand(2, 3, 2).reshape(2, 6)
    torch.testing.assert_close(centred, z - mean)
    first = run(AddNull(1, e, "first", "normal(1)", "k"), [zero, x], (2, 6))
    assert torch.equal(first[:, 2:], z[:, 2:])
    torch.testing.assert_close(first[:, :2], -z[:, 2:4] - z[:, 4:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_noisy_copies_sum_to_the_rounding_of_the_store(dtype: str) -> None:
    x, e = random((5, 4), dtype), Expansion.circular(4, 12)
    y = run(SplitColumn(1, e, "uneven", "s"), [x], (5, 12), dtype)
    y = run(AddNull(1, e, "centred", "like", "k"), [y, x], (5, 12), dtype)
    stored = y.to(torch_dtype(dtype)).to(torch.float64)
    slack = 2 * UNIT_ROUNDOFF[torch_dtype(dtype)] * stored.abs() @ matrix(e) + 1e-7 * (dtype == "F32")
    assert bool(((stored @ matrix(e) - x.to(torch.float64)).abs() <= slack).all())


TRIPLES = Expansion(3, (Run("copy", 3), Run("hole", 1), Run("copy", 2, 0, Root.rational(2)), Run("copy", 2)))
OPS: list[tuple[Primitive, list[tuple[int, ...]], tuple[int, ...]]] = [
    (
        DuplicateRow(0, Expansion(4, (Run("copy", 4), Run("hole", 1), Run("copy", 3, 1, Root.rational(2))))),
        [(4, 5)],
        (8, 5),
    ),
    (DuplicateRow(1, Expansion.circular(5, 8)), [(8, 5)], (8, 8)),
    (SplitColumn(0, Expansion.of_units(4, [2, 0, 0, 1, 3, 0, 1, 2]), "uneven", "k"), [(4, 5)], (8, 5)),
    (SplitColumn(0, Expansion.of_units(4, [2, 0, 0, 1, 3, 0, 1, 2]), "even"), [(4, 5)], (8, 5)),
    (SplitColumn(1, Expansion.of_units(3, [2, 0, 0, 1, 0]), "uneven", "k"), [(8, 3)], (8, 5)),
    (LnAverage(0, ((5, 8),), Root.rational(2)), [(8, 5), (600, 5)], (8, 5)),
    (LnAverage(1, ((3, 5),), Root.rational(2)), [(8, 5), (8, 3)], (8, 5)),
    (ZeroOut(0, ((1, 3), (6, 7))), [(8, 5)], (8, 5)),
    (Fill(Root.rational(3)), [(8, 5)], (8, 5)),
    (Mask(1, ((1, 3),), "heads", 10), [(8, 5)], (8, 5)),
    (Fresh(0, ((1, 3), (5, 8)), "like", "k"), [(8, 5), (600, 5)], (8, 5)),
    (Fresh(1, ((1, 3),), "normal(0.1)", "k"), [(8, 5), (8, 3)], (8, 5)),
    (SplitColumn(0, Expansion.circular(3, 8), "first"), [(3, 5)], (8, 5)),
    (SplitColumn(0, Expansion.circular(3, 8), "own", rows=Expansion.circular(2, 5)), [(3, 5)], (8, 5)),
    (SplitColumn(1, Expansion.circular(3, 5), "own", rows=Expansion.circular(4, 8)), [(8, 3)], (8, 5)),
    (AddNull(0, TRIPLES, "first", "like(0.1)", "k"), [(8, 5), (3, 5)], (8, 5)),
    (AddNull(0, TRIPLES, "centred", "like", "k"), [(8, 5), (3, 5)], (8, 5)),
    (AddNull(0, TRIPLES, "paired", "snr(10)", "k"), [(8, 5), (3, 5)], (8, 5)),
    (AddNull(1, Expansion.of_units(3, [2, 0, 0, 1, 0]), "centred", "snr(-2)", "k"), [(8, 5), (8, 3)], (8, 5)),
    (AddNull(1, Expansion.of_units(3, [2, 0, 0, 1, 0]), "paired", "like", "k"), [(8, 5), (8, 3)], (8, 5)),
    (Graft(0, ((1, 3), (6, 7))), [(8, 5), (8, 5)], (8, 5)),
    (Graft(1, ((1, 3), (4, 5))), [(8, 5), (8, 5)], (8, 5)),
    (Resample(0, 4, 3, 2), [(13, 5)], (8, 5)),
    (Resample(1, 1, 2, 3), [(8, 5)], (8, 10)),
    (FromLeaf(0, ((1, 3), (5, 8))), [(8, 5), (5, 5)], (8, 5)),
    (FromLeaf(1, ((0, 1), (2, 4))), [(8, 5), (8, 3)], (8, 5)),
    (Leaf("t", (8, 5), "F32"), [(8, 5)], (8, 5)),
    (AddLeaf(), [(8, 5), (8, 5)], (8, 5)),
    (Scale(Root.rational(3)), [(8, 5)], (8, 5)),
    (Store("t"), [(8, 5)], (8, 5)),
]


@pytest.mark.parametrize("dtype", ["F32", "BF16"])
@pytest.mark.parametrize("case", OPS, ids=lambda c: f"{c[0].name}-{getattr(c[0], 'dim', '')}")
def test_any_rows_have_the_bits_of_the_whole(
    case: tuple[Primitive, list[tuple[int, ...]], tuple[int, ...]], dtype: str
) -> None:
    op, shapes, shape = case
    inputs = held(*(random(s, dtype, i) for i, s in enumerate(shapes)), dtype=dtype)
    kernel = KERNELS[type(op)]
    whole = kernel(op, inputs, block(shape, dtype))
    for rows in (
        range(3),
        range(3, 8),
        range(7, 8),
        range(2, 2),
        torch.tensor([6, 1, 1, 4]),
        torch.tensor([], dtype=torch.int64),
    ):
        part = kernel(op, inputs, block(shape, dtype, rows))
        index = torch.arange(rows.start, rows.stop) if isinstance(rows, range) else rows
        assert part.dtype == whole.dtype
        assert part.nan_to_num(7).tolist() == whole[index].nan_to_num(7).tolist()


def test_threads_do_not_change_a_bit() -> None:
    x = random((700, 301), "F32")
    grow = Expansion.circular(301, 700)
    outs = []
    threads = torch.get_num_threads()
    try:
        for n in (1, 2, 5):
            torch.set_num_threads(n)
            split = run(SplitColumn(1, grow, "uneven", "k"), [x], (700, 700), "F32")
            mean = run(LnAverage(0, ((0, 9),), Root()), [split, split], (700, 700), "F32")
            mean = run(LnAverage(1, ((0, 9),), Root()), [mean, x], (700, 700), "F32")
            outs.append(run(Fresh(0, ((600, 700),), "like", "k"), [mean, x], (700, 700), "F32"))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(outs[0], outs[1]) and torch.equal(outs[0], outs[2])


def test_convolution_kernels_and_biases() -> None:
    w = random((4, 3, 2, 2), "F32")
    grow = Expansion.circular(3, 5)
    y = run(SplitColumn(1, grow, "uneven", "k"), [w], (4, 5, 2, 2), "F32")
    torch.testing.assert_close(torch.einsum("oiab,ij->ojab", y.double(), matrix(grow)), w.double())
    y = run(Fresh(1, ((3, 5),), "like", "k"), [y, w], (4, 5, 2, 2), "F32")
    y = run(LnAverage(1, ((0, 1),), Root()), [y, w], (4, 5, 2, 2), "F32")
    torch.testing.assert_close(y[:, 0], w.mean(1))
    y = run(AddNull(1, grow, "centred", "like", "k"), [torch.zeros(4, 5, 2, 2), w], (4, 5, 2, 2), "F32")
    assert float(torch.einsum("oiab,ij->ojab", y.double(), matrix(grow)).abs().max()) < 1e-6 and y.any()
    bias = run(Fresh(0, ((2, 4),), "like", "k"), [torch.zeros(4), random((2,), "F32")], (4,), "F32")
    assert bias[:2].tolist() == [0, 0] and (bias[2:] != 0).all()


@pytest.mark.parametrize("init", ["uniform", "normal(", ""])
def test_an_unknown_init_is_refused(init: str) -> None:
    with pytest.raises(ValueError, match="init is"):
        run(Fresh(0, ((0, 1),), init, "k"), [torch.zeros(2), torch.zeros(2)], (2,))


def test_unknown_noise_is_refused() -> None:
    e = Expansion.circular(2, 4)
    for op in (AddNull(0, e, "both", "like", "k"), AddNull(0, e, "paired", "loud", "k")):
        with pytest.raises(ValueError, match=r"noise is|scale is"):
            run(op, [torch.zeros(4), torch.zeros(2)], (4,))


def test_unknown_shares_are_refused() -> None:
    with pytest.raises(ValueError, match="even, uneven, first or own"):
        run(SplitColumn(0, Expansion.identity(2), "odd"), [torch.zeros(2)], (2,))
