"""The losses right after a growth, with AdamW's moments grown, reset, and dropped, on the same batches.

    python benchmarks/optimizer_losses.py --seeds 0 1 2 3 4

A byte-level GPT-2 (2 layers of 64) is trained on Jane Austen, grown, and trained on. `grown` and `reset` go
on at the rate where the source stood; `dropped` has no state at all, so that its schedule begins anew, with a
warm-up; `grown, warm` has the grown moments under that schedule. A seed draws the source's weights, what it
is trained on, the growth, and what is trained on after it. Batches differ more than arms do: what is shown is
the loss above that of the source trained on without growth, on the same batches, and how that spreads over
the seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev
from tempfile import TemporaryDirectory
from typing import Any

import torch

import growplan
from benchmarks.trained import SOURCE, TASKS, Task, load
from growplan.runtime import grow_optimizer

RATE, WARMUP, STEPS, AFTER = 2e-3, 50, 600, 20
NONE = "no growth"
PLANS: Mapping[str, str] = {
    "staged": "grow hidden 64→128, heads 4→8, ffn 256→512 via staged",
    "fpi, uneven": "grow hidden 64→128, heads 4→8, ffn 256→512 via fpi",
    "lemon": "grow hidden 64→96, heads 4→6, ffn 256→384 via lemon",
    "mask-in ffn": "mask-in ffn 256→512",
    "identity": "deepen depth 2→4 via identity",
}


@dataclass(frozen=True)
class Arm:
    """How a grown model is trained on: with the moments of its source, and behind a warm-up."""

    moments: bool
    warm_up: bool


ARMS: Mapping[str, Arm] = {
    "grown": Arm(moments=True, warm_up=False),
    "reset": Arm(moments=False, warm_up=False),
    "grown, warm": Arm(moments=True, warm_up=True),
    "dropped": Arm(moments=False, warm_up=True),
}
Losses = Mapping[str, Mapping[str, Sequence[float]]]
"""Plan -> arm -> the loss of each step; NONE -> "" -> that of the source without growth."""


@dataclass(frozen=True)
class Source:
    """A trained model with its optimizer, and a copy on disk."""

    model: Any
    optimizer: torch.optim.AdamW
    folder: Path


def trained(task: Task, folder: Path, seed: int, steps: int = STEPS) -> Source:
    """A source after some steps at a constant rate."""
    torch.manual_seed(seed)
    model = task.model(SOURCE)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
    train(task, model, optimizer, torch.Generator().manual_seed(seed), steps)
    model.save_pretrained(folder)
    return Source(model, optimizer, folder)


def train(
    task: Task, model: Any, optimizer: Any, generator: torch.Generator, steps: int, warm: int = 0
) -> list[float]:
    """Train, the rate up over the first `WARMUP` steps where `warm` of them are not done; the losses."""
    losses = []
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * min(1.0, (warm + step + 1) / WARMUP)
        optimizer.zero_grad()
        loss = task.loss(model, task.batch(generator))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def after_growth(task: Task, source: Source, steps: str, folder: Path, seed: int) -> dict[str, list[float]]:
    """Arm -> the losses of the grown model's next steps."""
    plan = growplan.parse(f"seed {seed}; {steps}", model=source.folder)
    plan.apply(folder, stock=False)
    found = {}
    for name, arm in ARMS.items():
        model = load(task, folder)
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        if arm.moments:
            grow_optimizer(plan.moments(), source.model, source.optimizer, model, optimizer)
        warm = 0 if arm.warm_up else WARMUP
        found[name] = train(task, model, optimizer, _behind(seed), AFTER, warm)
    return found


def _behind(seed: int) -> torch.Generator:
    """What draws the batches after the growth."""
    return torch.Generator().manual_seed(10_000 + seed)


def measure(task: Task, folder: Path, seed: int) -> Losses:
    """The losses of every plan and arm after a source of its own."""
    source = trained(task, folder / "source", seed)
    found = {
        title: after_growth(task, source, steps, folder / str(number), seed)
        for number, (title, steps) in enumerate(PLANS.items())
    }
    plain = train(task, source.model, source.optimizer, _behind(seed), AFTER, WARMUP)
    return {**found, NONE: {"": plain}}


def above(found: Losses, plan: str, arm: str) -> list[float]:
    """The loss of each step above that of the source without growth, on the same batch."""
    return [a - b for a, b in zip(found[plan][arm], found[NONE][""], strict=True)]


# showing -------------------------------------------------------------------------------------------


def table(found: Sequence[Losses]) -> Iterator[str]:
    """Markdown: for each plan and arm, mean and deviation over the seeds at step 2 and over all steps."""
    yield f"| growth | step | {' | '.join(ARMS)} |"
    yield "|---" * (len(ARMS) + 2) + "|"
    for title in PLANS:
        for words, steps in (("2", slice(1, 2)), (f"1 to {AFTER}", slice(AFTER))):
            cells = (_spread([fmean(above(each, title, arm)[steps]) for each in found]) for arm in ARMS)
            yield f"| {title} | {words} | {' | '.join(cells)} |"


def _spread(values: Sequence[float]) -> str:
    """`+0.012 ± 0.003`: the mean, and the standard deviation where there are several values."""
    some = len(values) > 1
    return f"{fmean(values):+.3f}" + (f" ± {stdev(values):.3f}" if some else "")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print some losses of each seed, and what all of them show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args(arguments)
    task, shown, every = TASKS["austen"], [0, 1, 2, 4, 9, 19], list[Losses]()
    print("seed  plan         arm        " + "".join(f"  step {i + 1:<3}" for i in shown) + "  mean of 20")
    for seed in asked.seeds:
        with TemporaryDirectory() as scratch:
            every.append(measure(task, Path(scratch), seed))
        for title, arms in every[-1].items():
            for arm, losses in arms.items():
                some = "".join(f"  {losses[i]:8.4f}" for i in shown)
                print(f"{seed:4}  {title:11}  {arm:11}{some}  {fmean(losses):10.4f}")
    print("\nthe loss above that of no growth, on the same batches\n")
    print("\n".join(table(every)))


if __name__ == "__main__":
    main()
