"""The function, measured: both models run on random token ids or images, block by block.

Each block of the grown model is given two inputs: the grown stream itself, and E of the old
stream, so that a block whose weights all satisfy their laws but whose rule is wrong (a query
head in another group) is found in its layer. Everything is float64; errors are divided by the
standard deviation of what they are errors of.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor

from growplan.algebra import Expansion
from growplan.backend.inputs import fitted, random_inputs
from growplan.backend.interpreter import Interpreter
from growplan.backend.laws import Sides
from growplan.backend.maps import apply, determined
from growplan.backend.outputs import output_maps
from growplan.families.model import Model
from growplan.ir.graph import Step

FEW = 32  # numbers whose standard deviation says little
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
    was_finite: bool = True  # before the step

    @property
    def relative(self) -> float:
        return self.error / self.spread if self.spread else (0.0 if self.error == 0 else float("inf"))


@dataclass(frozen=True)
class Probed:
    """What a run of both models yields."""

    blocks: tuple[BlockError, ...]
    outputs: tuple[OutputError, ...]


def probe(step: Step, sides: Sides, *, blocks: bool, enter: Callable[[int | None], None]) -> Probed:
    """Run both models; `blocks`: also compare the blocks that the step claims to preserve.

    `enter(layer)` is called before each layer of the grown model runs, and with None before
    anything does: whatever else looks at those tensors finds them loaded once.
    """
    old, new = (
        Interpreter(model, view.get, torch.float64, sides.new.device)
        for model, view in ((sides.before, sides.old), (sides.after, sides.new))
    )
    given = random_inputs(sides.before, sides.random)
    resized = fitted(given, sides.after)
    e = step.stream or Expansion.identity(sides.before.sizes["hidden"])
    enter(None)
    x_old, x_new = old.embed(given), new.embed(resized)
    found = [_block_error("embed", e, x_old, x_new)] if blocks else []
    sampled, at = _sampled(sides.after), 0  # old blocks run so far
    for layer, (source, silent) in enumerate(layers_of(step, sides.after)):
        enter(layer)
        compared = blocks and layer in sampled and (silent or source == at)
        x_in = apply(e, x_old, free=x_new) if compared else x_new[:0]
        if not silent and source == at and at < sides.before.depth:
            x_old, at = old.block(at, x_old), at + 1
        x_new, got = torch.split(new.block(layer, torch.cat([x_new, x_in])), [len(x_old), len(x_in)])
        if compared:
            found.append(_block_error(f"block {layer}", e, x_old, got))
    while at < sides.before.depth:
        x_old, at = old.block(at, x_old), at + 1
    maps = output_maps(step, sides.before)
    expected, got_all = old.head(x_old, given), new.head(x_new, resized)
    outputs = tuple(
        output_error(name, _reaching(maps[name], got_all[name]), expected[name], got_all[name])
        for name in expected
    )
    return Probed(tuple(found), outputs)


def _reaching(e: Expansion, got: Tensor) -> Expansion:
    """The map of an output that a learned step widens: its first units are comparable, the new ones free."""
    return e if e.size == got.shape[-1] else Expansion.appended(e.size, got.shape[-1], "free")


def layers_of(step: Step, after: Model) -> tuple[tuple[int, bool], ...]:
    """(old layer, silent) of every layer; a step on width keeps each layer."""
    return step.layers or tuple((i, False) for i in range(after.depth))


def _sampled(model: Model) -> frozenset[int]:
    """The layers whose blocks are compared."""
    counts = (prod(model.shape(p)) * model.copies(p) for p in model.params())
    if sum(counts) < EVERY_LAYER_BELOW:
        return frozenset(range(model.depth))
    return frozenset({0, model.depth // 2, model.depth - 1})


def _block_error(where: str, e: Expansion, old: Tensor, got: Tensor) -> BlockError:
    """`got` against E of the old stream, on the units that E determines."""
    expected, keep = apply(e, old), determined(e).to(got.device)
    error = (got - expected).abs()[..., keep].amax(-1) / expected.std(-1).clamp(min=1e-290)
    return BlockError(where, float(error.nan_to_num(nan=float("inf")).max()))


def spread_of(x: Tensor) -> float:
    """Standard deviation; of a few numbers (the score of one label) their size instead."""
    return float(x.std()) if x.numel() >= FEW else float(x.square().mean().sqrt())


def output_error(name: str, e: Expansion, old: Tensor, got: Tensor) -> OutputError:
    """`got` against E of the old output, on the units that E determines.

    Of images of two sizes only the first token stands in both.
    """
    finite, was_finite = (bool(torch.isfinite(t).all()) for t in (got, old))
    if old.shape[:-1] != got.shape[:-1]:
        old, got = old[:, :1], got[:, :1]
    expected, keep = apply(e, old), determined(e).to(got.device)
    error = float((got - expected).abs()[..., keep].nan_to_num(nan=float("inf")).max())
    kl = None
    if name == "logits":
        p, q = (torch.log_softmax(t[..., keep], -1) for t in (expected, got))
        kl = max(0.0, float((p.exp() * (p - q)).sum(-1).mean()))  # rounding may go below
    return OutputError(name, error, spread_of(old), kl, finite, was_finite)
