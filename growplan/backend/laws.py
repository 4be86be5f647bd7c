"""The preservation law, measured: W* (E_in x) against E_out (W x) on random x.

One random projection sees any fault with probability one and costs O(n^2) (Freivalds). Errors
are divided by the scale at which rounding acts on them, so that one tolerance fits all:

    scale_i = sqrt(sum_j (W*_ij (E_in x)_j)^2) + |E_out| sqrt(sum_j (W_ij x_j)^2)

Every element of W* carries a few roundings of relative size u, which add up at random, and one
coefficient, whose rounding acts on the sum, a few times `scale`; 16 u bounds both with room.
The float64 products themselves err by less than sqrt(n) 2^-53 `scale`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import sqrt

import torch
from torch import Tensor

from growplan.algebra import Expansion
from growplan.backend.dtypes import UNIT_ROUNDOFF
from growplan.backend.evaluate import ModelView
from growplan.backend.maps import apply, determined, magnitude
from growplan.families.axes import STREAM
from growplan.families.model import Model, Module, Param
from growplan.ir.graph import ModuleLaw, Step, TensorLaw

PROBES = 2
ROUNDINGS = 16
CHUNK_ELEMENTS = 1 << 22  # of a weight in float64 at a time


@dataclass(frozen=True)
class LawError:
    """How far one law is from holding. `error` is relative, to be compared with `tolerance`."""

    tensor: str
    law: str  # `W* E_in = E_out W`, `b* = E_out b`, ...
    error: float
    tolerance: float
    asserted: bool = True
    poisoned: bool = False  # the tensor was not finite before the step: nothing can be said

    @property
    def holds(self) -> bool:
        return self.error <= self.tolerance


@dataclass(frozen=True)
class Sides:
    """A model before a step and after it: their facts and their tensors."""

    before: Model
    after: Model
    old: ModelView
    new: ModelView
    random: torch.Generator  # on the CPU, for probes

    @cached_property
    def layers(self) -> dict[str, int | None]:
        """Tensor of the grown model -> its layer."""
        return {name: layer for name, _, layer in self.after.tensors()}

    def normal(self, *shape: int) -> Tensor:
        x = torch.randn(shape, generator=self.random, dtype=torch.float64)
        return x.to(self.new.device)


def measure_laws(step: Step, sides: Sides, layer: int | None = None) -> Iterator[LawError]:
    """The laws of one layer of the grown model, or of what is in no layer.

    Modules first, then vectors, and matrices of which no module speaks.
    """
    spoken: set[str] = set()
    for law in step.modules:
        if law.layer == layer:
            module = sides.after.modules[law.module]
            spoken |= {sides.after.tensor_name(p, layer) for p in module.params}
            if not _untouched(law, module, sides):
                yield from MEASURES[law.kind](law, module, sides)
    copied = {p.tensor for p in step.provenance}
    for tensor_law in step.laws:
        matrix_spoken = tensor_law.cols is not None and tensor_law.tensor in spoken
        if (
            sides.layers.get(tensor_law.tensor) == layer
            and not matrix_spoken
            and tensor_law.tensor not in copied
        ):
            yield from _tensor(tensor_law, sides)


def _untouched(law: ModuleLaw, module: Module, sides: Sides) -> bool:
    """Whether the module has the very values it had, at the same maps and epsilon."""
    if not law.e_out.is_identity or (law.e_in is not None and not law.e_in.is_identity):
        return False
    if module.is_norm and sides.before.eps(module) != sides.after.eps(module):
        return False
    return all(
        sides.old.values[sides.before.tensor_name(p, law.source_layer)]
        == sides.new.values[sides.after.tensor_name(p, law.layer)]
        for p in module.params
    )


# one measure per kind of module ---------------------------------------------------------------------


def _linear(law: ModuleLaw, module: Module, sides: Sides) -> Iterator[LawError]:
    assert law.e_in is not None
    for param in module.params:
        name, old, new = _pair(param, law, sides)
        if param.leaf == "bias":
            yield _vector(name, "b* = E_out b", law.e_out, old, new)
            continue
        reads = law.e_in.map_kind("free", "zero") if module.kind in ("embedding", "parameter") else law.e_in
        old, new = (_as_matrix(param, t) for t in (old, new))
        yield _matrix(name, "W* E_in = E_out W", reads, law.e_out, old, new, sides)


def _parameter(law: ModuleLaw, module: Module, sides: Sides) -> Iterator[LawError]:
    """A bare parameter: a table of rows as an embedding, a token as a bias."""
    if law.e_in is not None:
        yield from _linear(law, module, sides)
        return
    name, old, new = _pair(_leaf(module, "weight"), law, sides)
    yield _vector(name, "t* = E_out t", law.e_out, old, new)


def _tied(law: ModuleLaw, module: Module, sides: Sides) -> Iterator[LawError]:
    """The embedding [vocab, hidden] as the head's matrix."""
    assert law.e_in is not None
    name, old, new = _pair(_leaf(module, "weight"), law, sides)
    yield _matrix(name, "W* E_in = E_out W (tied head)", law.e_in, law.e_out, old, new, sides)


