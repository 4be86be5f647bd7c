"""`growplan train`: every stage of a plan, one after the other, from wherever an earlier run was stopped."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from growplan.backend.devices import resolve_device
from growplan.check.cost import cost
from growplan.check.stages import Schedule, TypedStage
from growplan.checkpoint.card import base_model_name
from growplan.checkpoint.files import file_sha256, guard, is_regular, path_exists, read_bytes, write_whole
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.lock import RunLock
from growplan.checkpoint.output import partial_of, size_of
from growplan.checkpoint.target_checks import check_free_space, check_parent, check_relations, resolve_target
from growplan.diagnostics import Diagnostic, fail
from growplan.language import canonical, guess_syntax, parse_file
from growplan.language.plan import Plan
from growplan.pipeline import check_schedule, placed, source_directory, target_directory
from growplan.training.facts import enter, facts_of_stage, hold_to, source_hash, surroundings
from growplan.training.history import History
from growplan.training.intact import changes, hold_published
from growplan.training.lineage import is_last_model, publish_model
from growplan.training.parts import check_patterns
from growplan.training.places import (
    HISTORY,
    LINES,
    MODEL,
    PLAN,
    RUN,
    STAGE_FOLDER,
    TOKENS,
    discard,
    entries,
    published,
    sweep,
)
from growplan.training.stage import Run, Step, Tell, run_stage

FLOAT = 4  # bytes
OWN = (RUN, PLAN, LINES, HISTORY, MODEL, f"{MODEL}.partial", TOKENS)


@dataclass(frozen=True)
class TrainResult:
    """A finished run. `history`: the lines of history.jsonl; `findings`: warnings."""

    out: Path
    schedule: Schedule
    history: tuple[dict[str, Any], ...] = ()
    findings: tuple[Diagnostic, ...] = ()
    dry_run: bool = False

    @property
    def model(self) -> Path:
        """The last model, as a plain checkpoint."""
        return self.out / MODEL


def train(
    plan: Plan,
    out: str | Path | None = None,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
    device: str = "cpu",
    force: bool = False,
    dry_run: bool = False,
    stock: bool | None = None,
    progress: Tell | None = None,
) -> TrainResult:
    """Grow and train a model by the stages of `plan`, in a directory of its own (`out`, or its `target`).

    A run that was stopped, at whatever moment, goes on when it is called again; on a CPU it ends with the
    bytes that it would have had. `force` begins it anew.
    Raises GP610 to GP618, GP636, and what `apply` raises.
    """
    if not plan.stages:
        way = "grow it by `growplan apply`, or write `stages:` with a `train:` each"
        fail("GP612", "the plan has no stages, so that nothing says how it is trained", plan.span, help=way)
    schedule = check_schedule(plan, model_dir=model_dir, family=family)
    check_patterns(schedule)
    source = source_directory(plan, model_dir)
    read_headers(source)
    where = _device(device)
    with placed(plan.place("target") if out is None else None):
        given = target_directory(plan, out)
        place = _checked(given, source, plan, force)
        check_free_space(place, _room(schedule), reclaimable=size_of(place))
    if dry_run:
        return TrainResult(place, schedule, dry_run=True)
    with _claimed(place, force):
        run = Run(
            given,  # what is said of it names it as the user does
            schedule,
            base_model_name(source),
            where,
            History(given / HISTORY),
            stock,
            progress or _silent,
        )
        _begin(run, source)
        found = _stages(run, source)
        return TrainResult(place, schedule, tuple(run.history.lines()), (*schedule.lints, *found))


def _device(name: str) -> torch.device:
    """The device of a run. Raises GP508, GP613 (no accelerate), GP617 (not the first), GP618 (torchrun)."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        way = "run it without torchrun; or `growplan apply --stage NAME` between trainings of your own"
        fail("GP618", "`growplan train` runs in one process", help=way)
    if find_spec("accelerate") is None:
        what = "transformers' Trainer needs `accelerate`, which is not installed"
        fail("GP613", what, help="pip install 'growplan[trainer]'")
    device = resolve_device(name)
    if device.index:
        way = f"set CUDA_VISIBLE_DEVICES={device.index} and give `--device cuda`"
        fail("GP617", f"transformers' Trainer takes the first device, not `{name}`", help=way)
    return device


# the directory -------------------------------------------------------------------------------------


def _checked(given: Path, source: Path, plan: Plan, force: bool) -> Path:
    """The directory of the run, absolute. Raises GP402, GP405, GP431, and GP610 for something else."""
    place = resolve_target(given)
    protect = [Path(plan.path)] if plan.path else []
    check_relations(place, partial_of(place), [source], protect)
    check_parent(place)
    if not path_exists(place):
        return place
    if not place.is_dir():
        fail("GP610", f"{given} is no directory", help="choose another `--out`")
    names = [path.name for path in entries(place) if not path.name.startswith(".")]
    if names and not (place / RUN).is_file():
        fail(
            "GP610",
            f"{given} is not empty, and holds no run of `growplan train`",
            notes=[("found", ", ".join(names[:4]))],
            help="choose another `--out`, or empty it yourself" if force else "choose another `--out`",
        )
    return place


