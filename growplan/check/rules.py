"""The type rules: one function per kind of operation.

A rule takes the expansions of its inputs and gives the expansion of its output together with
what its parameters must become, or a `Refusal` saying why there is none. Every rule is a
statement about exact reals; `tests/check/test_rules.py` proves each against dense matrices.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction

from growplan.algebra import ONE, Expansion, Root, Run

ZERO = Root(Fraction(0))


class Refusal(Exception):
    """Why an operation cannot take these inputs: what it needs, what it found, where."""

    def __init__(self, needs: str, found: str, module: str = "") -> None:
        self.needs, self.found, self.module = needs, found, module
        super().__init__(f"needs {needs}; found {found}")


def linear(e_in: Expansion, module: str = "") -> None:
    """Linear, embedding: any input with a left inverse on copies. W* = E_out W D + N.

    Free inputs meet zero columns, zero and mean inputs carry no share of D.
    """
    if not e_in.keeps_every_unit:
        lost = next(j for j, count in enumerate(e_in.counts) if count == 0)
        raise Refusal("every old unit still present", f"unit {lost} has no copy", module)


def add(left: Expansion, right: Expansion) -> Expansion:
    """Residual sum: both sides carry the same map."""
    if left != right:
        raise Refusal("the same map on both sides of a sum", f"{brief(left)} + {brief(right)}")
    return left


def loose_add(left: Expansion, right: Expansion) -> Expansion:
    """Residual sum behind a growth mask: what is added to a unit of any value may be any value too."""
    if left.size != right.size:
        return add(left, right)
    runs = (a if a == b else Run("free", a.count) for a, b in aligned(left, right))
    pairs = [(a, b) for a, b in aligned(left, right) if a != b]
    if any("free" not in (a.kind, b.kind) for a, b in pairs):
        return add(left, right)
    return Expansion(left.old, tuple(runs))


def activation(e: Expansion, name: str) -> Expansion:
    """GELU, SiLU, tanh: f(0) = 0, so plain copies, zero and free rows pass.

    ReLU also passes copies with any positive coefficient, being homogeneous.
    """
    if "mean" in e.kinds:
        raise Refusal(f"units that `{name}` maps one by one", "rows that are a mean of units")
    if name == "relu":
        if all(c.q > 0 for c in e.scales):
            return e
        raise Refusal("positive coefficients", f"a coefficient of {min(e.scales, key=float)}")
    if not e.is_plain:
        raise Refusal(f"unscaled copies, since `{name}` is not homogeneous", brief(e))
    return e


def product(gate: Expansion, up: Expansion) -> Expansion:
    """GLU act(g) * u, unit by unit: copies of one old unit, coefficients multiplied.

    Zero times anything is zero, anything times a free unit is free. Zero times zero is exact
    and refused all the same: neither factor would ever get a gradient.
    """
    if gate.size != up.size:
        raise Refusal("factors of one size", f"{gate.size} and {up.size} units")
    runs = tuple(_factor(g, u) for g, u in aligned(gate, up))
    return Expansion(gate.old, runs)


def _factor(g: Run, u: Run) -> Run:
    kinds = {g.kind, u.kind}
    if kinds == {"zero"}:
        raise Refusal("a unit that can learn", "units whose two factors are both zero: no gradient")
    if "zero" in kinds:
        return Run("zero", g.count)
    if "free" in kinds:
        return Run("free", g.count)
    if kinds != {"copy"} or g.start != u.start:
        raise Refusal("one map for both factors", f"{g} * {u}")
    return Run("copy", g.count, g.start, g.c * u.c)


def aligned(a: Expansion, b: Expansion) -> Iterable[tuple[Run, Run]]:
    """The runs of two maps of one size, cut so that they line up."""
    i = j = used_a = used_b = 0
    while i < len(a.runs) and j < len(b.runs):
        ra, rb = a.runs[i], b.runs[j]
        count = min(ra.count - used_a, rb.count - used_b)
        yield (
            Run(ra.kind, count, ra.start + used_a if ra.kind == "copy" else 0, ra.c),
            Run(rb.kind, count, rb.start + used_b if rb.kind == "copy" else 0, rb.c),
        )
        used_a, used_b = used_a + count, used_b + count
        if used_a == ra.count:
            i, used_a = i + 1, 0
        if used_b == rb.count:
            j, used_b = j + 1, 0


def head_dim(q: Expansion, k: Expansion, v: Expansion, *, rotary: bool) -> Expansion:
    """Head size: the maps of one head's queries, keys and values; gives that of its output.

        scores: sum over rows of q*_i k*_i = sqrt(dh*/dh) q . k, since the softmax divides by sqrt(dh*)

    so copies of a unit carry coefficients whose products sum to sqrt(dh*/dh), and where one of
    q, k is zero the other may be anything. Values are unscaled copies and zeros. Rotary
    positions turn unit p with p + dh/2: each pair stays a pair, at its own frequency, which
    theta* = theta^(dh*/dh) keeps for the first dh/2 pairs.
    """
    if q.is_identity and k.is_identity and v.is_identity:
        return v
    linear(v)
    if v.kinds - {"copy", "zero"} or not v.is_plain:
        raise Refusal("values that are unscaled copies or zero", brief(v))
    wanted = Root(Fraction(q.size, q.old))
    gains: dict[int, Root | None] = {}
    for a, b in zip(q.rows(), k.rows(), strict=True):
        if "zero" in (a.kind, b.kind):
            continue
        if a.kind != "copy" or b.kind != "copy" or a.unit != b.unit:
            raise Refusal("queries and keys that copy the same unit, or one of them zero", f"{a} beside {b}")
        so_far, product = gains.get(a.unit, ZERO), a.c * b.c
        gains[a.unit] = None if so_far is None else so_far.plus(product)
    for unit in range(q.old):
        if gains.get(unit) != wanted:
            raise Refusal(f"scores scaled by {wanted}", f"unit {unit} at {gains.get(unit, ZERO)}")
    if rotary:
        for e in (q, k):
            _keeps_pairs(e)
    return v


def _keeps_pairs(e: Expansion) -> None:
    rows = list(e.rows())
    half, old_half = e.size // 2, e.old // 2
    for p in range(half):
        a, b = rows[p], rows[p + half]
        paired = (a.unit, b.unit) == (p, p + old_half) and a.c == b.c
        whole = a.kind == b.kind and (a.kind != "copy" or paired)
        if e.size % 2 or not whole:
            raise Refusal("rotary pairs kept whole, at their own frequency", f"pair {p} of {brief(e)}")


def attention(heads: Expansion, kv_heads: Expansion, head_dim: Expansion) -> Expansion:
    """Attention over whole heads: each query head stays with a copy of its own kv head.

    Query head j reads kv head floor(j KV* / H*). A free query head gives a free output; a
    zero one would attend evenly to everything, which is no zero. `head_dim` is the map of one
    head's output (rule `head_dim`).
    """
    if heads.size % kv_heads.size:
        raise Refusal(f"a multiple of {kv_heads.size} kv heads", f"{heads.size} query heads")
    if heads.kinds - {"copy", "free"} or not heads.is_plain:
        raise Refusal("query heads that are copies, or of any value", brief(heads))
    if kv_heads.kinds - {"copy", "free"} or not kv_heads.is_plain:
        raise Refusal("kv heads that are copies, or of any value", brief(kv_heads))
    kv_rows = list(kv_heads.rows())
    old_group, group = heads.old // kv_heads.old, heads.size // kv_heads.size
    for j, row in enumerate(heads.rows()):
        if row.kind == "free":
            continue
        kv = kv_rows[j // group]
        if kv.kind != "copy" or kv.unit != row.unit // old_group:
            needs = f"copies of head {row.unit} in the group of its kv head {row.unit // old_group}"
            raise Refusal(needs, f"head {j}, such a copy, in the group of kv head {j // group}")
    return heads * head_dim


def route(scores: Expansion, experts: Expansion, active: Expansion) -> None:
    """A mixture: the best k of the scores weigh their experts' outputs by softmax, z = sum p_e z_e.

    With every expert and its score copied m times and k* = m k, the best k* scores are all copies of
    the best k; each copy weighs p_e / m, so that the m copies add up to p_e z_e. Any map of z
    passes, being linear. Uneven copies would weigh some experts more, and an unscaled k would
    leave some of the best ones out.
    """
    if scores != experts:
        raise Refusal(f"a score for each expert ({brief(experts)})", brief(scores))
    if experts.kinds != {"copy"} or not experts.is_plain:
        raise Refusal("experts that are copies, with their scores", brief(experts))
    m = experts.uniform_count
    if m is None:
        raise Refusal("every expert copied equally often", counts_of(experts).replace("units", "experts"))
    if active.size != m * active.old:
        needs = f"{m * active.old} experts for each token, all {m} copies of the best {active.old}"
        raise Refusal(needs, f"{active.size}")


def equal_experts(
    shards: int, active: int, scales: Mapping[str, Root], *, noise: float = 0.0, drop: float = 0.0
) -> str:
    """route(_, z) = z for experts that are copies, or shards with what makes up for their weights.

    Copies: the softmax over the best k scores adds up to 1, so sum_e p_e z = z for any router.
    Shards: rows of the router are equal within a group of G, so that the best k, a multiple of G, are
    whole groups, and a group's shards weigh p/G each where the group weighs p:

        sum_groups (p/G) sum_shards down_s(act(gate_s y) * up_s y) = z / G

    since the ffn is a sum over units. Gate is read through an activation and stays; up and down
    are linear, and their factors must make up G. Returns the reason.
    """
    if noise or drop:
        raise Refusal("equal experts", "experts that are " + ("noisy" if noise else "drawn again in part"))
    if active % shards:
        raise Refusal(f"whole groups of {shards} shards", f"the best {active}")
    gate, up, down = (scales.get(role, ONE) for role in ("gate", "up", "down"))
    if not gate.is_one:
        raise Refusal("an unscaled gate, since activations are not homogeneous", f"gate × {gate}")
    if up * down != Root.rational(shards):
        raise Refusal(f"factors of up and down that make up {shards}", f"{up} and {down}")
    if shards == 1:
        return "weights of the best experts add up to 1, so equal experts give what one gives"
    return f"whole groups are picked, and up × {up}, down × {down} makes up for shards that weigh 1/{shards}"


def tied_target(embedding: Expansion) -> Expansion:
    """What the final norm must put out where the head reads the embedding.

    logits = wte* y = wte E^T y, so y = G h with E^T G = I: 1/(count c) on copies, 0 elsewhere
    """
    linear(embedding)
    runs: list[Run] = []
    k = embedding.uniform_count
    for run in embedding.runs:
        if run.kind != "copy":
            runs.append(Run("zero", run.count))
            continue
        if k is not None:
            runs.append(Run("copy", run.count, run.start, Root.rational(Fraction(1, k)) / run.c))
            continue
        for start, end in _even_stretches(embedding.counts, run.start, run.start + run.count):
            share = Root.rational(Fraction(1, embedding.counts[start])) / run.c
            runs.append(Run("copy", end - start, start, share))
    return Expansion(embedding.old, tuple(runs))


def _even_stretches(counts: tuple[int, ...], start: int, end: int) -> Iterable[tuple[int, int]]:
    """Ranges of start:end over which `counts` is constant."""
    for i in range(start + 1, end + 1):
        if i == end or counts[i] != counts[start]:
            yield start, i
            start = i


def brief(e: Expansion) -> str:
    """A map in one line: long ones cut."""
    text = str(e)
    return text if len(text) < 90 else f"{text[:80]} … ({e.old}→{e.size})]"


def counts_of(e: Expansion) -> str:
    """`units 0:128 twice, 128:384 once`, at most three ranges."""
    words = {0: "not at all", 1: "once", 2: "twice"}
    parts, start, counts = [], 0, e.counts
    for i in range(1, len(counts) + 1):
        if i == len(counts) or counts[i] != counts[start]:
            parts.append(f"{start}:{i} {words.get(counts[start], f'{counts[start]} times')}")
            start = i
    if len(parts) > 3:
        return f"units copied {min(counts)} to {max(counts)} times"
    return "units " + ", ".join(parts)
