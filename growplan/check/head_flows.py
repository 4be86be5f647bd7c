"""Flows of gradients through attention: from its output to queries, keys and values, head by head."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.check.flows import NORMED, ZERO, Flow, cut, estimate, norm, unknown
from growplan.check.rules import aligned


def attention(
    heads: Expansion, kv_heads: Expansion, dims: tuple[Expansion, Expansion, Expansion], out: Flow
) -> tuple[Flow, Flow, Flow]:
    """The flows at queries, keys and values of whole heads, from the one at the output.

    A head that gets the part b of the gradient passes b on to its values and to its scores. Queries
    get the scores' times the keys (c_k sqrt(dh/dh*) of the old), keys the sum over the queries of
    their group. A free head is read by columns of zeros, so that it passes nothing on.
    """
    maps = (heads * dims[0], kv_heads * dims[1], kv_heads * dims[2])
    try:
        if not out.exact:
            raise _Open(out.why)
        parts = _Heads(heads, kv_heads, dims, out.map)
        found = (parts.queries(), parts.keys(), parts.values())
    except _Open as open_:
        return tuple(estimate(e, open_.why) for e in maps)  # type: ignore[return-value]
    return tuple(Flow(unknown(b, e)) for b, e in zip(found, maps, strict=True))  # type: ignore[return-value]


class _Open(Exception):
    """Why the flow through an attention is open."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


HEADS = "the copies of a head get unlike parts of the gradient from one unit to the next"


class _Heads:
    """The part of the gradient that each head gets, row by row."""

    def __init__(
        self,
        heads: Expansion,
        kv_heads: Expansion,
        dims: tuple[Expansion, Expansion, Expansion],
        out: Expansion,
    ) -> None:
        self.heads, self.kv = list(heads.rows()), list(kv_heads.rows())
        self.q, self.k, self.v = (list(e.rows()) for e in dims)
        self.old_heads, self.old_kv, self.old_dim = heads.old, kv_heads.old, dims[0].old
        self.group = len(self.heads) // len(self.kv)
        self.old_group = heads.old // kv_heads.old
        self.scale = Root(Fraction(dims[0].old, dims[0].size))
        rows, size = list(out.rows()), len(self.v)
        self.parts = [
            [_coefficient(row.kind, row.c) for row in rows[i * size : (i + 1) * size]]
            for i in range(len(self.heads))
        ]
        self.scores = [self._score(i) for i in range(len(self.heads))]

    def _score(self, i: int) -> Root:
        """The part of the scores' gradient that head i gets: the same from every unit of its values."""
        totals: dict[int, Root] = {}
        for part, row in zip(self.parts[i], self.v, strict=True):
            if row.kind == "copy" and self.heads[i].kind == "copy":
                totals[row.unit] = _plus(totals.get(row.unit, ZERO), part)
        return _same(totals.values())

    def queries(self) -> Expansion:
        runs: list[Run] = []
        for i, head in enumerate(self.heads):
            for q, k in zip(self.q, self.k, strict=True):
                c = self.scores[i] * k.c * self.scale if k.kind == "copy" else ZERO
                runs.append(_row(head.kind == q.kind == "copy", head.unit * self.old_dim + q.unit, c))
        return Expansion(self.old_heads * self.old_dim, tuple(runs))

    def keys(self) -> Expansion:
        runs: list[Run] = []
        for j, kv in enumerate(self.kv):
            total = self._of_group(j, self.scores)
            for q, k in zip(self.q, self.k, strict=True):
                c = total * q.c * self.scale if q.kind == "copy" else ZERO
                runs.append(_row(kv.kind == k.kind == "copy", kv.unit * self.old_dim + k.unit, c))
        return Expansion(self.old_kv * self.old_dim, tuple(runs))

    def values(self) -> Expansion:
        runs: list[Run] = []
        for j, kv in enumerate(self.kv):
            for d, v in enumerate(self.v):
                c = self._of_group(j, [parts[d] for parts in self.parts])
                runs.append(_row(kv.kind == v.kind == "copy", kv.unit * self.old_dim + v.unit, c))
        return Expansion(self.old_kv * self.old_dim, tuple(runs))

    def _of_group(self, j: int, parts: Sequence[Root]) -> Root:
        """What new kv head j gets: for each old query head of its own, its copies here together."""
        if self.kv[j].kind != "copy":
            return ZERO
        first = self.kv[j].unit * self.old_group
        totals = dict.fromkeys(range(first, first + self.old_group), ZERO)
        for i in range(j * self.group, (j + 1) * self.group):
            if self.heads[i].kind == "copy":
                totals[self.heads[i].unit] = _plus(totals[self.heads[i].unit], parts[i])
        return _same(totals.values())


def _coefficient(kind: str, c: Root) -> Root:
    return c if kind == "copy" else ZERO


def _row(copy: bool, unit: int, c: Root) -> Run:
    return Run("copy", 1, unit, c) if copy else Run("hole", 1)


def _plus(a: Root, b: Root) -> Root:
    total = a.plus(b)
    if total is None:
        raise _Open(HEADS)
    return total


def _same(totals: Iterable[Root]) -> Root:
    found = set(totals) or {ONE}
    if len(found) != 1:
        raise _Open(HEADS)
    return found.pop()


def each_head(heads: Expansion, e_in: Expansion, e_out: Expansion, out: Flow) -> Flow:
    """A norm over each head by itself, E_in to E_out: what a head gets, even over its units, passes on."""
    if not out.exact:
        return estimate(heads * e_in, out.why)
    even = estimate(e_out, "").map
    inner = norm(e_in, e_out, False, Flow(even)).map
    runs: list[Run] = []
    for i, head in enumerate(heads.rows()):
        if head.kind != "copy":
            runs.append(Run("hole", e_in.size))
            continue
        own = cut(out.map, i * e_out.size, (i + 1) * e_out.size, head.unit * e_out.old, e_out.old)
        parts = {_part(b, c) for b, c in aligned(own, even) if c.kind == "copy"}
        if len(parts) != 1 or None in parts:
            return estimate(heads * e_in, NORMED)
        (part,) = parts
        assert part is not None
        at = head.unit * e_in.old
        runs += [
            Run(r.kind, r.count, r.start + at if r.kind == "copy" else 0, r.c * part) for r in inner.runs
        ]
    e = heads * e_in
    return Flow(unknown(Expansion(e.old, tuple(runs)), e))


def _moved(run: Run, at: int, part: Root) -> Run:
    """A run of one head among all, times what the head gets."""
    return Run(run.kind, run.count, run.start + at if run.kind == "copy" else 0, run.c * part)


def _part(b: Run, even: Run) -> Root | None:
    """What a unit gets of its even part; None where that is not known."""
    return None if b.kind == "hole" else ZERO if b.kind == "zero" else b.c / even.c
