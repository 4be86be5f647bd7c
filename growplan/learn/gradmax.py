"""GradMax's directions: where silent units must write to get the largest first gradient.

A new unit i reads r_i (zero) and writes w_i. With x the layer's input and e = dL/dy the gradient at
the next layer's output, token by token, and act'(0) = a, its first gradient is

    dL/dr_i = a * sum_t (w_i . e_t) x_t = a * G w_i        G = sum_t x_t e_t^T      (d_in x d_out)

so orthogonal w_i of one length maximise the sum of their squares along the leading right singular
vectors of G (arXiv 2201.05125, eq. 9). G is the gradient of the loss with respect to a zero linear
map put beside the layer. In a gated layer, act(gate_i . x) * (u_i . x), the rows u_i are drawn and

    dL/dr_i = a * sum_t (u_i . x_t) (w_i . e_t) x_t

whose expected square over u_i ~ N(0, s^2 I) is (a s)^2 w_i^T M w_i with M = sum_ts (x_t . x_s)^2 e_t e_s^T:
the same for a zero bilinear map. Then the leading eigenvectors of M are taken.

Gradients go through the interpreter layer by layer, so that one layer's tokens are held at a time
beside the stream between the layers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from growplan.backend.evaluate import ModelView
from growplan.backend.interpreter import Interpreter
from growplan.check.cost import cost
from growplan.check.fitted import Fit
from growplan.diagnostics import fail
from growplan.families.model import Model, Module
from growplan.learn.batch import IGNORED, Piece

DOUBLE_BELOW = 50_000_000  # parameters; larger models are differentiated in float32
RANK = {False: {torch.float64: 1e-10, torch.float32: 1e-5}, True: {torch.float64: 1e-7, torch.float32: 1e-3}}
"""Singular values below this part of the largest are rounding; of M (gated) only their squares are seen."""
CHUNK = 2048  # tokens


@dataclass(frozen=True)
class Directions:
    """Of one layer: the leading directions as rows [k, d_out]; all singular values, largest first."""

    layer: int
    rows: Tensor
    values: Tensor


@dataclass(frozen=True)
class Forward:
    """What a forward pass leaves: the streams before each layer, the mean loss, its gradient at the top."""

    streams: list[list[Tensor]]  # [layer][piece]
    loss: float
    top: list[Tensor]  # [piece]


def precision(model: Model) -> torch.dtype:
    """What gradients are computed in."""
    return torch.float64 if cost(model).parameters < DOUBLE_BELOW else torch.float32


def forward(model: Model, view: ModelView, pieces: Sequence[Piece]) -> Forward:
    """The loss on a batch, each stream between two layers kept. Raises GP526 where it is not finite."""
    up = Interpreter(model, view.get, precision(model), view.device)
    now = [up.embed(piece.ids) for piece in pieces]
    streams = []
    for layer in range(model.depth):
        streams.append(now)
        now = [up.block(layer, x) for x in now]
    count = sum(int((piece.targets != IGNORED).sum()) for piece in pieces)
    head = Interpreter(model, view.get, precision(model), view.device, tap=lambda module, layer, x, y: y)
    total = 0.0
    top: list[Tensor] = []
    for x, piece in zip(now, pieces, strict=True):
        x.requires_grad_()
        logits = head.head(x, piece.ids)["logits"]
        targets = piece.targets.to(logits.device).flatten()
        loss = F.cross_entropy(logits.flatten(0, -2), targets, ignore_index=IGNORED, reduction="sum") / count
        top += torch.autograd.grad(loss, x)
        total += float(loss.detach())
    if not all(bool(torch.isfinite(g).all()) for g in top):
        fail("GP526", f"the gradient of the loss ({total:.4g}) is not finite", help=LOOK)
    return Forward(streams, total, top)


def backward(
    model: Model, view: ModelView, fit: Fit, pieces: Sequence[Piece], passed: Forward, new: int
) -> Iterator[Directions]:
    """The `new` leading directions of every layer, the topmost first. Raises GP525, GP526."""
    dtype, grads = precision(model), passed.top
    for layer in reversed(range(model.depth)):
        probe = _Probe(fit)
        down = Interpreter(model, view.get, dtype, view.device, tap=probe)
        seen: list[tuple[Tensor, Tensor]] = []
        below = []
        for x, grad in zip(passed.streams[layer], grads, strict=True):
            x.requires_grad_()
            y = down.block(layer, x)
            grad_x, error = torch.autograd.grad(y, (x, probe.beside), grad)
            below.append(grad_x)
            seen.append((probe.input.flatten(0, -2), error.flatten(0, -2)))
        passed.streams[layer], grads = [], below
        inputs, errors = (torch.cat(side) for side in zip(*seen, strict=True))
        yield leading(inputs, errors, layer, new, gated=fit.layer.gated)


class _Probe:
    """A zero map beside one layer: what it reads, and a handle on what it adds (`beside`)."""

    def __init__(self, fit: Fit) -> None:
        self.reads, self.writes = fit.layer.read.name, fit.layer.down.name
        self.input = self.beside = torch.empty(0)

    def __call__(self, module: Module, layer: int | None, x: Tensor, y: Tensor) -> Tensor:
        if module.name == self.reads:
            self.input = x.detach()
        if module.name != self.writes:
            return y
        self.beside = torch.zeros_like(y, requires_grad=True)
        return y + self.beside


def leading(inputs: Tensor, errors: Tensor, layer: int, new: int, *, gated: bool) -> Directions:
    """The leading directions of one layer from its tokens: inputs [T, d_in], errors [T, d_out].

    Raises GP525 where fewer than `new` have a gradient, GP526 where none has.
    """
    dtype = inputs.dtype
    inputs, errors = inputs.to(torch.float64), errors.to(torch.float64)
    if gated:
        squares, vectors = torch.linalg.eigh(second_moment(inputs, errors))
        values, rows = squares.flip(0).clamp(min=0).sqrt(), vectors.flip(1).T
    else:
        _, values, rows = torch.linalg.svd(inputs.T @ errors, full_matrices=False)
    if not bool(torch.isfinite(values).all()) or float(values[0]) == 0:
        fail("GP526", f"layer {layer} has no gradient on this data", help=LOOK)
    rank = int((values > RANK[gated][dtype] * values[0]).sum())
    if rank < new:
        message = f"the data gives layer {layer} a gradient in {rank} directions, and {new} units are new"
        tokens = int(errors.any(1).sum())
        if rank < tokens:
            why = f"of {tokens} tokens: equal units share a direction, a LayerNorm drops one, tokens repeat"
            fail("GP525", message, notes=[("why", why)], help=(f"add {rank} units", "or give other data"))
        fail(
            "GP525", message, help=("give more tokens (`batch`, `length`, more data)", f"or add {rank} units")
        )
    rows = rows[:new]
    largest = rows.gather(1, rows.abs().argmax(1, keepdim=True))
    return Directions(layer, rows * largest.sign(), values)  # a sign of its own: the solver's is arbitrary


def second_moment(inputs: Tensor, errors: Tensor) -> Tensor:
    """M = sum_ts (x_t . x_s)^2 e_t e_s^T, some tokens at a time: [d_out, d_out]."""
    total = errors.new_zeros(errors.shape[1], errors.shape[1])
    for x, e in zip(torch.split(inputs, CHUNK), torch.split(errors, CHUNK), strict=True):
        total += e.T @ ((x @ inputs.T).square() @ errors)
    return (total + total.T) / 2


LOOK = "look at the data and the source: a forward pass by transformers must give a finite loss above 0"
