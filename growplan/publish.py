"""Writing what a plan was compiled to: assert every step, write the checkpoint, publish it in one move."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from growplan.certificate import write_certificate
from growplan.check.masks import growth_masks, stored_config
from growplan.check.typed import TypedPlan, TypedStep
from growplan.checkpoint.config import write_config
from growplan.checkpoint.headers import Headers, read_headers
from growplan.checkpoint.layout import Layout, plan_shards
from growplan.checkpoint.output import Target
from growplan.checkpoint.reader import Reader, open_reader
from growplan.checkpoint.sidecars import (
    Leave,
    Resize,
    SidecarAction,
    carried_bytes,
    carry_sidecars,
    plan_sidecars,
)
from growplan.checkpoint.training import OptimizerMode, left_behind
from growplan.checkpoint.writer import Writer
from growplan.diagnostics import Diagnostic
from growplan.pipeline import Compiled, moments_of

if TYPE_CHECKING:
    from torch import Tensor

    from growplan.backend.assertions import Measurement
    from growplan.backend.evaluate import Read
    from growplan.backend.segments import SegmentError
    from growplan.backend.stock import StockDifference
    from growplan.learn.leaves import Found
    from growplan.runtime.trainer_files import OptimizerRecord, TrainerFiles

Measured = tuple[tuple[TypedStep, "Measurement"], ...]
STOCK_BYTES = 4 << 30  # larger models are loaded by transformers only when asked
RECORD_BYTES = 1 << 20  # room for config, card and growth.json
FLOAT_BYTES = 4
FIT_COPIES = 1 + 2 * 3  # of an operator on disk: its file; leaves and two moments, the old and the new


@dataclass(frozen=True)
class Event:
    """Something to show while a plan is applied.

    `assert` events carry the step (of `steps`) and the layers done, over all steps, `learn` events those
    of one step, or the steps of its fit and the loss; `step` events the step and what was measured of it;
    `write` events the bytes done. The others say what begins.
    """

    kind: str  # learn | assert | step | write | compare | segments | stock | publish
    step: TypedStep | None = None
    measured: Measurement | None = None
    tensor: str = ""
    done: int = 0
    total: int = 0
    steps: int = 0
    loss: float | None = None


Tell = Callable[[Event], None]


@dataclass(frozen=True)
class Job:
    """A compiled plan, and what its target will hold."""

    compiled: Compiled
    typed: TypedPlan
    headers: Headers
    source: Path
    layout: Layout
    sidecars: tuple[SidecarAction, ...]
    optimizer: OptimizerMode | None = None
    trainer: TrainerFiles | None = None  # the optimizer's state, where it goes on

    @property
    def left(self) -> tuple[Leave, ...]:
        """Files of the source that are not carried."""
        behind = (a for a in self.sidecars if isinstance(a, Leave))
        return left_behind(behind, () if self.trainer is None else self.trainer.files, self.optimizer)

    @property
    def needed_bytes(self) -> int:
        """Of the target, and of operators: theirs lie in it once, and beside it with their moments, twice."""
        operators = sum(prod(leaf.shape) for step in self.typed.steps for leaf in step.leaves)
        extra = FIT_COPIES * FLOAT_BYTES * operators
        extra += 0 if self.trainer is None else self.trainer.bytes
        return self.layout.disk_bytes + carried_bytes(self.sidecars) + RECORD_BYTES + extra


@dataclass(frozen=True)
class Written:
    """A published target; `leftover` is a replaced directory that could not be deleted."""

    path: Path
    leftover: Path | None
    steps: Measured
    segments: tuple[SegmentError, ...]
    stock: tuple[StockDifference, ...] | None  # None: not loaded by transformers
    findings: tuple[Diagnostic, ...]  # warnings of what was measured
    optimizer: OptimizerRecord | None  # what became of a Trainer's state


def publish(
    job: Job,
    reader: Reader,
    place: Target,
    values: Found,
    device: str,
    memory: int | None,
    stock: bool | None,
    tell: Tell,
) -> Written:
    """Assert every step, write the target, compare, and publish it. `values`: what steps learned from data.

    `memory` (bytes) bounds the working set; `stock`: load source and result by their transformers class
    too, and compare (None: where transformers is installed and both fit in memory).
    """
    from growplan.backend.evaluate import with_leaves
    from growplan.backend.executor import reader_rows
    from growplan.backend.segments import visible_rounding

    read = with_leaves(reader_rows(reader, device), values.leaves)
    measured = _assert_steps(job, read, device, tell)
    hashes = _write_tensors(job, reader, place.partial, device, memory, values.leaves, tell)
    tell(Event("compare"))
    _compare_written(job, read, place.partial, device)
    write_config(place.partial, stored_config(job.typed))
    files = ("config.json", *carry_sidecars(job.sidecars, job.source, place.partial))
    files += _write_operators(place.partial, values)
    carried = None if job.trainer is None else job.trainer.write(place.partial)
    files += () if carried is None else carried.files
    files += _write_masks(job, reader, place.partial, device, memory, values, carried)
    tell(Event("segments"))
    found = _measure_segments(job, read, device, measured)
    loaded = _load_stock(job, place.partial, stock, tell)
    write_certificate(
        place.partial, job.typed, job.headers, measured, found, loaded, hashes, files, values, carried
    )
    reader.check_unchanged()
    tell(Event("publish"))
    published = place.publish()
    return Written(
        published.path,
        published.leftover,
        measured,
        tuple(found),
        loaded,
        (*visible_rounding(found, job.typed), *values.warnings),
        carried,
    )


def prepare(compiled: Compiled, optimizer: OptimizerMode | None = None) -> Job:
    """A compiled plan with what its target will hold; an optimizer's state is read, and found to fit."""
    assert compiled.typed is not None and compiled.final is not None
    headers = compiled.headers or read_headers(compiled.config.directory)
    typed = compiled.typed
    specs = {
        tensor: (type_.dtype, type_.shape)
        for tensor, value in compiled.final.stores.items()
        for type_ in (compiled.final.nodes[value].type,)
    }
    old, new = typed.source.sizes, typed.target.sizes
    image = (old["image"], new["image"]) if typed.source.inputs == "image" else None
    resize = Resize((old["hidden"], new["hidden"]), (old["depth"], new["depth"]), image)
    source = compiled.config.directory
    layout, sidecars = plan_shards(specs), plan_sidecars(source, resize)
    trainer = _trainer_files(compiled, source, optimizer)
    return Job(compiled, typed, headers, source, layout, sidecars, optimizer, trainer)


