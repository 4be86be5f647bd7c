"""LESA's networks: a layer between two others, predicted from them (arXiv 2502.13794).

The matrices of all layers side by side are decomposed once, [W_0 ... W_{L-1}] = U S [V_0 ... V_{L-1}], and
a network G on rows learns V_i from V_{i-1} and V_{i+1}, one row for each direction:

    G(x) = A_3 relu(A_2 relu(A_1 x + a_1) + a_2) + a_3        x = a row of [V_{i-1} | V_{i+1}]
    loss = (1 - p) mean (G(x) - y)^2 + p (|G(x)| - |y|)^2     |.| over all rows of an update

AdamW as torch has it, draws as torch draws a linear layer, rows in a new order in each epoch: the authors'
notebook, but for what keys decide here. U and S come from sum W W^T in float64, so that one layer is read
at a time; directions below SMALLEST of the largest are rounding, and are left out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from growplan.backend.philox import key_of, words
from growplan.check.predictors import epochs
from growplan.diagnostics import fail
from growplan.learn.draws import shuffled
from growplan.methods.operator import Predictor

SMALLEST = 1e-6  # of the largest singular value; squares keep half of the digits of float64

Weights = Callable[[int], Tensor]
"""`weights(layer)`: the matrix of an old layer, [outs, ins]."""


@dataclass(frozen=True)
class Directions:
    """One matrix of all layers: U S as `basis` [outs, r], V as `rows` [layers, r, ins]."""

    basis: Tensor
    rows: Tensor


@dataclass(frozen=True)
class Prediction:
    """Matrices of new layers [outs, ins], and how well the network knows the layers that it learned from.

    `error`: of V_i, mean square over that of V_i; `mean_error`: of the mean of its neighbours instead.
    """

    matrices: tuple[Tensor, ...]
    updates: int
    directions: int
    error: float
    mean_error: float


def predict(
    weights: Weights, layers: int, after: Sequence[int], predictor: Predictor, key: str, dtype: torch.dtype
) -> Prediction:
    """The matrices between each layer of `after` and the next one, from those of `layers` >= 3 layers.

    `key` seeds the network; it is fitted in `dtype`. Raises GP565 where the weights, or what is predicted
    of them, are not finite.
    """
    found = decompose(weights, layers, dtype)
    count = found.rows.shape[1]
    if not count:  # all of them are zero, and so is what lies between
        return Prediction((torch.zeros_like(weights(0)),) * len(after), 0, 0, 0.0, 0.0)
    network, updates = fit(found.rows, predictor, key)
    made = tuple(found.basis @ between(network, found.rows, i).to(found.basis.dtype) for i in after)
    if not all(bool(torch.isfinite(each).all()) for each in made):
        fail("GP565", "a network that predicts layers has diverged", help="lower `lr`")
    error, mean_error = errors(network, found.rows)
    return Prediction(made, updates, count, error, mean_error)


def decompose(weights: Weights, layers: int, dtype: torch.dtype) -> Directions:
    """U S and V of the matrices side by side; signs such that the largest entry of a column of U is > 0.

    Raises GP565 where they are not finite.
    """
    total = torch.zeros(0, dtype=torch.float64)
    for layer in range(layers):
        w = weights(layer).to(torch.float64)
        total = w @ w.T if layer == 0 else total.addmm_(w, w.T)
    if not bool(torch.isfinite(total).all()):
        message = "layers cannot be predicted from weights that are not finite"
        fail("GP565", message, help="look at the source: a forward pass must give finite values")
    squares, vectors = torch.linalg.eigh(total)
    sizes, vectors = squares.flip(0).clamp(min=0).sqrt(), vectors.flip(1)
    count = int((sizes > SMALLEST * sizes[0]).sum())
    sizes, vectors = sizes[:count], vectors[:, :count]
    vectors = vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    back = (vectors / sizes).T
    rows = [(back @ weights(layer).to(torch.float64)).to(dtype) for layer in range(layers)]
    return Directions(vectors * sizes, torch.stack(rows))


Network = tuple[tuple[Tensor, Tensor], ...]
"""(weight [out, in], bias [out]) of each of the three maps."""


def fit(rows: Tensor, predictor: Predictor, key: str) -> tuple[Network, int]:
    """A network fitted on all triples of `rows` [layers, r, ins], and how many updates that took."""
    network = drawn(rows.shape[2], predictor.hidden, key, rows)
    flat = [value.requires_grad_() for layer in network for value in layer]
    optimizer = torch.optim.AdamW(flat, lr=predictor.lr)
    count = (rows.shape[0] - 2) * rows.shape[1]
    updates = 0
    for epoch in range(epochs(count, predictor)):
        order = shuffled(count, f"{key}/epoch {epoch}").to(rows.device)
        for at in torch.split(order, predictor.batch):
            x, y = triples(rows, at)
            loss = loss_of(forward(network, x), y, predictor.norm)
            for value, grad in zip(flat, torch.autograd.grad(loss, flat), strict=True):
                value.grad = grad
            optimizer.step()
            updates += 1
    return tuple((w.detach(), b.detach()) for w, b in network), updates


def drawn(ins: int, hidden: int, key: str, like: Tensor) -> Network:
    """A network of this size as torch draws linear maps: U(-1, 1) / sqrt(what it reads)."""
    sizes = ((2 * ins, hidden), (hidden, hidden), (hidden, ins))
    return tuple(
        (
            _uniform((outs, reads), reads, f"{key}/weight {i}").to(like),
            _uniform((outs,), reads, f"{key}/bias {i}").to(like),
        )
        for i, (reads, outs) in enumerate(sizes)
    )


def _uniform(shape: tuple[int, ...], reads: int, key: str) -> Tensor:
    draws = words(key_of(key), 0, torch.Size(shape).numel()).view(shape).to(torch.float64)
    out: Tensor = ((draws + 0.5) / 2**31 - 1) / reads**0.5
    return out


def triples(rows: Tensor, at: Tensor) -> tuple[Tensor, Tensor]:
    """x [k, 2 ins] and y [k, ins] of the numbers `at`: triple by triple, in each row by row."""
    layer, row = at // rows.shape[1], at % rows.shape[1]
    return torch.cat((rows[layer, row], rows[layer + 2, row]), 1), rows[layer + 1, row]


def forward(network: Network, x: Tensor) -> Tensor:
    """G: [k, 2 ins] -> [k, ins]."""
    (a, b), (c, d), (e, f) = network
    out: Tensor = F.linear(F.linear(F.linear(x, a, b).relu(), c, d).relu(), e, f)
    return out


def loss_of(found: Tensor, wanted: Tensor, norm: float) -> Tensor:
    """The loss of one update."""
    off: Tensor = (found.norm() - wanted.norm()).square()
    return off * norm + (found - wanted).square().mean() * (1 - norm)


def between(network: Network, rows: Tensor, layer: int) -> Tensor:
    """V [r, ins] between `layer` and the next."""
    return forward(network, torch.cat((rows[layer], rows[layer + 1]), 1))


def errors(network: Network, rows: Tensor) -> tuple[float, float]:
    """Mean squares over that of V_i, on all triples: of the network's error, and of the neighbours' mean."""
    total = own = mean = 0.0
    for below, here, above in zip(rows[:-2], rows[1:-1], rows[2:], strict=True):
        own += float((forward(network, torch.cat((below, above), 1)) - here).square().sum())
        mean += float(((below + above) / 2 - here).square().sum())
        total += float(here.square().sum())
    return (own / total, mean / total) if total else (0.0, 0.0)