def _bias(law: ModuleLaw, module: Module, sides: Sides) -> Iterator[LawError]:
    name, old, new = _pair(_leaf(module, "bias"), law, sides)
    yield _vector(name, "b* = E_out b", law.e_out, old, new)


def _norm(law: ModuleLaw, module: Module, sides: Sides) -> Iterator[LawError]:
    """gamma* norm(E_in x) against E_out (gamma norm(x)), at std 1 and at std sqrt(eps)."""
    assert law.e_in is not None
    name, gamma, gamma_new = _pair(_leaf(module, "weight"), law, sides)
    eps, eps_new = sides.before.eps(module), sides.after.eps(module)
    normed = _layer_norm if module.kind == "layernorm" else _rms_norm
    worst, keep = 0.0, determined(law.e_out).to(gamma.device)
    for std in (1.0, eps**0.5):
        x = (sides.normal(PROBES, law.e_in.old) + 0.5) * (std or 1.0)
        wide = apply(law.e_in, x, free=_any(law.e_in, sides))
        unit = _first(normed, x, eps, _units(module, sides.before))
        unit_new = _first(normed, wide, eps_new, _units(module, sides.after))
        error = unit_new * gamma_new - apply(law.e_out, unit * gamma)
        scale = (unit_new.abs() + 1) * gamma_new.abs()
        scale = scale + apply(magnitude(law.e_out), (unit.abs() + 1) * gamma.abs())
        worst = max(worst, _ratio(error, scale, keep))
    tolerance = _tolerance(gamma_new, law.e_in.size)
    yield LawError(name, "norm*(E_in x) = E_out norm(x)", worst, tolerance, law.exact)
    if len(module.params) > 1:
        name, old, new = _pair(_leaf(module, "bias"), law, sides)
        yield _vector(name, "beta* = E_out beta", law.e_out, old, new, law.exact)


Measure = Callable[[ModuleLaw, Module, Sides], Iterator[LawError]]
MEASURES: dict[str, Measure] = {
    "linear": _linear,
    "embedding": _linear,
    "layernorm": _norm,
    "rmsnorm": _norm,
    "bias": _bias,
    "patches": _linear,
    "parameter": _parameter,
    "tied": _tied,
}


def _tensor(law: TensorLaw, sides: Sides) -> Iterator[LawError]:
    """A law of a single tensor, of a step that speaks of no modules."""
    old, new = sides.old.get(law.source), sides.new.get(law.tensor)
    if law.constant is not None:
        yield _constant(law.tensor, float(law.constant), old, new)
        return
    if law.cols is None:
        old, new = (t.movedim(law.row_dim, -1) for t in (old, new))
        yield _vector(law.tensor, "t* = E_out t", law.rows, old, new)
        return
    assert law.col_dim is not None
    old, new = (t.movedim((law.row_dim, law.col_dim), (0, 1)).flatten(1) for t in (old, new))
    yield _matrix(law.tensor, "W* E_in = E_out W", law.cols, law.rows, old, new, sides, law.twins)


def _constant(name: str, value: float, old: Tensor, new: Tensor) -> LawError:
    now = new.to(torch.float64)
    error = _ratio(now - value, now.abs() + abs(value), torch.ones_like(now, dtype=torch.bool))
    return _law_error(name, f"t* = {value:g}", error, old, now, _tolerance(new, 1))


# vectors and matrices ------------------------------------------------------------------------------


def _vector(
    name: str, law: str, e_out: Expansion, old: Tensor, new: Tensor, asserted: bool = True
) -> LawError:
    was, now = old.to(torch.float64), new.to(torch.float64)
    scale = now.abs() + apply(magnitude(e_out), was.abs())
    error = _ratio(now - apply(e_out, was), scale, determined(e_out).to(new.device))
    return _law_error(name, law, error, was, now, _tolerance(new, 1), asserted)


