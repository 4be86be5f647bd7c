"""Predicted layers: the matrices of a block that networks are fitted for, and what that costs.

A matrix W of a block is n rows (units that it writes) of m numbers. Over L layers
[W_0 ... W_{L-1}] = U S [V_0 ... V_{L-1}] has r = min(n, L m) directions, so that V is r rows of m
numbers a layer, and L - 2 triples of neighbours give (L - 2) r rows to learn from. A network
2 m -> hidden -> hidden -> m has 3 m hidden + hidden^2 weights; an update by one row costs six FLOPs a
weight, a prediction two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from growplan.check.typed import PredictorCost
from growplan.families.model import Model, Param
from growplan.methods.base import LayerSource, Predictor

SINGLE, DOUBLE = 4, 8  # bytes: directions and networks; the decomposition
SQUARES = 3  # matrices n x n in memory while one is decomposed


@dataclass(frozen=True)
class Matrix:
    """Rows `start : start + outs` (units written) of a parameter, each of `ins` numbers: one network's."""

    param: Param
    start: int
    outs: int
    ins: int

    def directions(self, layers: int) -> int:
        """Directions that the matrices of so many layers can have together."""
        return min(self.outs, layers * self.ins)


def predicted(model: Model, param: Param) -> bool:
    """Whether a parameter of a block is predicted: matrices are, norms, biases and tables are not."""
    return param.in_layer and param.leaf == "weight" and model.modules[param.module].kind == "linear"


def matrices(model: Model) -> tuple[Matrix, ...]:
    """Those of a block; the parts of a fused projection, and experts, each on its own."""
    found: list[Matrix] = []
    for folded in model.params():
        if not predicted(model, folded):
            continue
        assert folded.cols is not None
        sizes = [part.size(model.sizes) for part in folded.rows.split()]
        starts = [sum(sizes[:i]) for i in range(len(sizes))]
        ins = folded.cols.size(model.sizes)
        for param in model.of_experts(folded):
            found += [Matrix(param, at, size, ins) for at, size in zip(starts, sizes, strict=True)]
    return tuple(found)


def epochs(rows: int, predictor: Predictor) -> int:
    """Times that a network sees each of its rows: as many as make `updates`, `epochs` at least."""
    return max(predictor.epochs, ceil(predictor.updates / updates_of(rows, predictor)))


def updates_of(rows: int, predictor: Predictor) -> int:
    """Updates of one epoch."""
    return ceil(rows / predictor.batch)


def predictor_cost(model: Model, layers: Sequence[LayerSource], predictor: Predictor) -> PredictorCost:
    """What predicting costs: FLOPs of the networks, bytes while the largest matrix is fitted."""
    new = sum(source.predicted is not None for source in layers)
    flops = memory = parameters = 0
    found = matrices(model)
    for matrix in found:
        n, m, r = matrix.outs, matrix.ins, matrix.directions(model.depth)
        weights = 3 * m * predictor.hidden + predictor.hidden**2
        rows = (model.depth - 2) * r
        parameters += weights + 2 * predictor.hidden + m
        flops += 6 * weights * rows * epochs(rows, predictor) + 2 * weights * r * new
        held = SINGLE * (model.depth * r * m + new * n * m + 4 * weights)
        memory = max(memory, held + DOUBLE * SQUARES * n * n)
    return PredictorCost(len(found), parameters, flops, memory)
