"""Every type rule against dense float64: what it accepts is exact, what it rejects is not."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growplan.algebra import Expansion, Root, Run
from growplan.check import norms, rules
from growplan.check.rules import Refusal
from tests.check.dense import ACTIVATIONS, dense, expand, layer_norm, rms_norm

CLOSE = {"rtol": 1e-11, "atol": 1e-12}
seeds = st.integers(0, 2**31)
half = Root(Fraction(1, 2))  # 1/sqrt(2)


def runs_of(n: int, kinds: list[str], scales: list[Root]) -> st.SearchStrategy[Expansion]:
    """Maps that keep every unit once, then any rows of the given kinds."""
    tail = st.lists(
        st.tuples(st.sampled_from(kinds), st.integers(1, 3), st.integers(0, n - 1), st.sampled_from(scales)),
        max_size=5,
    )

    def build(args: tuple[Root, list[tuple[str, int, int, Root]]]) -> Expansion:
        first, rows = args
        runs = [Run("copy", n, 0, first)]
        for kind, count, start, c in rows:
            size = min(count, n - start) if kind == "copy" else count
            runs.append(Run(kind, size, start if kind == "copy" else 0, c))  # type: ignore[arg-type]
        return Expansion(n, tuple(runs))

    return st.tuples(st.sampled_from(scales), tail).map(build)


def any_map(n: int = 6) -> st.SearchStrategy[Expansion]:
    return runs_of(n, ["copy", "mean", "zero"], [Root(), Root(Fraction(4)), half, -half])


def even_map(n: int = 6) -> st.SearchStrategy[Expansion]:
    """k even copies of one scale, then rows of one kind at that scale."""
    return st.builds(
        lambda k, kind, r, c: Expansion(
            n, (Run("copy", n, 0, c),) * k + (Run(kind, r, 0, c if kind == "mean" else Root()),)
        ),
        st.integers(1, 3),
        st.sampled_from(["mean", "zero"]),
        st.integers(0, 4),
        st.sampled_from([Root(), half, Root(Fraction(9)), -Root(Fraction(4))]),
    )


def norm_input(rng: np.random.Generator, n: int, scale: float) -> np.ndarray:
    return (rng.normal(size=(5, n)) + 0.5) * scale


class TestRoute:
    """softmax over the best k of the scores; z [experts, hidden] of one token."""

    @staticmethod
    def route(scores: np.ndarray, z: np.ndarray, k: int) -> np.ndarray:
        best = np.argsort(-scores, kind="stable")[:k]
        p = np.exp(scores[best] - scores[best].max())
        return p / p.sum() @ z[best]

    @given(st.integers(1, 4), st.integers(1, 3), st.randoms(use_true_random=False), seeds)
    def test_even_copies_are_exact(self, k: int, m: int, order: Random, seed: int) -> None:
        rng = np.random.default_rng(seed)
        units = [*range(4)] * m
        order.shuffle(units)
        experts = Expansion.of_units(4, units)
        rules.route(experts, experts, Expansion.circular(k, m * k))
        scores, z = rng.normal(size=4), rng.normal(size=(4, 3))
        got = self.route(scores[units], z[units], m * k)
        np.testing.assert_allclose(got, self.route(scores, z, k), **CLOSE)

    @given(st.lists(st.integers(0, 3), max_size=5), st.integers(1, 8), seeds)
    def test_refused_is_not_exact(self, more: list[int], wider: int, seed: int) -> None:
        """Uneven copies, or another number of active experts: some scores come out otherwise."""
        rng, units = np.random.default_rng(seed), [0, 1, 2, 3, *more]
        experts = Expansion.of_units(4, units)
        wider = max(2, min(wider, len(units)))
        try:
            rules.route(experts, experts, Expansion.circular(2, wider))
        except Refusal:
            z = rng.normal(size=(4, 3))
            tries = [rng.normal(size=4) for _ in range(40)]
            off = [np.abs(self.route(s[units], z[units], wider) - self.route(s, z, 2)).max() for s in tries]
            assert max(off) > 1e-6

    def test_refused(self) -> None:
        same = Expansion.identity(4)
        for scores, experts, active in (
            (Expansion.circular(4, 8), same, Expansion.identity(2)),  # scores of experts there are not
            (Expansion.appended(4, 8, "zero"), Expansion.appended(4, 8, "zero"), Expansion.circular(2, 4)),
            (Expansion.appended(4, 6, "free"), Expansion.appended(4, 6, "free"), Expansion.identity(2)),
            (same.scaled(half), same.scaled(half), Expansion.identity(2)),
        ):
            with pytest.raises(Refusal):
                rules.route(scores, experts, active)


class TestLayerNorm:
    @given(st.one_of(any_map(), even_map()), seeds, st.sampled_from([1.0, 1e-3]))
    def test_accepted_is_exact_and_refused_is_not(self, e: Expansion, seed: int, scale: float) -> None:
        rng = np.random.default_rng(seed)
        gamma, beta, eps = rng.normal(size=6), rng.normal(size=6), 1e-5
        x = norm_input(rng, 6, scale)
        want = layer_norm(x, gamma, beta, eps)
        try:
            result = norms.layer_norm(e)
        except Refusal:
            assert not self._some_gamma_works(e, x, want, eps)
            return
        new_gamma = np.nan_to_num(dense(result.gamma), nan=1.7).dot(gamma)
        got = layer_norm(
            expand(e, x, rng), new_gamma, dense(result.beta) @ beta, eps * float(result.eps_factor)
        )
        np.testing.assert_allclose(got, want @ dense(result.out).T, **CLOSE)

    @staticmethod
    def _some_gamma_works(e: Expansion, x: np.ndarray, want: np.ndarray, eps: float) -> bool:
        """Whether an affine per output unit maps the widened norm to copies of the old one."""
        rng = np.random.default_rng(0)
        wide = layer_norm(expand(e, x, rng), np.ones(e.size), np.zeros(e.size), eps)
        for i, row in enumerate(e.rows()):
            if row.kind != "copy":
                continue
            design = np.stack([wide[:, i], np.ones(len(x))], 1)
            fit, *_ = np.linalg.lstsq(design, want[:, row.unit], rcond=None)
            if not np.allclose(design @ fit, want[:, row.unit], rtol=1e-9, atol=1e-9):
                return False
        return e.uniform_count is not None and len(e.scales) == 1 and not e.kinds & {"zero"}

    def test_epsilon_shows_at_small_inputs(self) -> None:
        """The factor on epsilon is needed: without it a small input is off."""
        e = Expansion.padded(6, 8, "mean")
        rng = np.random.default_rng(3)
        x = norm_input(rng, 6, 1e-3)
        result = norms.layer_norm(e)
        gamma = np.nan_to_num(dense(result.gamma)) @ np.ones(6)
        want = layer_norm(x, np.ones(6), np.zeros(6), 1e-5) @ dense(result.out).T
        kept = layer_norm(expand(e, x, rng), gamma, np.zeros(8), 1e-5)
        assert np.abs(kept - want).max() > 1e-2
        assert result.eps_factor == Fraction(6, 8)


class TestRmsNorm:
    @given(st.one_of(any_map(), even_map()), seeds, st.sampled_from([1.0, 1e-3]))
    def test_accepted_is_exact_and_refused_is_not(self, e: Expansion, seed: int, scale: float) -> None:
        rng = np.random.default_rng(seed)
        gamma, eps = rng.normal(size=6), 1e-6
        x = norm_input(rng, 6, scale)
        try:
            result = norms.rms_norm(e)
        except Refusal:
            wide = (expand(e, x, rng) ** 2).mean(-1) / (x**2).mean(-1)
            assert np.ptp(wide) > 1e-9, "the energy ratio depends on the input"
            return
        got = rms_norm(
            expand(e, x, rng),
            np.nan_to_num(dense(result.gamma), nan=0.3) @ gamma,
            eps * float(result.eps_factor),
        )
        np.testing.assert_allclose(got, rms_norm(x, gamma, eps) @ dense(result.out).T, **CLOSE)

    def test_uneven_scaled_copies_of_equal_energy(self) -> None:
        """One unit once at 1, another twice at 1/sqrt(2): E^T E = I."""
        e = Expansion(2, (Run("copy", 1, 0), Run("copy", 1, 1, half), Run("copy", 1, 1, half)))
        result = norms.rms_norm(e)
        rng = np.random.default_rng(0)
        x, gamma = rng.normal(size=(4, 2)), rng.normal(size=2)
        got = rms_norm(expand(e, x, rng), dense(result.gamma) @ gamma, 1e-6 * float(result.eps_factor))
        np.testing.assert_allclose(got, rms_norm(x, gamma, 1e-6) @ dense(result.out).T, **CLOSE)


@pytest.mark.parametrize("norm", [norms.layer_norm, norms.rms_norm])
def test_units_of_any_value_are_refused(norm: Callable[[Expansion], norms.NormResult]) -> None:
    """A norm reads the whole stream: what a free unit holds moves every other one."""
    e = Expansion.appended(6, 8, "free")
    with pytest.raises(Refusal, match="any value"):
        norm(e)
    x = norm_input(np.random.default_rng(0), 6, 1.0)
    oracle = layer_norm if norm is norms.layer_norm else (lambda x, g, b, eps: rms_norm(x, g, eps))
    a, b = (
        oracle(expand(e, x, np.random.default_rng(s)), np.ones(8), np.zeros(8), 1e-5)[:, :6] for s in (1, 2)
    )
    assert np.abs(a - b).max() > 1e-3


class TestPointwise:
    @given(any_map(), seeds, st.sampled_from(["gelu", "silu", "tanh", "relu"]))
    def test_activation(self, e: Expansion, seed: int, name: str) -> None:
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(40, 6))
        f = ACTIVATIONS[name]
        error = np.abs(f(expand(e, x, rng)) - f(x) @ dense(e).T).max()
        try:
            assert rules.activation(e, name) == e
        except Refusal:
            assert error > 1e-6
        else:
            assert error < 1e-12

    @given(any_map(), any_map(), seeds)
    def test_residual_sum(self, a: Expansion, b: Expansion, seed: int) -> None:
        rng = np.random.default_rng(seed)
        try:
            e = rules.add(a, b)
        except Refusal:
            assert a.size != b.size or not np.array_equal(dense(a), dense(b))
            return
        x, y = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
        np.testing.assert_allclose(x @ dense(a).T + y @ dense(b).T, (x + y) @ dense(e).T, **CLOSE)

    @given(any_map(), any_map(), seeds)
    def test_gated_product(self, gate: Expansion, up: Expansion, seed: int) -> None:
        rng = np.random.default_rng(seed)
        g, u = rng.normal(size=(20, 6)), rng.normal(size=(20, 6))
        try:
            e = rules.product(gate, up)
        except Refusal as refusal:
            if gate.size == up.size and "gradient" not in refusal.found:
                got = (g @ dense(gate).T) * (u @ dense(up).T)
                assert not self._is_map_of(g * u, got), "an exact product was refused"
            return
        np.testing.assert_allclose((g @ dense(gate).T) * (u @ dense(up).T), (g * u) @ dense(e).T, **CLOSE)

    @staticmethod
    def _is_map_of(product: np.ndarray, got: np.ndarray) -> bool:
        """Whether every unit of `got` is a multiple of one unit of `product`, or zero."""
        ratios = got[:, :, None] / product[:, None, :]
        return bool((np.ptp(ratios, axis=0) < 1e-9).any(-1).all())

    def test_two_zero_factors_are_refused_for_their_gradient(self) -> None:
        e = Expansion.appended(4, 6, "zero")
        with pytest.raises(Refusal, match="gradient"):
            rules.product(e, e)


class TestLinear:
    @given(any_map(), any_map(), seeds)
    def test_law(self, e_in: Expansion, e_out: Expansion, seed: int) -> None:
        """W* = E_out W D + N with D E_in = I, N E_in = 0 meets W* E_in = E_out W."""
        rng = np.random.default_rng(seed)
        rules.linear(e_in)
        w, x = rng.normal(size=(6, 6)), rng.normal(size=(3, 6))
        d = np.zeros((6, e_in.size))
        for i, row in enumerate(e_in.rows()):
            if row.kind == "copy":
                d[row.unit, i] = 1 / e_in.counts[row.unit] / float(row.c)
        null = np.zeros((e_out.size, e_in.size))
        for start, end in e_in.positions("zero"):
            null[:, start:end] = rng.normal(size=(e_out.size, end - start))
        grown = dense(e_out) @ w @ d + null
        np.testing.assert_allclose(expand(e_in, x, rng) @ grown.T, x @ w.T @ dense(e_out).T, **CLOSE)

    def test_a_lost_unit_has_no_left_inverse(self) -> None:
        e = Expansion(3, (Run("copy", 2), Run("zero", 2)))
        with pytest.raises(Refusal, match="unit 2"):
            rules.linear(e)
        assert np.linalg.matrix_rank(dense(e)) < 3


class TestTiedHead:
    @given(st.one_of(any_map(), even_map()), seeds)
    def test_target_is_a_left_inverse(self, e: Expansion, seed: int) -> None:
        target = rules.tied_target(e)
        np.testing.assert_allclose(dense(e).T @ dense(target), np.eye(6), atol=1e-12)

    @given(even_map(), seeds)
    def test_norm_meets_the_target(self, e: Expansion, seed: int) -> None:
        rng = np.random.default_rng(seed)
        rule = norms.rms_norm if "zero" in e.kinds else norms.layer_norm
        result = rule(e, rules.tied_target(e))
        gamma, beta, x, wte = (
            rng.normal(size=6),
            rng.normal(size=6),
            rng.normal(size=(4, 6)),
            rng.normal(size=(9, 6)),
        )
        new_gamma = np.nan_to_num(dense(result.gamma), nan=0.4) @ gamma
        eps = float(result.eps_factor) * 1e-5
        if rule is norms.rms_norm:
            want = rms_norm(x, gamma, 1e-5) @ wte.T
            got = rms_norm(expand(e, x, rng), new_gamma, eps)
        else:
            want = layer_norm(x, gamma, beta, 1e-5) @ wte.T
            got = layer_norm(expand(e, x, rng), new_gamma, dense(result.beta) @ beta, eps)
        np.testing.assert_allclose(got @ (wte @ dense(e).T).T, want, rtol=1e-9, atol=1e-10)


class TestIndexedNorm:
    def test_uneven_copies_are_approximate(self) -> None:
        e = Expansion.circular(6, 8)
        result = norms.indexed_norm(e)
        assert not result.exact
        rng = np.random.default_rng(0)
        x, gamma, beta = norm_input(rng, 6, 1.0), rng.normal(size=6), rng.normal(size=6)
        got = layer_norm(expand(e, x, rng), dense(result.gamma) @ gamma, dense(result.beta) @ beta, 1e-5)
        want = layer_norm(x, gamma, beta, 1e-5) @ dense(e).T
        assert 1e-3 < np.abs(got - want).max() < 3
