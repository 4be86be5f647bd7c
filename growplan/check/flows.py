"""How a gradient spreads over copies: the transpose of the preservation law.

A step gives each activation a map E, and a model that keeps its function obeys, whatever the loss,

    E^T g* = g          g, g*: the gradient at the activation before and after the step

What E leaves open is how the copies of a unit share g. A `Flow` says it, where the readers of the
activation decide it, unit by unit: g* = B g, with E^T B = I. A linear reader W* = E_out W D gives
B = D^T, whatever comes after it, because E_out^T g* = g there. Where shares differ from one element
to the next, or a norm mixes units that get unlike parts, no B exists; then the flow is an estimate,
even parts, and says why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from growplan.algebra import ONE, Expansion, Root, Run, even_inverse, first_inverse
from growplan.check.rules import aligned

ZERO = Root(Fraction(0))
NORMED = "a norm mixes units whose copies get unlike parts of the gradient"
MEANS = "the backward pass of a LayerNorm spreads over the rows that hold a mean"
LEFT_OPEN = "several readers divide the gradient in different ways"


@dataclass(frozen=True)
class Flow:
    """g* = B g at one activation.

    `map` is B in runs: a copy has its coefficient, `zero` gets no gradient, of a `hole` nothing is
    known (a new unit that no old one stands behind). `why` says why B is an estimate; empty: it is not.
    """

    map: Expansion
    why: str = ""

    @property
    def exact(self) -> bool:
        return not self.why

    def estimated(self, e: Expansion) -> Flow:
        """This flow, or the even one over `e` where this one is an estimate."""
        return self if self.exact else estimate(e, self.why)


def identity(n: int) -> Flow:
    """The gradient of an activation that stays as it was."""
    return Flow(Expansion.identity(n))


def estimate(e: Expansion, why: str) -> Flow:
    """Even parts over the copies of `e`: E^T B = I, and nothing more is claimed."""
    if not e.keeps_every_unit:
        return Flow(Expansion(e.old, (Run("hole", e.size),)), why)
    return Flow(unknown(even_inverse(e), e), why)


def unknown(b: Expansion, e: Expansion) -> Expansion:
    """`b` with holes wherever `e` has no copy."""
    runs = (x if y.kind == "copy" else Run("hole", x.count) for x, y in aligned(b, e))
    return Expansion(b.old, tuple(runs))


def joined(flows: Sequence[Flow], e: Expansion) -> Flow:
    """The flow of an activation that several readers read: theirs, where they agree."""
    for flow in flows:
        if not flow.exact:
            return estimate(e, flow.why)
    found = flows[0]
    for flow in flows[1:]:
        both = _agreed(found.map, flow.map)
        if both is None:
            return estimate(e, LEFT_OPEN)
        found = Flow(both)
    return found


def _agreed(a: Expansion, b: Expansion) -> Expansion | None:
    runs: list[Run] = []
    for x, y in aligned(a, b):
        if "hole" in (x.kind, y.kind):
            runs.append(Run("hole", x.count))
        elif x != y:
            return None
        else:
            runs.append(x)
    return Expansion(a.old, tuple(runs))


# rules: the flow at the input of an operation, from the one at its output --------------------------


def read(e_in: Expansion, shares: str, noise: bool, rows: Expansion, out: Flow) -> Flow:
    """Linear W* = E_out W D + N: the copies of a unit get what D gives them of it."""
    if noise:
        return estimate(e_in, "what reads the copies carries a null term, which the gradient passes too")
    if e_in.most_copies < 2 or shares == "even":
        return Flow(unknown(even_inverse(e_in), e_in))
    if shares == "first":
        return Flow(unknown(first_inverse(e_in), e_in))
    if shares == "own" and _own(e_in, rows, out):
        return Flow(unknown(even_inverse(e_in), e_in))
    drawn = "the shares of the copies are drawn element by element"
    own = "each copy reads a copy of its own, and these get unlike parts of the gradient"
    return estimate(e_in, own if shares == "own" else drawn)


def _own(e_in: Expansion, rows: Expansion, out: Flow) -> bool:
    """Whether block-diagonal shares pass an even gradient on as an even one."""
    if rows.most_copies < 2:
        return True  # such rows read all copies evenly
    k, r = e_in.uniform_count, rows.uniform_count
    whole = k is not None and r is not None and r % k == 0
    return whole and out.exact and out.map == even_inverse(rows)


def norm(e_in: Expansion, e_out: Expansion, centred: bool, out: Flow) -> Flow:
    """A norm over E x with E^T E = s I: even parts at its output are parts c / s at its input.

    With h = gamma* g*, the input gets (h - x^ mean(h x^)) / sigma (less mean(h), if centred), and
    copies keep their parts only where h is even; rows of zeros take nothing from the others.
    """
    if not out.exact:
        return estimate(e_in, out.why)
    if "mean" in e_in.kinds:
        return estimate(e_in, MEANS)
    if any(x.kind == "copy" and x != y for x, y in aligned(even_inverse(e_out), out.map)):
        return estimate(e_in, NORMED)
    if centred and (e_in.uniform_count is None or len(e_in.scales) != 1):
        return estimate(e_in, NORMED)
    energy = sum((run.c.square * run.count for run in e_in.runs if run.kind == "copy"), Fraction(0))
    return Flow(unknown(e_in.scaled(ONE / Root.rational(energy / e_in.old)), e_in))


def factor(other: Expansion, e: Expansion, out: Flow) -> Flow:
    """A product a u, at `a`: the gradient times the other factor, whose copies carry `other`."""
    if not out.exact:
        return estimate(e, out.why)
    runs: list[Run] = []
    for x, y in aligned(out.map, other):
        lost = x.kind == "copy" and y.kind != "copy"
        runs.append(Run("hole", x.count) if lost else Run(x.kind, x.count, x.start, x.c * y.c))
    return Flow(unknown(Expansion(e.old, tuple(runs)), e))


def tied(embedding: Expansion, e: Expansion) -> Flow:
    """The input of a head that reads an embedding W E^T: copy i gets c_i of its unit."""
    return Flow(unknown(unknown(embedding, embedding), e))


def cut(b: Expansion, begin: int, end: int, unit: int, units: int) -> Expansion:
    """Rows begin:end of a direct sum as a map of their own, whose units begin at `unit`."""
    runs: list[Run] = []
    at = 0
    for run in b.runs:
        low, high = max(at, begin), min(at + run.count, end)
        if low < high:
            start = run.start + low - at - unit if run.kind == "copy" else 0
            runs.append(Run(run.kind, high - low, start, run.c))
        at += run.count
    return Expansion(units, tuple(runs))
