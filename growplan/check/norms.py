"""The type rules of norms: what a norm over a widened stream accepts, and what its parameters become."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from growplan.algebra import Expansion, Root, Run
from growplan.check.rules import Refusal, aligned, brief, counts_of


@dataclass(frozen=True)
class NormResult:
    """Output of a norm and what its parameters become.

    gamma* = `gamma` applied to gamma (coefficients included; free rows may hold anything),
    beta* = `beta` applied to beta, eps* = `eps_factor` * eps.
    """

    out: Expansion
    gamma: Expansion
    beta: Expansion
    eps_factor: Fraction
    exact: bool = True


def rms_norm(e: Expansion, target: Expansion | None = None) -> NormResult:
    """RMSNorm: E^T E = s I, so mean(X^2) = (s n / n*) mean(x^2).

        gamma*_i = gamma_j sqrt(s n / n*) t_i / c_i        eps* = eps s n / n*

    where t_i is the coefficient wanted at the output (1, or `target`'s).
    """
    if "mean" in e.kinds:
        raise Refusal("copies and zero rows (EᵀE = s·I)", "rows that are a mean of units")
    if e.kinds & {"free", "hole"}:
        raise Refusal("copies and zero rows (EᵀE = s·I)", "units of any value")
    energies = _energies(e)
    if len(energies) != 1:
        raise Refusal("every unit copied with the same energy (EᵀE = s·I)", counts_of(e))
    (s,) = energies
    factor = s * e.old / e.size
    return _norm_result(e, factor, target)


def layer_norm(e: Expansion, target: Expansion | None = None) -> NormResult:
    """LayerNorm: k even copies of one scale c, plus mean rows of the same scale.

        mean(X) = c mean(x)       var(X) = c^2 (k n / n*) var(x), so the norm divides |c| out
        gamma* = gamma sqrt(k n / n*) sign(c) t     eps* = eps c^2 k n / n*     beta* = E_out beta

    A mean row comes out as zero (LEMON's LN-average, arXiv 2310.07999).
    """
    if "zero" in e.kinds:
        raise Refusal("copies and mean rows (a zero row shifts the mean)", brief(e))
    if e.kinds & {"free", "hole"}:
        raise Refusal("copies and mean rows", "units of any value")
    if e.uniform_count is None:
        raise Refusal("every unit copied equally often", counts_of(e))
    scales = {run.c for run in e.runs}
    if len(scales) != 1:
        raise Refusal("one scale for all rows", brief(e))
    (c,) = scales
    factor = c.square * e.uniform_count * e.old / e.size
    return _norm_result(e.map_kind("mean", "zero"), factor, target)


def masked_norm(e: Expansion, target: Expansion | None = None) -> NormResult:
    """A norm behind a growth mask: old units weigh 1, new ones m (MSG, arXiv 2305.02869).

        mu = sum(w x) / sum(w)                  var = sum(w (x - mu)^2) / sum(w)
        y = w (gain (x - mu) / sqrt(var + eps) + bias)

    At m = 0 it is the old norm on the old units, and 0 elsewhere: exact, whatever the new units hold.
    New gains are any (1, as the authors have it), new biases 0, epsilon stays.
    """
    if e != Expansion.appended(e.old, e.size, "free"):
        raise Refusal("the old units, then units of any value", brief(e))
    out = e.map_kind("free", "zero")
    if target is not None and target != out:
        raise Refusal("an output that is the old units, then zero", brief(target))
    return NormResult(out, e, out, Fraction(1))


def indexed_norm(e: Expansion) -> NormResult:
    """A norm copied along the map with scale and epsilon unchanged, as bert2BERT publishes it.

    Approximate: mean and variance of unevenly copied units are not those of the old ones.
    """
    if e.kinds != {"copy"} or not e.is_plain or not e.keeps_every_unit:
        raise Refusal("plain copies of every unit", brief(e))
    return NormResult(e, e, e, Fraction(1), exact=False)


def uneven_bound(e: Expansion, *, centred: bool) -> str:
    """How far a norm over unevenly copied units can be off, whatever the input.

    With counts between a and b, the energy seen is between a n / n* and b n / n* of the old
    one (for LayerNorm the variance: the lower end by minimising over the mean, the upper end
    at the old mean), so the output's scale is off by the inverse roots. The mean moves by at
    most the coefficient of variation of the counts, in old standard deviations (Cauchy-Schwarz).
    """
    ratio = e.size / e.old
    low, high = (ratio / max(e.counts)) ** 0.5, (ratio / min(e.counts)) ** 0.5
    scale = f"output scale × {low:.2f} to {high:.2f}"
    if not centred:
        return scale
    variance = sum((count / ratio - 1) ** 2 for count in e.counts) / e.old
    return f"{scale}, mean off by at most {variance**0.5:.2f} σ"


def twice_error(eps: float, variance: float) -> float:
    """How far the scale of a norm's output can be off, relatively, if plain norms stand before it.

    The first norm leaves the variance w = v / (v + eps) of its input's variance v, each further
    one w -> w / (w + eps). That map is increasing with the fixed point 1 - eps, so after any number
    of norms the scale of the output, sqrt(w_last / w), lies between 1 and

        sqrt((1 - eps) / w) = sqrt((1 - eps) (1 + eps / v))

    which differs from 1 by at most eps / 2v where v < 1 - eps, and by less than eps elsewhere. For
    RMSNorm the same holds of mean squares.
    """
    square = eps * (1 - variance - eps) / variance  # of that root, less 1
    root: float = (1 + square) ** 0.5
    return abs(square) / (1 + root)


def twice_bound(eps: float) -> str:
    """`twice_error` in words."""
    return (
        "scale off by at most eps/2v, v the variance of its input (less than eps where v > 1): "
        f"{50 * eps:.2g} at v = 0.01"
    )


def _norm_result(e: Expansion, factor: Fraction, target: Expansion | None) -> NormResult:
    out = target if target is not None else e.plain()
    gamma = _gamma(e, out, Root(factor))
    return NormResult(out, gamma, out, factor)


def _gamma(e: Expansion, out: Expansion, scale: Root) -> Expansion:
    """Rows of gamma*: out's coefficient times sqrt(factor) over e's; free where e is zero."""
    runs: list[Run] = []
    for run_in, run_out in aligned(e, out):
        if run_in.kind == "zero":
            runs.append(Run("free", run_in.count))
            continue
        if run_out.kind == "zero":
            runs.append(Run("zero", run_in.count))
            continue
        runs.append(Run("copy", run_in.count, run_in.start, run_out.c * scale / run_in.c))
    return Expansion(e.old, tuple(runs))


def _energies(e: Expansion) -> set[Fraction]:
    """The diagonal of E^T E over copy rows, as a set."""
    if len(e.scales) == 1:
        (c,) = e.scales
        return {count * c.square for count in e.distinct_counts}
    energy = [Fraction(0)] * e.old
    for row in e.rows():
        if row.kind == "copy":
            energy[row.unit] += row.c.square
    return set(energy)
