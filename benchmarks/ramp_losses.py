"""What the length of a mask's ramp does to the loss, on the same batches.

    python benchmarks/ramp_losses.py --seeds 0 1 2
    python benchmarks/ramp_losses.py --model examples/smollm2/model --ramps 2 10 50

The byte-level GPT-2 of `optimizer_losses.py` (2 layers of 64, 600 steps on Jane Austen at a rate of 2e-3) is
grown behind masks, and trained on at that rate with its moments grown, over the ramp and 50 steps more. What
is shown is the loss above that of the source trained on without growth: the highest of a step, and the mean
of the last 20 steps. `--model`: SmolLM2-135M in its place, with its tokenizer, in batches of 2 x 64 tokens
at a rate of 5e-5 and with no moments to begin with, over the ramp and 10 steps more, of which 5 count.
"""

from __future__ import annotations

import argparse
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

import growplan
from benchmarks.datasets import austen
from benchmarks.optimizer_losses import RATE, Source, trained
from benchmarks.trained import TASKS, Pair
from growplan.learn.tokenizer import tokenize
from growplan.runtime import attach, grow_optimizer

RAMPS = (2, 10, 50, 200, 1000)
SMALL = {
    "ffn ×2": ("mask-in ffn 256→512",),
    "depth ×2": ("mask-in depth 2→4",),
    "hidden and heads ×2": ("mask-in hidden 64→128", "mask-in heads 4→8"),
}
REAL = {
    "ffn 1536→2048": ("mask-in ffn 1536→2048",),
    "depth 30→36": ("mask-in depth 30→36",),
    "hidden 576→768, heads 9→12": ("mask-in hidden 576→768", "mask-in heads 9→12"),
}


class Reads(Protocol):
    """What a model is trained on."""

    def batch(self, generator: torch.Generator) -> Pair: ...

    def loss(self, model: Any, pair: Pair) -> Tensor: ...


@dataclass(frozen=True)
class Tokenised:
    """Jane Austen by the tokenizer of a checkpoint, in batches of 2 x 64 tokens."""

    folder: Path

    @cached_property
    def _ids(self) -> Tensor:
        return torch.tensor(tokenize(self.folder, austen()[0].decode()[:400_000]))

    def batch(self, generator: torch.Generator) -> Pair:
        starts = torch.randint(len(self._ids) - 64, (2,), generator=generator).tolist()
        ids = torch.stack([self._ids[start : start + 64] for start in starts])
        return ids, ids

    def loss(self, model: Any, pair: Pair) -> Tensor:
        loss: Tensor = model(input_ids=pair[0], labels=pair[1]).loss
        return loss


@dataclass(frozen=True)
class Setting:
    """What is grown, at which rate it is trained, how many steps behind a ramp; the last of them count.

    `seed` draws the growth, `order` the batches.
    """

    reads: Reads
    source: Source
    plans: Mapping[str, Sequence[str]]
    rate: float
    behind: int
    last: int
    seed: int
    order: int


def small(seed: int, folder: Path) -> Setting:
    """The byte-level GPT-2."""
    task = TASKS["austen"]
    return Setting(task, trained(task, folder, seed), SMALL, RATE, 50, 20, seed, 20_000 + seed)


def real(seed: int, folder: Path) -> Setting:
    """A checkpoint, with an optimizer that knows nothing."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    source = Source(model, torch.optim.AdamW(model.parameters()), folder)
    return Setting(Tokenised(folder), source, REAL, 5e-5, 10, 5, seed, seed)


@dataclass(frozen=True)
class Effect:
    """Losses above no growth: the highest of a step, and the mean at the end."""

    highest: float
    last: float


def train(
    of: Setting, model: Any, optimizer: torch.optim.Optimizer, steps: int, then: Callable[[], Any]
) -> list[float]:
    """The loss of each step, on batches that `order` alone gives; `then` is called behind each."""
    generator, losses = torch.Generator().manual_seed(of.order), list[float]()
    for _ in range(steps):
        optimizer.zero_grad()
        loss = of.reads.loss(model, of.reads.batch(generator))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        then()
        losses.append(float(loss.detach()))
    return losses


def unchanged(of: Setting, steps: int) -> list[float]:
    """The losses of the source trained on without growth; the source itself stays as it is."""
    model = copy.deepcopy(of.source.model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=of.rate)
    if of.source.optimizer.state:
        optimizer.load_state_dict(copy.deepcopy(of.source.optimizer.state_dict()))
    return train(of, model, optimizer, steps, lambda: None)


def effect(of: Setting, masks: Sequence[str], ramp: int, plain: list[float]) -> Effect:
    """What a growth behind masks that rise over `ramp` steps does."""
    text = "; ".join([f"seed {of.seed}", *(f"{mask} over {ramp} steps" for mask in masks)])
    plan = growplan.parse(text, model=of.source.folder)
    with TemporaryDirectory() as scratch:
        grown = plan.apply(Path(scratch) / "grown", stock=False).target
        model = AutoModelForCausalLM.from_pretrained(grown)
        attached = attach(model, grown)
        optimizer = torch.optim.AdamW(model.parameters(), lr=of.rate)
        if of.source.optimizer.state:
            grow_optimizer(plan.moments(), of.source.model, of.source.optimizer, model, optimizer)
        losses = train(of, model, optimizer, ramp + of.behind, attached.step)
    above = [a - b for a, b in zip(losses, plain, strict=False)]
    return Effect(max(above), fmean(above[-of.last :]))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table: for each growth and ramp, the mean over the seeds and the extremes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--ramps", type=int, nargs="+", default=RAMPS)
    parser.add_argument("--model", type=Path)
    asked = parser.parse_args(arguments)
    found = dict[tuple[str, int], list[Effect]]()
    for seed in asked.seeds:
        with TemporaryDirectory() as scratch:
            of = small(seed, Path(scratch)) if asked.model is None else real(seed, asked.model)
            plain = unchanged(of, max(asked.ramps) + of.behind)
            for title, masks in of.plans.items():
                for ramp in asked.ramps:
                    found.setdefault((title, ramp), []).append(effect(of, masks, ramp, plain))
    print("| growth | ramp | highest above no growth | at the end |")
    print("|---|---|---|---|")
    for (title, ramp), effects in found.items():
        shown = [_spread([each.highest for each in effects]), _spread([each.last for each in effects])]
        print(f"| {title} | {ramp} | {' | '.join(shown)} |")


def _spread(values: Sequence[float]) -> str:
    """The mean, and the least and the largest of several values."""
    some = f" ({min(values):+.2f} to {max(values):+.2f})" if len(values) > 1 else ""
    return f"{fmean(values):+.3f}{some}"


if __name__ == "__main__":
    main()
