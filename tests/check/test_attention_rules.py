"""The rules of attention: groups, head sizes, rotary pairs, against dense float64."""

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
from growplan.methods.support.heads import head_maps
from tests.check.dense import attention, dense, expand

CLOSE = {"rtol": 1e-11, "atol": 1e-12}
seeds = st.integers(0, 2**31)


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

    def test_a_rotary_pair_has_one_scale(self) -> None:
        """Scores alone would allow it: a rotation mixes the two units of a pair."""
        two = Root(Fraction(4))
        q = Expansion(2, (Run("copy", 1, 0, two), Run("copy", 1, 1)))
        k = Expansion(2, (Run("copy", 1, 0, Root() / two), Run("copy", 1, 1)))
        v = Expansion.identity(2)
        assert rules.head_dim(q, k, v, rotary=False) == v
        with pytest.raises(Refusal, match="rotary pairs"):
            rules.head_dim(q, k, v, rotary=True)

    def test_an_odd_size_has_no_rotary_pairs(self) -> None:
        def maps(gain: Root) -> Expansion:
            return Expansion(
                2, (Run("copy", 1, 0, gain), Run("zero", 1), Run("copy", 1, 1, gain), Run("zero", 2))
            )

        q, plain = maps(Root(Fraction(5, 2))), maps(Root())
        assert rules.head_dim(q, plain, plain, rotary=False) == plain
        with pytest.raises(Refusal, match="rotary pairs"):
            rules.head_dim(q, plain, plain, rotary=True)