def _trainer_files(compiled: Compiled, source: Path, mode: OptimizerMode | None) -> TrainerFiles | None:
    """The state of a Trainer beside the source; None where it is left out."""
    if mode is None or mode == "drop":
        return None
    from growplan.runtime.trainer_files import read_trainer_files

    return read_trainer_files(source, moments_of(compiled), mode)


def _write_operators(out: Path, values: Found) -> tuple[str, ...]:
    """The file of fitted leaves; none where nothing was fitted."""
    if not values.fitted:
        return ()
    from growplan.learn.operators import write_operator

    return (write_operator(out, values.trained),)


def _write_masks(
    job: Job,
    reader: Reader,
    out: Path,
    device: str,
    memory: int | None,
    values: Found,
    carried: OptimizerRecord | None,
) -> tuple[str, ...]:
    """The files of growth masks; none where nothing is masked."""
    if not growth_masks(job.typed):
        return ()
    from growplan.runtime.writing import write_growth_state

    compiled, at = job.compiled, None if carried is None else carried.from_step
    assert compiled.graph is not None and compiled.raw is not None
    graphs = compiled.graph, compiled.raw
    return write_growth_state(job.typed, graphs, reader, out, device, memory, values.leaves, at)


def _assert_steps(job: Job, read: Read, device: str, tell: Tell) -> Measured:
    from growplan.backend.assertions import assert_step

    graph = job.compiled.graph
    assert graph is not None
    steps, seed = job.typed.steps, job.compiled.plan.seed
    total, before = sum(step.after.depth for step in steps), 0
    out = []
    for step in steps:

        def show(layers: int, step: TypedStep = step, before: int = before) -> None:
            tell(Event("assert", step, done=before + layers, total=total, steps=len(steps)))

        show(0)
        measured = assert_step(graph, step.index, step.before, step.after, read, device, seed, show)
        before += step.after.depth
        tell(Event("step", step, measured))
        out.append((step, measured))
    return tuple(out)


