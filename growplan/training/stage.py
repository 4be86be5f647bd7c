"""One stage of a run: grow, train, publish, each from where an earlier run was stopped."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from growplan.apply import apply
from growplan.check.learned import as_read
from growplan.check.stages import Schedule, TypedStage
from growplan.check.training import place
from growplan.checkpoint.config import list_directory
from growplan.checkpoint.training import OPTIMIZER
from growplan.diagnostics import DiagnosticError, fail
from growplan.learn.corpus import Batch, Corpus
from growplan.learn.forms import fingerprint
from growplan.learn.kept import Kept
from growplan.learn.place import data_folder, data_path
from growplan.learn.reading import read_corpus
from growplan.learn.resume import folder_of
from growplan.methods.operator import Recipe
from growplan.pipeline import placed
from growplan.publish import Event
from growplan.training.data import path_of, readers
from growplan.training.facts import hold_to
from growplan.training.history import History
from growplan.training.intact import hold_checkpoint, hold_published
from growplan.training.keeper import Keeper, Meter
from growplan.training.lineage import publish_trained
from growplan.training.loaded import Asks, Loaded, load
from growplan.training.moments import moments_beside
from growplan.training.parts import callbacks, rewarm_of
from growplan.training.places import TOKENS, StageFolder, published
from growplan.training.trainer import Batches, StageTrainer

READS = ("vocab", "positions", "image", "channels", "labels")  # sizes of what a model reads and says


@dataclass(frozen=True)
class Step:
    """Something to show: a stage begins to `grow` or to `train`, is at step `done`, or is `left`.

    `loss`: of the last step, or on what is held out where a stage begins or ends. `growing`: an event of its
    growth.
    """

    kind: str  # grow | train | step | left
    stage: TypedStage
    done: int = 0
    loss: float | None = None
    growing: Event | None = None
    resumed: bool = False


Tell = Callable[[Step], None]


@dataclass(frozen=True)
class Run:
    """What all stages of a run share. `source`: the name of the model that it began with."""

    out: Path
    schedule: Schedule
    source: str
    device: torch.device
    history: History
    stock: bool | None
    tell: Tell

    def folder(self, stage: TypedStage) -> StageFolder:
        return StageFolder(self.out / stage.folder)

    @property
    def key(self) -> str:
        """Of everything that the run draws; batches are numbered through all stages."""
        return f"{self.schedule.plan.seed}/train"

    def meter(self, stage: TypedStage) -> Meter:
        """Where a stage stands in the run."""
        before = self.schedule.stages[: stage.index - 1]
        steps = stage.training.recipe.steps if stage.training is not None else 1
        costs = [each.cost for each in before]
        return Meter(
            stage.name,
            sum(each.training.recipe.steps for each in before if each.training is not None),
            sum(cost.tokens for cost in costs),
            sum(cost.flops for cost in costs) + stage.cost.fits,
            stage.cost.tokens // steps,
            (stage.cost.flops - stage.cost.fits) // steps,
        )

    def left(self, stage: TypedStage) -> Path:
        """What a stage leaves when it is done."""
        folder = self.folder(stage)
        return folder.grown if stage.training is None else folder.trained

    def done_before(self, stage: TypedStage) -> frozenset[str]:
        return frozenset(each.name for each in self.schedule.stages[: stage.index - 1])


def run_stage(run: Run, stage: TypedStage, before: Path) -> Path:
    """Bring a stage that is not done to its end, from wherever it stands; the directory that it leaves.

    A stage that only grows is done when its history says so, which is written last.
    """
    start = _grown(run, stage, before)
    if stage.training is not None:
        return _Training(run, stage, before, start).finish()
    run.history.rewind(run.done_before(stage), stage.name, None, run.folder(stage).path)
    run.history.add(run.meter(stage).line("growth", 0, before=None, after=None))
    run.history.sync()
    run.tell(Step("left", stage))
    return start


def _grown(run: Run, stage: TypedStage, before: Path) -> Path:
    """The model that a stage begins to train with: grown, or as the stage before left it."""
    if stage.typed is None:
        return before
    grown = run.folder(stage).grown
    if published(grown):
        shutil.rmtree(folder_of(grown), ignore_errors=True)  # of a run killed between the two
        hold_published(grown)
        return grown
    hold_to(run.folder(stage).facts, _data_of_growth(stage), f"stage `{stage.name}`")
    run.tell(Step("grow", stage))
    carried = stage.training is None or stage.training.optimizer == "grow"

    def grow(resume: bool) -> None:
        apply(
            stage.plan,
            grown,
            model_dir=before,
            family=stage.before.family.path,
            device=str(run.device),
            resume=resume,
            stock=run.stock,
            optimizer="grow" if carried and OPTIMIZER in list_directory(before) else None,
            progress=lambda event: run.tell(Step("grow", stage, growing=event)),
        )

    try:
        grow(resume=any(step.operator is not None for step in stage.typed.steps))
    except DiagnosticError as error:
        if [d.code for d in error.diagnostics] != ["GP535"]:
            raise
        grow(resume=False)  # the state of a fit that began with another torch or elsewhere
    return grown


def _data_of_growth(stage: TypedStage) -> dict[str, str]:
    """What the learned steps of a growth are fitted on, by its hash."""
    assert stage.typed is not None
    named = {step.id: step.data if step.fit is None else step.fit.data for step in stage.typed.steps}
    base = data_folder(stage.plan)
    return {f"data of {step}": fingerprint(data_path(data, base)) for step, data in named.items() if data}


class _Training:
    """The training of one stage."""

    def __init__(self, run: Run, stage: TypedStage, before: Path, start: Path) -> None:
        assert stage.training is not None
        self.run, self.stage, self.before, self.start = run, stage, before, start
        self.training, self.folder = stage.training, run.folder(stage)
        self.recipe: Recipe = as_read(stage.training.recipe, stage.after)
        self.meter = run.meter(stage)
        self.corpus = self._corpus()

    def _corpus(self) -> Corpus:
        schedule, stage = self.run.schedule, self.stage
        path, others = path_of(schedule, stage), readers(schedule, stage)
        with placed(place(schedule.plan, stage.stage, "on")):
            kept = Kept(self.run.out / TOKENS)
            corpus = read_corpus(path, self.start, stage.after, self.recipe, self.run.key, others, kept)
            hold_to(self.folder.facts, {"data": corpus.sha256}, f"stage `{stage.name}`")
        return corpus

    def finish(self) -> Path:
        """Train what is left to train, and publish it."""
        begun, held = self.folder.last(), list(self.corpus.held_out())
        done = 0 if begun is None else begun[0]
        past, steps = self.run.done_before(self.stage), None if begun is None else done
        if begun is not None:
            hold_checkpoint(begun[1])
        self.run.history.rewind(past, self.stage.name, steps, self.folder.path)
        loaded = load(self.start if begun is None else begun[1], self.run.device, self.stage.after.family)
        if begun is None:
            self._begin(loaded, held)
        else:
            self.run.tell(Step("train", self.stage, done, resumed=True))
        if done < self.recipe.steps:
            self._steps(loaded, None if begun is None else begun[1])
        del loaded
        return self._leave(held)

    def _begin(self, loaded: Loaded, held: list[Batch]) -> None:
        """The losses on what is held out as the stage begins: before its growth, and behind it."""
        loss = self._measured(loaded, held)
        if self.stage.typed is not None:
            self.run.history.add(self.meter.line("growth", 0, before=self._before(held), after=loss))
        self.run.history.add(self.meter.line("begin", 0, held_out=loss))
        self.run.history.sync()
        self.run.tell(Step("train", self.stage, 0, loss))

    def _before(self, held: list[Batch]) -> float | None:
        """The loss of the model before the growth; None where it does not read what the grown one does."""
        old, new = self.stage.before.sizes, self.stage.after.sizes
        if any(old.get(axis) != new.get(axis) for axis in READS):
            return None
        return self._measured(load(self.before, self.run.device, self.stage.before.family), held)

    def _measured(self, loaded: Loaded, held: list[Batch]) -> float:
        loss = loaded.measure(held, self.recipe)
        if not torch.isfinite(torch.tensor(loss)):
            fail(
                "GP614",
                f"the loss of {loaded.directory} on held-out data is {loss}",
                help="lower `lr`, or lengthen `warmup`, and begin anew with `--force`",
            )
        return loss

    def _steps(self, loaded: Loaded, checkpoint: Path | None) -> None:
        stage, seed = self.stage, self.run.schedule.plan.seed
        asks = Asks(loaded, self.recipe, self.run.key)
        carried = self.training.optimizer == "grow" and checkpoint is None
        moments = moments_beside(self.start, loaded.model, loaded.module) if carried else {}
        rewarm = rewarm_of(stage, self.start)
        trainer = StageTrainer(
            asks,
            Batches(self.corpus, self.meter.steps, self.recipe.steps),
            self.folder.checkpoints,
            moments,
            list(callbacks(stage, loaded, self.start, seed, rewarm)),
        )
        keeper = Keeper(
            self.recipe,
            rewarm,
            self.meter,
            self.run.history,
            self.folder,
            lambda: trainer.loss,
            loaded.attached,
            lambda done, loss: self.run.tell(Step("step", stage, done, loss)),
        )
        trainer.add_callback(keeper)  # the last one
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))

    def _leave(self, held: list[Batch]) -> Path:
        """Measure the last checkpoint, as it lies on the disk, and publish it."""
        last = self.folder.last()
        assert last is not None and last[0] == self.recipe.steps
        loss = self._measured(load(last[1], self.run.device, self.stage.after.family), held)
        self.run.history.add(self.meter.line("end", self.recipe.steps, held_out=loss))
        self.run.history.sync()
        facts = {
            "stage": self.stage.name,
            "index": self.stage.index,
            "data": self.training.on,
            "data_sha256": self.corpus.sha256,
            "steps": self.recipe.steps,
            "tokens": self.stage.cost.tokens,
            "flops": self.stage.cost.flops,
            "held_out": loss,
            "recipe": asdict(self.recipe),
        }
        plan = self.run.schedule.plan
        out = publish_trained(self.folder.trained, plan, self.start, last[1], facts, source=self.run.source)
        self.run.tell(Step("left", self.stage, self.recipe.steps, loss))
        return out
