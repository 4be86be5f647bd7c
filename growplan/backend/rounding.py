"""How far rounding may move a model: the grown one run beside itself, with weights a little off.

An exact step is exact over the reals. What rounding of relative size u does to it depends on the
model: a null term N, which cancels over copies of a unit, cancels for equal copies alone. Rounding
makes them differ by about u; N multiplies the difference in this layer, and in each one above it,
by up to |N| / |W|. So no factor on u known beforehand bounds it, and it is measured instead:

    W -> W (1 + e xi)     xi normal, one for each element;  e = 2^-30
    A = |f(W (1 + e xi)) - f(W)| / e     for each block and output, over its spread

To first order in u, rounding moves the same block or output by u A / sqrt(3) at one rounding an
element. The law allows `laws.ROUNDINGS` of them, and the largest of the few numbers that are
compared lies within 4 of such another draw: 64 u A is allowed.

e is large beside the roundoff of the interpreter's float64, and small enough for first order
unless A e is a part of the spread itself; then nothing is bounded. A wrong rule moves a block by a
twentieth of its spread and more, and no tolerance is above `MOST`: a model that rounding moves
further does not compute the source's function when it is loaded, whatever the algebra says.
"""

from __future__ import annotations

from dataclasses import replace
from zlib import crc32

import torch
from torch import Tensor

from growplan.backend.evaluate import ModelView
from growplan.backend.laws import ROUNDINGS, Sides
from growplan.backend.probes import Probed, probe
from growplan.ir.graph import Step

OFF = 2.0**-30  # relative, of every weight
TAILS = 4
LINEAR = 0.01  # of the spread: below, A is a constant
MOST = 0.02


class _Off(ModelView):
    """The tensors of a view in float64, every element off by OFF of itself times a normal number."""

    def __init__(self, view: ModelView, seed: int) -> None:
        self.__dict__.update(view.__dict__)
        self._cache, self._held, self.seed = type(view._cache)(), 0, seed

    def _evaluate(self, value: str) -> Tensor:
        exact = super()._evaluate(value).to(torch.float64)
        random = torch.Generator().manual_seed(self.seed + crc32(value.encode()))
        noise = torch.randn(exact.shape, generator=random, dtype=torch.float64)
        return exact * (1 + OFF * noise.to(exact.device))


def rounding(step: Step, sides: Sides, u: float, seed: int) -> dict[str, float]:
    """Block or output of the grown model -> how far rounding by `u` may move it, over its spread.

    Infinite where the model is no longer linear in weights so little off. `step` and `sides` as given
    to `probe`: the grown model is run once more, in two versions.
    """
    same = replace(step, stream=None, laws=(), modules=(), provenance=(), layers=())
    random = torch.Generator().manual_seed(seed)
    beside = Sides(sides.after, sides.after, sides.new, _Off(sides.new, seed), random)
    found: Probed = probe(same, beside, blocks=True, enter=lambda layer: None)
    moved = {b.where: b.error for b in found.blocks} | {o.name: o.relative for o in found.outputs}
    factor = ROUNDINGS * TAILS * u / OFF
    return {name: factor * error if error < LINEAR else float("inf") for name, error in moved.items()}