def _room(schedule: Schedule) -> int:
    """Bytes that a run takes, about: weights and two moments of what each stage grows and leaves, in float32;
    two checkpoints of one stage at a time; the last model.
    """
    sizes = [FLOAT * cost(stage.after).parameters for stage in schedule.stages]
    each = [
        3 * size * ((stage.typed is not None) + (stage.training is not None))
        for size, stage in zip(sizes, schedule.stages, strict=True)
    ]
    return sum(each) + 2 * 3 * max(sizes) + sizes[-1]


@contextmanager
def _claimed(place: Path, force: bool) -> Iterator[None]:
    """The directory, made, locked, and without what a killed run left half-deleted. Raises GP404."""
    with guard(place, "create"):
        place.mkdir(parents=True, exist_ok=True)
    lock = RunLock(place.with_name(f".{place.name}.growplan-lock"), place)
    try:
        if force:
            own = [path for path in entries(place) if path.name in OWN or STAGE_FOLDER.fullmatch(path.name)]
            for path in sorted(own, key=lambda path: path.name == RUN):  # it goes last
                discard(path)
        sweep(place)
        yield
    finally:
        lock.release()


def _begin(run: Run, source: Path) -> None:
    """Write what the run is, or hold it to what was written. Raises GP611."""
    plan, described = run.schedule.plan, Path(run.schedule.source.family.path)
    facts = {"source": source_hash(source), "seed": str(plan.seed), "family": file_sha256(described)}
    hold_to(run.out / RUN, facts, f"the run in {run.out}")
    there = [path.name for path in entries(run.out) if STAGE_FOLDER.fullmatch(path.name)]
    gone = sorted(set(there) - {stage.folder for stage in run.schedule.stages})
    if gone:
        what = f"{run.out} holds `{gone[0]}`, which is no stage of the plan"
        ways = ("give the plan as it was", f"or move {run.out / gone[0]} away, and what comes after it")
        fail("GP611", what, plan.place("stages"), help=ways)
    for stage in run.schedule.stages:
        path = run.folder(stage).facts
        if path_exists(path):
            with placed(stage.stage.span):
                hold_to(path, facts_of_stage(run.schedule, stage), f"stage `{stage.name}`")
    name, text = _text(plan)
    for other in (PLAN, LINES):
        if other != name:
            with guard(run.out / other, "delete"):
                (run.out / other).unlink(missing_ok=True)
    write_whole(run.out / name, text)


def _text(plan: Plan) -> tuple[str, bytes]:
    """The plan as it was given; where it was given otherwise than by its file alone, its canonical lines."""
    if plan.path is not None and is_regular(Path(plan.path)) and parse_file(plan.path) == plan:
        data = read_bytes(Path(plan.path))
        return LINES if guess_syntax(plan.path, data.decode("utf-8-sig")) == "dsl" else PLAN, data
    return LINES, canonical(plan).encode()


# the run -------------------------------------------------------------------------------------------


def _stages(run: Run, source: Path) -> list[Diagnostic]:
    """Every stage in turn, and the last model; warnings."""
    here, found, before = surroundings(run.device), list[Diagnostic](), source
    earlier = False  # whether `before` is of an earlier life of the run
    for stage in run.schedule.stages:
        folder = run.folder(stage)
        if _is_done(run, stage):
            earlier = True
        else:
            if earlier:
                hold_published(before)
            earlier = False
            with guard(folder.path, "create"):
                folder.path.mkdir(exist_ok=True)
            warning = enter(folder.facts, run.schedule, stage, here)
            found += [] if warning is None else [warning]
            run_stage(run, stage, before)
        if path_exists(folder.checkpoints):  # all of the last one lies in `trained`
            discard(folder.checkpoints)
        before = run.left(stage)
    if path_exists(run.out / TOKENS):
        discard(run.out / TOKENS)
    model = run.out / MODEL
    if is_last_model(model, before):
        return [*found, *_changed_since(model)]
    if earlier:
        hold_published(before)
    publish_model(model, before, run.schedule.source.dtype)
    return found


def _is_done(run: Run, stage: TypedStage) -> bool:
    """Whether a stage has left what it leaves, and has said so. GP636 where its last line is lost."""
    if not published(run.left(stage)):
        return False
    last = "growth" if stage.training is None else "end"
    said = any(line["stage"] == stage.name and line["kind"] == last for line in run.history.lines())
    if not said and stage.training is not None:  # which is written first
        run.history.lacks(f"the end of stage `{stage.name}`", run.folder(stage).path)
    return said


def _changed_since(model: Path) -> Iterator[Diagnostic]:
    """GP636, as a warning, where the last model is not as it was written."""
    wrong = changes(model)
    if wrong:
        message = f"{model} was left as it is, and is not what the run wrote: {wrong[0].message}"
        ways = ("move it away, and the same command writes it again",)
        yield Diagnostic("GP636", message, help=ways, severity="warning")


def _silent(step: Step) -> None:
    """What nobody watches."""