def _matrix(
    name: str,
    law: str,
    e_in: Expansion,
    e_out: Expansion,
    old: Tensor,
    new: Tensor,
    sides: Sides,
    twins: Expansion | None = None,
) -> LawError:
    """Rows are what the matrix writes: old [n_out, n_in], new [n_out*, n_in*]; inputs are twins z.

    A NaN or infinity that the old matrix has not breaks the law in free rows and columns too.
    """
    x = sides.normal(PROBES, e_in.old)
    if twins is not None:
        x = apply(twins, sides.normal(PROBES, twins.old), free=x)
    wider = apply(e_in, x, free=sides.normal(PROBES, e_in.size))
    y, size = _project(old, x)
    y_new, size_new = _project(new, wider)
    scale = size_new + apply(magnitude(e_out), size)
    error = _ratio(y_new - apply(e_out, y), scale, determined(e_out).to(new.device))
    return _law_error(name, law, error, size, size_new, _tolerance(new, e_in.size))


def _as_matrix(param: Param, t: Tensor) -> Tensor:
    """[rows, cols] of a tensor as it is stored: transposed, with dims of one before it, or unfolded."""
    t = t.flatten(1) if param.unfolded else t.reshape(t.shape[param.ones :])
    return t if param.row_dim == param.ones else t.T


def _project(w: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """x W^T and sqrt(x^2 (W^2)^T) in float64, some rows of W at a time: `[probes, n_out]`."""
    step = max(1, CHUNK_ELEMENTS // max(1, w.shape[1]))
    products, sizes = [], []
    for rows in torch.split(w, step):
        part = rows.to(torch.float64)
        products.append(x @ part.T)
        sizes.append((x.square() @ part.square().T).sqrt())
    return torch.cat(products, -1), torch.cat(sizes, -1)


def _ratio(error: Tensor, scale: Tensor, keep: Tensor) -> float:
    """The largest |error| / scale over the units in `keep`; 0 / 0 is 0, NaN is infinite."""
    ratio = (error.abs() / scale.clamp(min=1e-290)).where(keep, 0.0)
    return float(ratio.nan_to_num(nan=float("inf")).max()) if ratio.numel() else 0.0


def _law_error(
    name: str, law: str, error: float, was: Tensor, now: Tensor, tolerance: float, asserted: bool = True
) -> LawError:
    """`was` and `now` are finite where the tensor is, before and after the step."""
    finite_was, finite_now = (bool(torch.isfinite(t).all()) for t in (was, now))
    worst = error if finite_now or not finite_was else float("inf")
    return LawError(name, law, worst, tolerance, asserted, not finite_was)


def _tolerance(new: Tensor, width: int) -> float:
    return ROUNDINGS * UNIT_ROUNDOFF.get(new.dtype, 0.0) + 4 * sqrt(width) * 2.0**-53


def _pair(param: Param, law: ModuleLaw, sides: Sides) -> tuple[str, Tensor, Tensor]:
    """The tensor's name after the step, its values before and after."""
    name = sides.after.tensor_name(param, law.layer)
    old = sides.old.get(sides.before.tensor_name(param, law.source_layer))
    return name, old, sides.new.get(name)


def _leaf(module: Module, leaf: str) -> Param:
    return next(p for p in module.params if p.leaf == leaf)


def _any(e: Expansion, sides: Sides) -> Tensor | None:
    """Values for the free rows of a map, where it has some."""
    return sides.normal(PROBES, e.size) if "free" in e.kinds else None


def _units(norm: Module, model: Model) -> int | None:
    """How many units a norm weighs, where a growth mask hides the rest."""
    return model.read_units if norm.outs == STREAM else None


def _first(normed: Callable[[Tensor, float], Tensor], x: Tensor, eps: float, units: int | None) -> Tensor:
    """A norm of the first `units` of x; the others come out as 0."""
    if units is None:
        return normed(x, eps)
    return torch.nn.functional.pad(normed(x[..., :units], eps), (0, x.shape[-1] - units))


def _layer_norm(x: Tensor, eps: float) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / (centred.square().mean(-1, keepdim=True) + eps).sqrt()


def _rms_norm(x: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
