"""A step of predicted layers as a whole: its matrices one by one, their leaves, and the record of it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from growplan.backend.dtypes import arithmetic, raw_bytes, torch_dtype
from growplan.backend.evaluate import ModelView
from growplan.check.predictors import Matrix, matrices
from growplan.check.typed import TypedStep
from growplan.families.model import Model
from growplan.ir.primitives import leaf_name
from growplan.learn.lesa import Prediction, predict


@dataclass(frozen=True)
class MatrixFit:
    """The network of one matrix of a block.

    `error` and `mean_error` are those of `lesa.Prediction`; `norm` is that of a predicted matrix over the
    mean of the two beside it, on average.
    """

    matrix: str  # its tensor, the layer left open; rows after it where it is a part
    directions: int
    updates: int
    error: float
    mean_error: float
    norm: float


@dataclass(frozen=True)
class Predicted:
    """What a step predicted: the numbers of the new layers, a network for each matrix.

    `leaves` maps each leaf to the sha256 of its bytes.
    """

    step: str
    layers: tuple[int, ...]
    networks: tuple[MatrixFit, ...]
    leaves: Mapping[str, str]


def predict_step(
    step: TypedStep, view: ModelView, show: Callable[[int], None]
) -> tuple[dict[str, Tensor], Predicted]:
    """The leaves of a step's predicted layers, in the dtypes of their tensors, and the record of it.

    `view` is the model before the step; `show(networks done)`. Raises GP565.
    """
    assert step.predictor is not None
    model = step.before
    new = [i for i, source in enumerate(step.layers) if source.predicted is not None]
    after = [step.layers[i].place for i in new]
    made: dict[str, Tensor] = {}
    fits: list[MatrixFit] = []
    show(0)
    for matrix in matrices(model):
        rows = _rows_of(model, view, matrix)
        dtype = arithmetic(model.dtype)
        name = _name(model, matrix)
        found = predict(rows, model.depth, after, step.predictor, f"{step.key}/{name}", dtype)
        for layer, values in zip(new, found.matrices, strict=True):
            _put(made, step, matrix, layer, values, view)
        fits.append(_record(name, found, rows, after))
        show(len(fits))
    leaves = {name: values.contiguous() for name, values in made.items()}
    hashes = {name: hashlib.sha256(raw_bytes(values)).hexdigest() for name, values in sorted(leaves.items())}
    return leaves, Predicted(step.id, tuple(new), tuple(fits), hashes)


def _rows_of(model: Model, view: ModelView, matrix: Matrix) -> Callable[[int], Tensor]:
    """The matrix of an old layer, [outs, ins], whichever way it is stored."""

    def read(layer: int) -> Tensor:
        values = view.get(model.tensor_name(matrix.param, layer))
        turned = values.T if matrix.param.row_dim == 1 else values
        return turned[matrix.start : matrix.start + matrix.outs]

    return read


def _put(
    made: dict[str, Tensor], step: TypedStep, matrix: Matrix, layer: int, values: Tensor, view: ModelView
) -> None:
    """Write the rows of one matrix into the leaf of its tensor."""
    param = matrix.param
    tensor = step.after.tensor_name(param, layer)
    leaf = leaf_name(step.id, tensor)
    if leaf not in made:
        old = step.before.tensor_name(param, step.layers[layer].layer)
        made[leaf] = torch.empty(step.after.shape(param), dtype=torch_dtype(view.dtype(old)))
    turned = made[leaf].T if param.row_dim == 1 else made[leaf]
    turned[matrix.start : matrix.start + matrix.outs] = values.to(turned.dtype).cpu()


def _record(name: str, found: Prediction, rows: Callable[[int], Tensor], after: list[int]) -> MatrixFit:
    norm = 0.0
    for layer, values in zip(after, found.matrices, strict=True):
        beside = float(rows(layer).norm() + rows(layer + 1).norm()) / 2
        norm += float(values.norm()) / beside / len(after) if beside else 0.0
    return MatrixFit(name, found.directions, found.updates, found.error, found.mean_error, norm)


def _name(model: Model, matrix: Matrix) -> str:
    """`h.{i}.attn.c_attn.weight 0:48`: the rows where the matrix is a part of its tensor."""
    name = model.tensor_name(matrix.param)
    whole = matrix.outs == matrix.param.rows.size(model.sizes)
    return name if whole else f"{name} {matrix.start}:{matrix.start + matrix.outs}"
