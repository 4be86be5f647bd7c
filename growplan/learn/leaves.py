"""Filling the leaves of a graph, step by step: measured before a step, or fitted after it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from growplan.backend.dtypes import raw_bytes, torch_dtype
from growplan.backend.evaluate import ModelView, Read, with_leaves
from growplan.check.fitted import Fit
from growplan.check.typed import TypedPlan, TypedStep
from growplan.diagnostics import Diagnostic, DiagnosticError, Span
from growplan.families.model import Model
from growplan.ir.graph import Graph
from growplan.ir.primitives import Leaf, leaf_name
from growplan.learn.batch import pieces
from growplan.learn.data import mask_token, read_data
from growplan.learn.gradmax import backward, forward
from growplan.learn.operators import Fitted, Work, fit_step
from growplan.learn.place import data_folder, data_path, data_place
from growplan.learn.predicted import Predicted, predict_step
from growplan.learn.ranks import ALONE, Ranks

TOP = 8  # singular values recorded of a layer


@dataclass(frozen=True)
class LayerValues:
    """One layer: its largest singular values, the last that is used, and the norm of the new columns."""

    layer: int
    top: tuple[float, ...]
    last: float
    norm: float


@dataclass(frozen=True)
class Learned:
    """What a step measured on data. `leaves` maps each leaf to the sha256 of its bytes."""

    step: str
    data: str  # as the plan writes it
    data_sha256: str
    sequences: int
    tokens: int
    loss: float
    layers: tuple[LayerValues, ...]  # bottom first
    leaves: Mapping[str, str]


@dataclass(frozen=True)
class Found:
    """The values of all leaves by name, and how they came about; `trained` are the fitted ones among them."""

    leaves: Mapping[str, Tensor]
    learned: tuple[Learned, ...] = ()
    fitted: tuple[Fitted, ...] = ()
    predicted: tuple[Predicted, ...] = ()

    @property
    def warnings(self) -> tuple[Diagnostic, ...]:
        """GP536 for every fit that ended above where it began, GP560 for one on little data."""
        found = (warning for each in self.fitted for warning in (each.worse, each.little))
        return tuple(warning for warning in found if warning is not None)

    @property
    def trained(self) -> dict[str, Tensor]:
        return {name: self.leaves[name] for record in self.fitted for name in record.leaves}


Progress = Callable[[TypedStep, int, "float | None"], None]
"""`progress(step, layers or networks done, None)`, or of a fit `progress(step, fitting steps done, loss)`."""


def learn_leaves(
    graph: Graph,
    typed: TypedPlan,
    read: Read,
    source: Path,
    device: torch.device | str = "cpu",
    progress: Progress | None = None,
    work: Work | None = None,
    ranks: Ranks = ALONE,
) -> Found:
    """The values of every leaf of a lowered plan, by name, and what was measured for them.

    `source` is the checkpoint's directory, whose tokenizer reads texts; `work` keeps the state of
    fits. All ranks come here and fit together; what is measured or predicted without data is the first
    one's work. Raises GP521 to GP526, GP531 to GP535, GP550, GP551 and GP565, each at its place in the plan.
    """
    waiting = {node.step for node in graph.nodes.values() if isinstance(node.op, Leaf)}
    leaves: dict[str, Tensor] = {}
    learned: list[Learned] = []
    fitted: list[Fitted] = []
    predicted: list[Predicted] = []
    for step in typed.steps:
        base, so_far = data_folder(typed.plan), with_leaves(read, leaves)
        if step.index not in waiting:
            continue
        with _placed(data_place(typed.plan, step)):
            if step.fit is not None:
                measure = partial(_learn_step, graph, step, so_far, source, base, device, progress)
                found, record = ranks.by_first(measure)
                learned.append(record)
            elif step.predictor is not None:
                view = ModelView(graph, step.index - 1, so_far, device)
                found, made = ranks.by_first(partial(predict_step, step, view, _shown(step, progress)))
                predicted.append(made)
            else:
                file = data_path(step.data, base)
                found, fit = fit_step(graph, step, so_far, source, file, device, work, progress, ranks)
                fitted.append(fit)
        leaves |= found
    return Found(leaves, tuple(learned), tuple(fitted), tuple(predicted))


def _shown(step: TypedStep, progress: Progress | None) -> Callable[[int], None]:
    return lambda done: progress(step, done, None) if progress is not None else None


@contextmanager
def _placed(place: Span | None) -> Iterator[None]:
    try:
        yield
    except DiagnosticError as error:
        raise DiagnosticError(*(d.at(place) for d in error.diagnostics)) from None


def _learn_step(
    graph: Graph,
    step: TypedStep,
    read: Read,
    source: Path,
    base: Path,
    device: torch.device | str,
    progress: Progress | None,
) -> tuple[dict[str, Tensor], Learned]:
    """One step, measured on the model before it; `read` gives the leaves of earlier steps."""
    fit, model = step.fit, step.before
    assert fit is not None
    vocab = model.sizes["vocab"]
    length = min(fit.length, model.sizes.get("positions", fit.length))
    data = read_data(data_path(fit.data, base), source, vocab, fit.batch, length)
    mask = mask_token(source, fit.mask, vocab) if fit.loss == "masked" else None
    batch = pieces(data, fit, model, mask, step.key)
    view = ModelView(graph, step.index - 1, read, device)
    if progress is not None:
        progress(step, 0, None)
    passed = forward(model, view, batch)
    leaves: dict[str, Tensor] = {}
    layers: list[LayerValues] = []
    new = next(new - old for axis, old, new in step.axes if axis == "ffn")
    for done, found in enumerate(backward(model, view, fit, batch, passed, new), 1):
        tensor, dim = _column_tensor(model, fit, found.layer)
        old = view.get(tensor).to(torch.float64)
        norm = fit.scale if fit.scale is not None else float(old.norm(dim=1 - dim).mean())
        columns = (found.rows * norm).to(torch_dtype(view.dtype(tensor))).cpu()
        leaves[leaf_name(step.id, tensor)] = (columns if dim == 0 else columns.T).contiguous()
        values = [float(value) for value in found.values[: max(TOP, new)]]
        layers.append(LayerValues(found.layer, tuple(values[:TOP]), values[new - 1], norm))
        if progress is not None:
            progress(step, done, None)
    hashes = {name: hashlib.sha256(raw_bytes(values)).hexdigest() for name, values in sorted(leaves.items())}
    used = (len(data.sequences), data.tokens)
    return leaves, Learned(step.id, fit.data, data.sha256, *used, passed.loss, tuple(layers[::-1]), hashes)


def _column_tensor(model: Model, fit: Fit, layer: int) -> tuple[str, int]:
    """The tensor that new units write by, and the dimension of its units."""
    param = next(p for p in fit.layer.down.params if p.leaf == "weight")
    return model.tensor_name(param, layer), param.col_dim
