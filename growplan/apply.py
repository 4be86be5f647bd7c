"""Applying a plan: compile it, claim the target, fit what is to be fitted, and publish the result."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from growplan.check.typed import TypedPlan, TypedStep
from growplan.checkpoint.output import Target, check_target
from growplan.checkpoint.reader import Reader, open_reader
from growplan.checkpoint.sidecars import Leave
from growplan.checkpoint.training import OptimizerMode
from growplan.diagnostics import Diagnostic, DiagnosticError, Span, fail
from growplan.language import plan_hash
from growplan.language.plan import Plan
from growplan.pipeline import compile_plan, placed, target_directory
from growplan.publish import Event, Job, Measured, Tell, prepare, publish
from growplan.staged import begin_stage

if TYPE_CHECKING:
    from growplan.backend.segments import SegmentError
    from growplan.backend.stock import StockDifference
    from growplan.learn.leaves import Found, Learned
    from growplan.learn.operators import Fitted, Work
    from growplan.learn.predicted import Predicted
    from growplan.learn.ranks import Ranks
    from growplan.runtime.trainer_files import OptimizerRecord

Claimed = TypeVar("Claimed")
WITHOUT = "run without `--resume`"


@dataclass(frozen=True)
class ApplyResult:
    """What was written, step by step what was measured, and what was left behind."""

    target: Path
    typed: TypedPlan
    steps: Measured
    segments: tuple[SegmentError, ...]
    bytes_written: int
    left: tuple[Leave, ...]
    stock: tuple[StockDifference, ...] | None = None  # None: not loaded by transformers
    leftover: Path | None = None  # a replaced directory that could not be deleted
    dry_run: bool = False
    learned: tuple[Learned, ...] = ()  # what steps found in the user's data
    findings: tuple[Diagnostic, ...] = ()  # warnings of what was measured
    fitted: tuple[Fitted, ...] = ()  # operators that were fitted on it
    predicted: tuple[Predicted, ...] = ()  # layers that were predicted from the source's own
    optimizer: OptimizerRecord | None = None  # what became of a Trainer's state


def apply(
    plan: Plan,
    out: str | Path | None = None,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
    device: str = "cpu",
    force: bool = False,
    resume: bool = False,
    dry_run: bool = False,
    memory: int | None = None,
    stock: bool | None = None,
    optimizer: OptimizerMode | None = None,
    shard: bool = False,
    stage: str | None = None,
    begin: str | Path | None = None,
    progress: Tell | None = None,
) -> ApplyResult:
    """Grow the plan's source and write the result as a Hugging Face directory.

    `out` takes the place of the plan's `target`; `memory` (bytes) bounds the working set.
    `stock`: load source and result by their transformers class too, and compare (None: where
    transformers is installed and both fit in memory).
    `resume`: go on with fits that an interrupted run of the same plan left beside the target.
    `optimizer`: carry the state of a Trainer's checkpoint, with AdamW's moments grown by the plan (`grow`)
    or empty (`reset`); `drop`, or None, leaves it out.
    `stage`: the growth of this stage alone, from the checkpoint `begin` (None: the plan's source), which
    must be the model that the plan has come to there.
    Every step is asserted against the step before it, before anything is written; the target
    appears whole or not at all. Raises DiagnosticError.

    Under torchrun every process calls this. They fit together; the first one does all else, and the
    others return when it is done, without what it measured. `shard`: while they fit, each has a piece
    of the operator and of the source, and one block of the target at a time.
    """
    from growplan.learn.ranks import joined, own_device

    device = own_device(device)
    with joined(device, shard=shard) as ranks, ExitStack() as held:
        tell = progress if progress is not None and ranks.first else _silent
        with ranks.together():
            if stage is not None:
                plan, model_dir = begin_stage(plan, stage, begin, model_dir=model_dir, family=family)
            job = _compile(plan, out, model_dir, family, force, optimizer)
            if dry_run:
                return _dry_run(job, _claim(plan, out, job, force, check_target))
            where = _resolved(device)
            place = held.enter_context(_claim(plan, out, job, force, Target.open)) if ranks.first else None
            reader = held.enter_context(open_reader(job.headers))
        work = _work(job, place, where, resume, ranks)
        values = _learn(job, reader, where, work, ranks, tell)
        with ranks.together():
            if place is None:
                return _beside(job, target_directory(plan, out), values)
            written = publish(job, reader, place, values, where, memory, stock, tell)
            if work is not None:
                work.remove()
        return ApplyResult(
            written.path,
            job.typed,
            written.steps,
            written.segments,
            job.layout.total_size,
            job.left,
            written.stock,
            written.leftover,
            learned=values.learned,
            findings=(*_idle(ranks, values), *written.findings),
            fitted=values.fitted,
            predicted=values.predicted,
            optimizer=written.optimizer,
        )


def _compile(
    plan: Plan,
    out: str | Path | None,
    model_dir: str | Path | None,
    family: str | Path | None,
    force: bool,
    optimizer: OptimizerMode | None,
) -> Job:
    """The plan ready to run; mistakes of the plan and of its target are raised together."""
    try:
        compiled = compile_plan(plan, model_dir=model_dir, family=family)
        with placed(plan.place("source") if model_dir is None else None):
            job = prepare(compiled, optimizer)
    except DiagnosticError as error:
        problems = list(error.diagnostics)
        with placed(_place_of_target(plan, out), problems):
            check_target(target_directory(plan, out), protect=_protected(plan), force=force)
        raise DiagnosticError(*problems) from None
    return job


def _claim(
    plan: Plan, out: str | Path | None, job: Job, force: bool, claim: Callable[..., Claimed]
) -> Claimed:
    """The target as `check_target` or `Target.open` gives it, its errors placed."""
    with placed(_place_of_target(plan, out)):
        return claim(
            target_directory(plan, out),
            sources=[job.source],
            protect=_protected(plan),
            force=force,
            needed_bytes=job.needed_bytes,
        )


def _place_of_target(plan: Plan, out: str | Path | None) -> Span | None:
    return plan.place("target") if out is None else None


def _protected(plan: Plan) -> list[Path]:
    return [Path(plan.path)] if plan.path else []


def _resolved(device: str) -> str:
    from growplan.backend.devices import resolve_device

    return str(resolve_device(device))


def _silent(event: Event) -> None:
    """What nobody watches."""


def _dry_run(job: Job, target: Path) -> ApplyResult:
    return ApplyResult(target, job.typed, (), (), job.layout.total_size, job.left, dry_run=True)


def _beside(job: Job, target: Path, values: Found) -> ApplyResult:
    """What a rank knows that does not write."""
    size = job.layout.total_size
    return ApplyResult(
        target,
        job.typed,
        (),
        (),
        size,
        job.left,
        learned=values.learned,
        fitted=values.fitted,
        predicted=values.predicted,
    )


def _idle(ranks: Ranks, values: Found) -> Iterator[Diagnostic]:
    """GP553 where processes were started that had nothing to do."""
    if ranks.world > 1 and not values.fitted:
        message = f"{ranks.world} processes, and one did all the work: a plan that fits nothing shares none"
        yield Diagnostic("GP553", message, help=("run it without torchrun",), severity="warning")


def _work(job: Job, place: Target | None, device: str, resume: bool, ranks: Ranks) -> Work | None:
    """Where the first rank keeps the state of fits; None where nothing is fitted. Raises GP535, GP550."""
    if not any(step.operator is not None for step in job.typed.steps):
        if resume:
            fail("GP535", "this plan fits nothing, so that there is nothing to go on with", help=WITHOUT)
        return None
    from growplan.learn.operators import Work, run_facts
    from growplan.learn.resume import folder_of

    family = Path(job.typed.source.family.path)
    facts = run_facts(plan_hash(job.typed.plan), job.source, family, device, ranks)
    if place is None:
        return None
    work = Work(folder_of(place.path), resume, facts)
    if not resume:
        work.remove()
    return work


def _learn(job: Job, reader: Reader, device: str, work: Work | None, ranks: Ranks, tell: Tell) -> Found:
    """The values of leaves, and what was measured for them; nothing where no step waits for data."""
    from growplan.backend.executor import reader_rows
    from growplan.learn.leaves import learn_leaves

    def show(step: TypedStep, done: int, loss: float | None) -> None:
        total = step.before.depth if step.operator is None else step.operator.recipe.steps
        total = step.predictor_cost.networks if step.predictor_cost is not None else total
        tell(Event("learn", step, done=done, total=total, loss=loss))

    assert job.compiled.graph is not None
    read = reader_rows(reader, device)
    return learn_leaves(job.compiled.graph, job.typed, read, job.source, device, show, work, ranks)
