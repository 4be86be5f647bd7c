"""The data of a toy: random ids take the place of a file that a step measures on."""

from __future__ import annotations

import json
from pathlib import Path

from growplan.check.typed import TypedPlan
from growplan.methods.base import uniform
from growplan.toy.sizes import Sizes

ROWS, LONGEST = 16, 64


def data_name(step: str) -> str:
    """The file beside a toy's plan."""
    return f"{step}.json"


def write_data(full: TypedPlan, sizes: tuple[Sizes, ...], folder: Path) -> None:
    """Random ids, and labels where the loss needs them, for every step that measures on data."""
    for step in full.steps:
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
        (folder / data_name(step.id)).write_text(json.dumps(found), encoding="utf-8")
