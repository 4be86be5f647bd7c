"""The data of a toy: random ids take the place of a file that a step measures on."""

from __future__ import annotations

import json
from pathlib import Path

from growplan.check.task import task_of
from growplan.check.typed import TypedPlan, TypedStep
from growplan.methods.base import uniform
from growplan.toy.sizes import Sizes

ROWS, LONGEST = 16, 64
FITTING = 3  # steps of a fit
SUFFIXES = {"image": ".npz", "causal": ".bin", "masked": ".bin"}  # what a fit reads; labels lie in .jsonl


def data_name(step: TypedStep) -> str:
    """The file beside a toy's plan."""
    return step.id + (".json" if step.operator is None else SUFFIXES.get(task_of(step.after), ".jsonl"))


def masks(step: TypedStep) -> bool:
    """Whether the step hides tokens, so that a toy must say which token does."""
    if step.operator is not None:
        return task_of(step.after) == "masked"
    return step.fit is not None and step.fit.loss == "masked"


def write_data(full: TypedPlan, sizes: tuple[Sizes, ...], folder: Path) -> None:
    """Random ids or images, and labels where the loss needs them, for every step that has data."""
    for step in full.steps:
        if step.operator is not None:
            _write_corpus(step, sizes[step.index], folder / data_name(step))
        if step.fit is None:
            continue
        before, random = sizes[step.index - 1], uniform(step.key)
        length = min(LONGEST, before.get("positions", LONGEST))
        ids = [[int(random.random() * before["vocab"]) for _ in range(length)] for _ in range(ROWS)]
        found: dict[str, object] = {"ids": ids}
        if step.fit.loss == "sequence":
            found["labels"] = [int(random.random() * before["labels"]) for _ in ids]
        elif step.fit.loss == "token":
            found["labels"] = [[int(random.random() * before["labels"]) for _ in row] for row in ids]
        (folder / data_name(step)).write_text(json.dumps(found), encoding="utf-8")


def _write_corpus(step: TypedStep, sizes: Sizes, path: Path) -> None:
    import numpy as np

    random, task = np.random.default_rng(0), task_of(step.after)
    if task == "image":
        pixels = random.normal(size=(ROWS, sizes["channels"], sizes["image"], sizes["image"]))
        np.savez(path, images=pixels, labels=random.integers(0, sizes["labels"], ROWS))
        return
    if task in ("causal", "masked"):
        random.integers(0, sizes["vocab"], ROWS * LONGEST).astype("<u2").tofile(path)
        return
    records = []
    for ids in random.integers(1, sizes["vocab"], (ROWS, LONGEST)).tolist():
        labels = random.integers(0, sizes["labels"], LONGEST).tolist()
        target = {
            "sequence": {"label": labels[0]},
            "token": {"labels": labels},
            "answer": {"start": 1, "end": 2},
        }
        records.append(json.dumps({"ids": ids, **target[task]}))
    path.write_text("\n".join(records), encoding="utf-8")
