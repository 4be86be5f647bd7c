"""Losses of grown models over several seeds, on Jane Austen's bytes and on Fashion-MNIST.

    python -m benchmarks.growth_losses [--tasks austen fashion-mnist] [--seeds 3] [--steps 100]

Every seed trains a source of its own (2 layers of 64) and grows it to 4 layers of 128: by copies (`stackbert`
and `fpi`), and by operators that are fitted for some steps. A model drawn by transformers and the copies are
trained for as many steps, plainly, so that equal work stands side by side. All losses (nats) are those of
stock transformers on data that neither training nor a fit has seen; benchmarks/datasets.py finds the data.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path

from transformers import logging

import growplan
from benchmarks.trained import SIZES, TASKS, Task, load, scratch, source, train, unseen_loss

COPIES = (
    "stack depth 2→4 via stackbert\nwiden hidden 64→128 via fpi\n"
    "widen heads 4→8 via fpi\nwiden ffn 256→512 via fpi\n"
)
LEARNED = {  # method, options
    "ligo": ("ligo", ""),
    "ligo from fpi": ("ligo", ", init fpi"),
    "mango": ("mango", ""),
}
Losses = Mapping[str, float]


def grow(steps: str, model: Path, out: Path) -> Path:
    """Apply plan lines to a checkpoint; returns the grown one."""
    plan = out.with_suffix(".grow")
    plan.write_text(f"source {model}\n{steps}\n", encoding="utf-8")
    return growplan.load(plan).apply(out, stock=False).target


def fitted(task: Task, model: Path, out: Path, method: str, steps: int, options: str = "") -> Path:
    """Grow by an operator that is fitted on the task's data; returns the grown checkpoint."""
    data = out.parent / task.write(out.parent)
    line = f"grow {SIZES} via {method} on {data.name} for {steps} steps, batch {task.rows}"
    return grow(line + options, model, out)


def losses(task: Task, folder: Path, seed: int, trained: int, steps: int) -> Losses:
    """Every loss of one seed, by name."""
    model = source(task, folder / "source", seed, trained)
    found = {"source": unseen_loss(task, load(task, model))}
    drawn = scratch(task, seed)
    found["scratch, 0"] = unseen_loss(task, drawn)
    found[f"scratch, {steps}"] = unseen_loss(task, train(task, drawn, steps, seed))
    copies = load(task, grow(COPIES, model, folder / "copies"))
    found["copies, 0"] = unseen_loss(task, copies)
    found[f"copies, {steps}"] = unseen_loss(task, train(task, copies, steps, seed))
    for name, (method, options) in LEARNED.items():
        begun = fitted(task, model, folder / f"{name}-0", method, 1, f"{options}, lr 0")
        found[f"{name}, 0"] = unseen_loss(task, load(task, begun))
        grown = fitted(task, model, folder / name, method, steps, options)
        found[f"{name}, {steps}"] = unseen_loss(task, load(task, grown))
    return found


def main() -> None:
    """Print one column a seed, and the mean."""
    parser = argparse.ArgumentParser(description="Losses of grown models over several seeds.")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=100, help="of fitting, and of plain training")
    parser.add_argument("--trained", type=int, default=1500, help="steps of training the source")
    arguments = parser.parse_args()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for name in arguments.tasks:
        columns: list[Losses] = []
        for seed in range(arguments.seeds):
            with tempfile.TemporaryDirectory() as folder:
                found = losses(TASKS[name], Path(folder), seed, arguments.trained, arguments.steps)
            columns.append(found)
        print(f"\n{name:16}" + "".join(f"  seed {seed}" for seed in range(len(columns))) + "    mean")
        for row in columns[0]:
            values = [column[row] for column in columns]
            print(f"{row:16}" + "".join(f"{value:8.3f}" for value in [*values, statistics.mean(values)]))


if __name__ == "__main__":
    main()
