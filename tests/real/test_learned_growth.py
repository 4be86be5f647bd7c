"""Fitted operators on real data, from really trained sources, over three seeds.

The data is Debian's (benchmarks/datasets.py says how to give it); without it these tests are skipped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock

import growplan
from benchmarks.datasets import Missing
from benchmarks.growth_losses import LEARNED, fitted
from benchmarks.trained import TASKS, Task, load, scratch, source, unseen_loss
from growplan.learn.reading import read_corpus
from growplan.methods.operator import Recipe
from tests.learn.handmade import bound

pytestmark = pytest.mark.evidence
TRAINED, STEPS = 1500, 100
LEARNT = {"austen": 1.9, "fashion-mnist": 0.6}  # a trained source has less; a drawn one 5.5 and 2.3
FAR = {"austen": 1.5, "fashion-mnist": 1.0}  # what a fit is better than a drawn target, at least
Measured = Callable[[str, float, float], None]
Sources = Callable[[Task, int], Path]


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Trained once for all workers."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if base.name.startswith("popen") else base

    def get(task: Task, seed: int) -> Path:
        folder = base / f"{task.name}-{seed}"
        with FileLock(f"{folder}.lock"):
            try:
                return source(task, folder, seed, TRAINED)
            except Missing as missing:
                pytest.skip(str(missing))

    return get


def record(grown: Path) -> dict[str, Any]:
    """What growth.json says of the fit."""
    found: dict[str, Any] = json.loads((grown / "growth.json").read_text(encoding="utf-8"))
    return found["extra"]["fitted"][0]  # type: ignore[no-any-return]


@torch.no_grad()
def loss_held_out(task: Task, plan: Path, grown: Path, model: Any) -> float:
    """The loss of a stock model on the batches that its fit held out."""
    (step,) = growplan.load(plan).check().steps
    said = record(grown)
    recipe = Recipe(batch=said["recipe"]["batch"], tokens=said["recipe"]["tokens"])
    batches = read_corpus(plan.parent / said["data"], grown, bound(grown), recipe, step.key).held_out()
    total = 0.0
    for batch in batches:
        labels = batch.inputs if task.name == "austen" else batch.targets
        total += float(task.loss(model, (batch.inputs, labels))) * batch.asked()
    return total / sum(batch.asked() for batch in batches)


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("name", list(TASKS))
def test_a_fit_keeps_what_the_source_has_learnt(
    name: str, seed: int, sources: Sources, tmp_path: Path, measured: Measured
) -> None:
    """After 100 steps the loss is lower than at first, and far below that of a model drawn at random."""
    task = TASKS[name]
    trained = sources(task, seed)
    assert unseen_loss(task, load(task, trained)) < LEARNT[name]
    drawn = unseen_loss(task, scratch(task, seed))
    for title, (method, options) in LEARNED.items():
        begun = fitted(task, trained, tmp_path / f"{title}-0", method, 1, f"{options}, lr 0")
        grown = fitted(task, trained, tmp_path / title, method, STEPS, options)
        first, model = unseen_loss(task, load(task, begun)), load(task, grown)  # clean, by stock transformers
        bound = min(first, drawn - FAR[name])
        measured(f"{title}, {name}, seed {seed}: loss after {STEPS} steps", unseen_loss(task, model), bound)
        said = record(grown)
        assert said["after"] < said["before"]
        assert loss_held_out(task, tmp_path / f"{title}.grow", grown, model) == pytest.approx(
            said["after"], rel=1e-4
        )


def test_the_published_rates_leave_an_operator_about_where_it_began(
    sources: Sources, tmp_path: Path, measured: Measured
) -> None:
    """10000 steps of warm-up, of which it runs 100: the rate ends at 2e-6."""
    task = TASKS["austen"]
    trained = sources(task, 0)
    published = fitted(task, trained, tmp_path / "published", "ligo", STEPS, ", recipe published")
    default = fitted(task, trained, tmp_path / "default", "ligo", STEPS)
    fell = {grown.name: record(grown)["before"] - record(grown)["after"] for grown in (published, default)}
    measured(
        "ligo, austen: the published recipe's share of the gain", fell["published"] / fell["default"], 0.05
    )
