"""Every type rule against dense float64: what it accepts is exact, what it rejects is not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from growplan.algebra import Expansion, Root, Run
from growplan.check import rules
from growplan.check.rules import Refusal
from growplan.methods.fpi import head_dim_maps
from growplan.methods.heads import head_maps
from tests.check.dense import ACTIVATIONS, attention, dense, expand, layer_norm, rms_norm

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
    return runs_of(n, ["copy", "mean", "zero"], [Root(), Root(Fraction(4)), half])


def even_map(n: int = 6) -> st.SearchStrategy[Expansion]:
    """k even copies of one scale, then rows of one kind at that scale."""
    return st.builds(
        lambda k, kind, r, c: Expansion(
            n, (Run("copy", n, 0, c),) * k + (Run(kind, r, 0, c if kind == "mean" else Root()),)
        ),
        st.integers(1, 3),
        st.sampled_from(["mean", "zero"]),
        st.integers(0, 4),
        st.sampled_from([Root(), half, Root(Fraction(9))]),
    )


def norm_input(rng: np.random.Generator, n: int, scale: float) -> np.ndarray:
    return (rng.normal(size=(5, n)) + 0.5) * scale


class TestLayerNorm:
    @given(st.one_of(any_map(), even_map()), seeds, st.sampled_from([1.0, 1e-3]))
    def test_accepted_is_exact_and_refused_is_not(self, e: Expansion, seed: int, scale: float) -> None:
        rng = np.random.default_rng(seed)
        gamma, beta, eps = rng.normal(size=6), rng.normal(size=6), 1e-5
        x = norm_input(rng, 6, scale)
        want = layer_norm(x, gamma, beta, eps)
        try:
            result = rules.layer_norm(e)
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
        result = rules.layer_norm(e)
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
            result = rules.rms_norm(e)
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
        result = rules.rms_norm(e)
        rng = np.random.default_rng(0)
        x, gamma = rng.normal(size=(4, 2)), rng.normal(size=2)
        got = rms_norm(expand(e, x, rng), dense(result.gamma) @ gamma, 1e-6 * float(result.eps_factor))
        np.testing.assert_allclose(got, rms_norm(x, gamma, 1e-6) @ dense(result.out).T, **CLOSE)


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
        rule = rules.rms_norm if "zero" in e.kinds else rules.layer_norm
        result = rule(e, rules.tied_target(e))
        gamma, beta, x, wte = (
            rng.normal(size=6),
            rng.normal(size=6),
            rng.normal(size=(4, 6)),
            rng.normal(size=(9, 6)),
        )
        new_gamma = np.nan_to_num(dense(result.gamma), nan=0.4) @ gamma
        eps = float(result.eps_factor) * 1e-5
        if rule is rules.rms_norm:
            want = rms_norm(x, gamma, 1e-5) @ wte.T
            got = rms_norm(expand(e, x, rng), new_gamma, eps)
        else:
            want = layer_norm(x, gamma, beta, 1e-5) @ wte.T
            got = layer_norm(expand(e, x, rng), new_gamma, dense(result.beta) @ beta, eps)
        np.testing.assert_allclose(got @ (wte @ dense(e).T).T, want, rtol=1e-9, atol=1e-10)


def head_map(n: int) -> st.SearchStrategy[Expansion]:
    return st.lists(st.integers(0, n - 1), max_size=4).flatmap(
        lambda extra: st.permutations([*range(n), *extra]).map(lambda units: Expansion.of_units(n, units))
    )


class TestAttention:
    @given(head_map(4), head_map(2), seeds)
    def test_groups(self, heads: Expansion, kv: Expansion, seed: int) -> None:
        """Any layout of query and kv heads: accepted ones are exact, refused ones are wrong."""
        rng, d = np.random.default_rng(seed), 3
        ident = Expansion.identity(d)
        q, k, v = rng.normal(size=(5, 4 * d)), rng.normal(size=(5, 2 * d)), rng.normal(size=(5, 2 * d))
        try:
            e = rules.attention(heads, kv, ident)
        except Refusal:
            if heads.size % kv.size == 0:
                got = attention(
                    expand(heads * ident, q, rng),
                    expand(kv * ident, k, rng),
                    expand(kv * ident, v, rng),
                    heads.size,
                    kv.size,
                )
                want = attention(q, k, v, 4, 2) @ dense(heads * ident).T
                assert np.abs(got - want).max() > 1e-6
            return
        got = attention(
            expand(heads * ident, q, rng),
            expand(kv * ident, k, rng),
            expand(kv * ident, v, rng),
            heads.size,
            kv.size,
        )
        np.testing.assert_allclose(got, attention(q, k, v, 4, 2) @ dense(e).T, **CLOSE)

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ((6, 2), (12, 2)),
            ((6, 2), (8, 2)),
            ((6, 2), (6, 6)),
            ((6, 6), (9, 9)),
            ((9, 3), (12, 3)),
            ((6, 1), (7, 1)),
            ((6, 2), (12, 4)),
            ((6, 2), (8, 4)),
            ((6, 2), (9, 3)),
            ((6, 3), (8, 4)),
        ],
    )
    @pytest.mark.parametrize("kind", ["copies", "free"])
    def test_layouts_that_methods_propose(
        self, old: tuple[int, int], new: tuple[int, int], kind: str
    ) -> None:
        unit_map = Expansion.circular if kind == "copies" else (lambda a, b: Expansion.appended(a, b, "free"))
        grow = {"heads": (old[0], new[0]), "kv_heads": (old[1], new[1])}
        maps = head_maps(grow, {"heads": old[0], "kv_heads": old[1]}, unit_map)
        heads, kv = (maps.get(a) or Expansion.identity(grow[a][0]) for a in ("heads", "kv_heads"))
        rng, d = np.random.default_rng(1), 4
        ident = Expansion.identity(d)
        e = rules.attention(heads, kv, ident)
        q, k, v = (rng.normal(size=(5, n * d)) for n in (old[0], old[1], old[1]))
        got = attention(
            expand(heads * ident, q, rng), expand(kv * ident, k, rng), expand(kv * ident, v, rng), *new
        )
        want = attention(q, k, v, *old) @ np.nan_to_num(dense(e)).T
        for start, end in e.positions("free"):
            got[:, start:end] = want[:, start:end]
        np.testing.assert_allclose(got, want, **CLOSE)

    def test_a_zero_query_head_is_no_zero(self) -> None:
        heads = Expansion.appended(2, 3, "zero")
        with pytest.raises(Refusal):
            rules.attention(heads, heads, Expansion.identity(2))
        rng = np.random.default_rng(0)
        x = rng.normal(size=(5, 4))
        v = np.concatenate([x, rng.normal(size=(5, 2))], 1)
        out = attention(np.concatenate([x, np.zeros((5, 2))], 1), v, v, 3, 3)
        assert np.abs(out[:, 4:]).max() > 1e-3


def rope(x: np.ndarray, theta: float) -> np.ndarray:
    """Rotary positions on the last axis (tokens on the first): unit p turns with p + d/2."""
    tokens, d = x.shape
    angle = np.arange(tokens)[:, None] * theta ** (-2 * np.arange(d // 2) / d)
    a, b = x[:, : d // 2], x[:, d // 2 :]
    return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], 1)


def rows_of(old: int, new: int, kinds: list[str], c: list[Root]) -> st.SearchStrategy[Expansion]:
    """Any rows at all, each on its own."""
    row = st.tuples(st.sampled_from(kinds), st.integers(0, old - 1), st.sampled_from(c))

    def build(rows: list[tuple[str, int, Root]]) -> Expansion:
        runs = (Run(k, 1, u if k == "copy" else 0, x) for k, u, x in rows)  # type: ignore[arg-type]
        return Expansion(old, tuple(runs))

    return st.lists(row, min_size=new, max_size=new).map(build)


GAIN = Root(Fraction(3, 2))  # sqrt(6 / 4)
HEAD = [maps for _, maps in head_dim_maps(4, 6)]
DUPLICATED = (
    Expansion(4, (Run("copy", 4, 0, Root(Fraction(1, 2))), Run("copy", 4, 0, Root(Fraction(1, 2))))),
    Expansion.circular(4, 8),
    Expansion(4, (Run("copy", 4), Run("zero", 4))),
)


class TestHeadDim:
    """One head of size 4: any maps of its queries, keys and values."""

    @staticmethod
    def error(q: Expansion, k: Expansion, v: Expansion, rotary: bool, seed: int) -> float:
        rng = np.random.default_rng(seed)
        x, y, z = (rng.normal(size=(5, 4)) for _ in range(3))
        wide = [expand(e, t, rng) for e, t in ((q, x), (k, y), (v, z))]
        if rotary:
            x, y = rope(x, 100.0), rope(y, 100.0)
            wide[:2] = [rope(t, 100.0 ** (q.size / 4)) for t in wide[:2]]
        want = attention(x, y, z, 1, 1) @ np.nan_to_num(dense(v)).T
        return float(np.abs(attention(*wide, 1, 1) - want).max())

    @given(
        rows_of(4, 6, ["copy", "zero"], [Root(), GAIN]),
        rows_of(4, 6, ["copy", "zero", "free"], [Root(), GAIN]),
        st.sampled_from([HEAD[0]["head_dim"], HEAD[1]["head_dim"]]),
        st.booleans(),
        seeds,
    )
    def test_any_maps(self, q: Expansion, k: Expansion, v: Expansion, rotary: bool, seed: int) -> None:
        error = self.error(q, k, v, rotary, seed)
        try:
            assert rules.head_dim(q, k, v, rotary=rotary) == v
        except Refusal:
            assert error > 1e-7
        else:
            assert error < 1e-12

    @pytest.mark.parametrize("rotary", [False, True])
    @pytest.mark.parametrize("way", [0, 1])
    def test_what_the_method_proposes(self, way: int, rotary: bool) -> None:
        maps = HEAD[way]
        q, k, v = maps["head_dim/q"], maps["head_dim/k"], maps["head_dim"]
        error = self.error(q, k, v, rotary, 1)
        if rotary and way == 0:
            with pytest.raises(Refusal, match="rotary pairs"):
                rules.head_dim(q, k, v, rotary=True)
            assert error > 1e-3
            return
        assert rules.head_dim(q, k, v, rotary=rotary) == v
        assert error < 1e-12

    def test_duplicates_share_the_score(self) -> None:
        assert rules.head_dim(*DUPLICATED, rotary=False) == DUPLICATED[2]
        assert self.error(*DUPLICATED, rotary=False, seed=2) < 1e-12

    def test_zeros_alone_change_the_softmax(self) -> None:
        e = Expansion.appended(4, 6, "zero")
        with pytest.raises(Refusal, match="scaled by sqrt"):
            rules.head_dim(e, e, e, rotary=False)
        assert self.error(e, e, e, rotary=False, seed=3) > 1e-3

    def test_scaled_values_are_refused(self) -> None:
        """The out-projection could undo the scale; nothing here asks for it."""
        maps = HEAD[0]
        with pytest.raises(Refusal, match="values"):
            rules.head_dim(
                maps["head_dim/q"], maps["head_dim/k"], maps["head_dim"].scaled(GAIN), rotary=False
            )


class TestIndexedNorm:
    def test_uneven_copies_are_approximate(self) -> None:
        e = Expansion.circular(6, 8)
        result = rules.indexed_norm(e)
        assert not result.exact
        rng = np.random.default_rng(0)
        x, gamma, beta = norm_input(rng, 6, 1.0), rng.normal(size=6), rng.normal(size=6)
        got = layer_norm(expand(e, x, rng), dense(result.gamma) @ gamma, dense(result.beta) @ beta, 1e-5)
        want = layer_norm(x, gamma, beta, 1e-5) @ dense(e).T
        assert 1e-3 < np.abs(got - want).max() < 3