def _write_tensors(
    job: Job,
    reader: Reader,
    out: Path,
    device: str,
    memory: int | None,
    leaves: Mapping[str, Tensor],
    tell: Tell,
) -> dict[str, str]:
    from growplan.backend.executor import Progress, execute

    def show(p: Progress) -> None:
        tell(Event("write", tensor=p.tensor, done=p.done, total=p.total))

    final = job.compiled.final
    assert final is not None
    with Writer(out, job.layout) as writer:
        return execute(final, reader, writer, device, show, memory, leaves)


def _compare_written(job: Job, read: Read, out: Path, device: str) -> None:
    """What lies on disk is the last model of the graph that was asserted, attached masks at 1."""
    from growplan.backend.executor import reader_rows
    from growplan.backend.written import written_equals

    graph = job.compiled.stored
    assert graph is not None
    with open_reader(read_headers(out)) as written:
        written_equals(graph, read, reader_rows(written), device=device)


def _measure_segments(job: Job, read: Read, device: str, measured: Measured) -> list[SegmentError]:
    """Source against result of every run of preserving steps, as stored.

    A step alone was measured already, except in half precision: steps are asserted before the
    one rounding of the store.
    """
    from growplan.backend.segments import measure_segment, of_step, segments

    graph, steps = job.compiled.graph, job.typed.steps
    assert graph is not None
    models = [job.typed.source, *(step.after for step in steps)]
    seed = job.typed.plan.seed
    return [
        of_step(first, measured[first][1])
        if last - first == 1 and job.headers.dtypes <= {"F32", "F64"}
        else measure_segment(graph, first, last, models, read, device, seed)
        for first, last in segments([str(step.proof.claim) for step in steps])
    ]


def _load_stock(job: Job, out: Path, wanted: bool | None, tell: Tell) -> tuple[StockDifference, ...] | None:
    """Source and result through their transformers class; None where that is not wanted or does not fit."""
    if wanted is False or (wanted is None and not _fits(job)):
        return None
    from growplan.backend.segments import output_maps_of
    from growplan.backend.stock import compare_with_transformers, hold_to_exact

    graph = job.compiled.graph
    assert graph is not None
    tell(Event("stock"))
    models = [job.typed.source, *(step.after for step in job.typed.steps)]
    maps = output_maps_of(graph, 0, len(graph.steps), models) if graph.steps else {}

    def behind_masks(model: object) -> None:
        from growplan.runtime import attach

        attach(model, out, family=job.typed.target.family)

    def compare(prepare: Callable[[object], None] | None) -> tuple[StockDifference, ...]:
        found = compare_with_transformers(job.source, out, maps, job.typed.plan.seed, prepare)
        if job.typed.claim.strength == "exact":
            hold_to_exact(found, job.typed.source.dtype, routed="experts" in job.typed.target.sizes)
        return found

    attached = job.typed.claim.where == "attached"
    found = compare(behind_masks if attached else None)
    if growth_masks(job.typed) and not attached:
        compare(behind_masks)
    return found


def _fits(job: Job) -> bool:
    """Whether transformers is there and both models fit in half of the memory, and in STOCK_BYTES."""
    from importlib.util import find_spec

    needed = job.headers.total_size + job.layout.total_size
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return find_spec("transformers") is not None and needed < min(STOCK_BYTES, free // 2)
