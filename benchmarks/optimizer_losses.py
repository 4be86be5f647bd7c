"""The losses right after a growth, with AdamW's moments grown, reset, and dropped, on the same batches.

    python benchmarks/optimizer_losses.py --seeds 0 1 2

A byte-level GPT-2 (2 layers of 64) is trained on Jane Austen, grown, and trained on. `grown` and `reset` go
on at the rate where the source stood; `dropped` has no state at all, so that its schedule begins anew.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

import growplan
from benchmarks.trained import SOURCE, TASKS, Task, load
from growplan.runtime import grow_optimizer

RATE, WARMUP, STEPS, AFTER = 2e-3, 50, 600, 20
ARMS = ("grown", "reset", "dropped")
PLANS: Mapping[str, str] = {
    "staged": "grow hidden 64→128, heads 4→8, ffn 256→512 via staged",
    "fpi, even": "grow hidden 64→128, heads 4→8, ffn 256→512 via fpi, split even",
    "fpi, uneven": "grow hidden 64→128, heads 4→8, ffn 256→512 via fpi",
    "lemon": "grow hidden 64→96, heads 4→6, ffn 256→384 via lemon",
    "mask-in ffn": "mask-in ffn 256→512",
    "identity": "deepen depth 2→4 via identity",
}


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
    plan = growplan.parse(steps, model=source.folder)
    plan.apply(folder, stock=False)
    found = {}
    for arm in ARMS:
        model = load(task, folder)
        optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)
        if arm == "grown":
            grow_optimizer(plan.moments(), source.model, source.optimizer, model, optimizer)
        generator = torch.Generator().manual_seed(10_000 + seed)
        found[arm] = train(task, model, optimizer, generator, AFTER, 0 if arm == "dropped" else WARMUP)
    return found


def unchanged(task: Task, source: Source, seed: int) -> list[float]:
    """The losses of the source trained on without growth, on the same batches. Its optimizer moves on."""
    generator = torch.Generator().manual_seed(10_000 + seed)
    return train(task, source.model, source.optimizer, generator, AFTER, WARMUP)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print, for each plan and arm, some of the losses and their mean."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    asked = parser.parse_args(arguments)
    task = TASKS["austen"]
    shown = [0, 1, 2, 4, 9, 19]
    print(
        f"{'seed':4}  {'plan':12}  {'arm':8}" + "".join(f"  step {i + 1:<3}" for i in shown) + "  mean of 20"
    )
    for seed in asked.seeds:
        with TemporaryDirectory() as scratch:
            source = trained(task, Path(scratch) / "source", seed)
            rows = []
            for index, (title, steps) in enumerate(PLANS.items()):
                found = after_growth(task, source, steps, Path(scratch) / str(index), seed)
                rows += [(title, arm, losses) for arm, losses in found.items()]
            rows.append(("none", "", unchanged(task, source, seed)))
        for title, arm, losses in rows:
            some = "".join(f"  {losses[i]:8.4f}" for i in shown)
            print(f"{seed:4}  {title:12}  {arm:8}{some}  {sum(losses) / len(losses):10.4f}")


if __name__ == "__main__":
    main()
