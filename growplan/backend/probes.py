"""The function, measured: both models run on random token ids, block by block.

Each block of the grown model is given two inputs: the grown stream itself, and E of the old
stream, so that a block whose weights all satisfy their laws but whose rule is wrong (a query
head in another group) is found in its layer. Everything is float64; errors are divided by the
standard deviation of what they are errors of.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from growplan.algebra import Expansion
from growplan.backend.interpreter import Interpreter
from growplan.backend.laws import Sides
from growplan.backend.maps import apply, determined
from growplan.backend.outputs import output_maps
from growplan.families.model import Model
from growplan.ir.graph import Step

BATCH, TOKENS = 2, 16
EVERY_LAYER_BELOW = 300_000_000  # parameters; of larger models the first, middle and last blocks


@dataclass(frozen=True)
class BlockError:
    """Largest error of one block over the spread of its output, token by token."""

    where: str  # `embed`, `block 3`
    error: float


@dataclass(frozen=True)
class OutputError:
    """One output of the head. `kl` (nats, mean over tokens) for logits only."""

    name: str
    error: float  # max abs
    spread: float  # standard deviation of the expected output
    kl: float | None
    finite: bool

    @property
    def relative(self) -> float:
        return self.error / self.spread if self.spread else (0.0 if self.error == 0 else float("inf"))


@dataclass(frozen=True)
class Probed:
    """What a run of both models yields."""

    blocks: tuple[BlockError, ...]
    outputs: tuple[OutputError, ...]


def probe_ids(before: Model, random: torch.Generator) -> Tensor:
    """Random ids of the old vocabulary, no longer than the old positions."""
    tokens = min(TOKENS, before.sizes.get("positions", TOKENS))
    return torch.randint(0, before.sizes["vocab"], (BATCH, tokens), generator=random)


def probe(step: Step, sides: Sides, *, blocks: bool) -> Probed:
    """Run both models; `blocks`: also compare the blocks that the step claims to preserve."""
    old, new = (
        Interpreter(model, view.get, torch.float64, sides.new.device)
        for model, view in ((sides.before, sides.old), (sides.after, sides.new))
    )
    ids = probe_ids(sides.before, sides.random)
    e = step.stream or Expansion.identity(sides.before.sizes["hidden"])
    x_old, x_new = old.embed(ids), new.embed(ids)
    found = [_block_error("embed", apply(e, x_old), x_new)] if blocks else []
    at = 0  # old blocks run so far
    for layer, (source, silent) in enumerate(layers_of(step, sides.after)):
        follows = blocks and (silent or source == at)
        if follows:
            x_in = apply(e, x_old)
        if not silent and source == at:
            x_old, at = old.block(at, x_old), at + 1
        if follows and layer in _sampled(sides.after):
            x_new, got = torch.split(new.block(layer, torch.cat([x_new, x_in])), BATCH)
            found.append(_block_error(f"block {layer}", apply(e, x_old), got))
        else:
            x_new = new.block(layer, x_new)
    while at < sides.before.depth:
        x_old, at = old.block(at, x_old), at + 1
    maps = output_maps(step, sides.before)
    expected, got_all = old.head(x_old, ids), new.head(x_new, ids)
    outputs = tuple(_output_error(name, maps[name], expected[name], got_all[name]) for name in expected)
    return Probed(tuple(found), outputs)


def layers_of(step: Step, after: Model) -> tuple[tuple[int, bool], ...]:
    """(old layer, silent) of every layer; a step on width keeps each layer."""
    return step.layers or tuple((i, False) for i in range(after.depth))


def _sampled(model: Model) -> frozenset[int]:
    parameters = sum(rows_times_columns(model))
    if parameters < EVERY_LAYER_BELOW:
        return frozenset(range(model.depth))
    return frozenset({0, model.depth // 2, model.depth - 1})


def rows_times_columns(model: Model) -> list[int]:
    """Elements of every parameter, layers counted."""
    counts = []
    for param in model.params():
        size = 1
        for n in model.shape(param):
            size *= n
        counts.append(size * (model.depth if param.in_layer else 1))
    return counts


def _block_error(where: str, expected: Tensor, got: Tensor) -> BlockError:
    error = (got - expected).abs().amax(-1) / expected.std(-1).clamp(min=1e-290)
    return BlockError(where, float(error.nan_to_num(nan=float("inf")).max()))


def _output_error(name: str, e: Expansion, old: Tensor, got: Tensor) -> OutputError:
    expected, keep = apply(e, old), determined(e).to(got.device)
    error = float((got - expected).abs()[..., keep].nan_to_num(nan=float("inf")).max())
    kl = None
    if name == "logits":
        p, q = (torch.log_softmax(t[..., keep], -1) for t in (expected, got))
        kl = float((p.exp() * (p - q)).sum(-1).mean())
    return OutputError(name, error, float(old.std()), kl, bool(torch.isfinite(got).all()))
