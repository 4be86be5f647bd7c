"""Applying a plan: assert every step, write the checkpoint, publish it in one move."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from growplan.check.typed import TypedPlan, TypedStep
from growplan.checkpoint.card import card_text, write_card
from growplan.checkpoint.config import Config, write_config
from growplan.checkpoint.files import file_sha256
from growplan.checkpoint.growth import Growth, Hint, StepRecord, write_growth
from growplan.checkpoint.growth_reader import parent_of
from growplan.checkpoint.headers import Headers, read_headers
from growplan.checkpoint.layout import Layout, plan_shards
from growplan.checkpoint.output import Target, check_target
from growplan.checkpoint.reader import Reader, open_reader
from growplan.checkpoint.sidecars import (
    Leave,
    Resize,
    SidecarAction,
    carried_bytes,
    carry_sidecars,
    plan_sidecars,
)
from growplan.checkpoint.writer import Writer
from growplan.language.plan import Plan
from growplan.pipeline import Compiled, compile_plan, target_directory

if TYPE_CHECKING:
    from growplan.backend.assertions import Measurement

RECORD_BYTES = 1 << 20  # room for config, card and growth.json


@dataclass(frozen=True)
class Event:
    """Something to show while a plan is applied.

    `step` events carry the step and what was measured of it; `write` events the bytes done.
    """

    kind: str  # step | write | publish
    step: TypedStep | None = None
    measured: Measurement | None = None
    tensor: str = ""
    done: int = 0
    total: int = 0


@dataclass(frozen=True)
class ApplyResult:
    """What was written, step by step what was measured, and what was left behind."""

    target: Path
    typed: TypedPlan
    steps: tuple[tuple[TypedStep, Measurement], ...]
    bytes_written: int
    left: tuple[Leave, ...]
    leftover: Path | None = None  # a replaced directory that could not be deleted
    dry_run: bool = False


@dataclass(frozen=True)
class _Job:
    compiled: Compiled
    typed: TypedPlan
    headers: Headers
    source: Path
    layout: Layout
    sidecars: tuple[SidecarAction, ...]

    @property
    def needed_bytes(self) -> int:
        return self.layout.disk_bytes + carried_bytes(self.sidecars) + RECORD_BYTES


def apply(
    plan: Plan,
    out: str | Path | None = None,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
    device: str = "cpu",
    force: bool = False,
    dry_run: bool = False,
    memory: int | None = None,
    progress: Callable[[Event], None] | None = None,
) -> ApplyResult:
    """Grow the plan's source and write the result as a Hugging Face directory.

    `out` takes the place of the plan's `target`; `memory` (bytes) bounds the working set.
    Every step is asserted against the step before it, before anything is written; the target
    appears whole or not at all. Raises DiagnosticError.
    """
    tell = progress or (lambda event: None)
    job = _prepare(compile_plan(plan, model_dir=model_dir, family=family))
    target = target_directory(plan, out)
    protect = [Path(plan.path)] if plan.path else []
    left = tuple(a for a in job.sidecars if isinstance(a, Leave))
    if dry_run:
        path = check_target(
            target, sources=[job.source], protect=protect, force=force, needed_bytes=job.needed_bytes
        )
        return ApplyResult(path, job.typed, (), job.layout.total_size, left, dry_run=True)

    from growplan.backend.devices import resolve_device

    where = str(resolve_device(device))
    with (
        Target.open(
            target, sources=[job.source], protect=protect, force=force, needed_bytes=job.needed_bytes
        ) as place,
        open_reader(job.headers) as reader,
    ):
        measured = _assert_steps(job, reader, where, tell)
        hashes = _write_tensors(job, reader, place.partial, where, memory, tell)
        _compare_written(job, reader, place.partial, where)
        _write_records(job, place.partial, measured, hashes)
        reader.check_unchanged()
        tell(Event("publish"))
        published = place.publish()
    return ApplyResult(published.path, job.typed, measured, job.layout.total_size, left, published.leftover)


def _prepare(compiled: Compiled) -> _Job:
    assert compiled.typed is not None and compiled.final is not None
    headers = compiled.headers or read_headers(compiled.config.directory)
    typed = compiled.typed
    specs = {
        tensor: (type_.dtype, type_.shape)
        for tensor, value in compiled.final.stores.items()
        for type_ in (compiled.final.nodes[value].type,)
    }
    old, new = typed.source.sizes, typed.target.sizes
    resize = Resize((old["hidden"], new["hidden"]), (old["depth"], new["depth"]))
    source = compiled.config.directory
    return _Job(compiled, typed, headers, source, plan_shards(specs), plan_sidecars(source, resize))


def _assert_steps(
    job: _Job, reader: Reader, device: str, tell: Callable[[Event], None]
) -> tuple[tuple[TypedStep, Measurement], ...]:
    from growplan.backend.assertions import assert_step
    from growplan.backend.executor import reader_rows

    graph = job.compiled.graph
    assert graph is not None
    read = reader_rows(reader, device)
    out = []
    for step in job.typed.steps:
        measured = assert_step(
            graph, step.index, step.before, step.after, read, device=device, seed=job.compiled.plan.seed
        )
        tell(Event("step", step, measured))
        out.append((step, measured))
    return tuple(out)


def _write_tensors(
    job: _Job, reader: Reader, out: Path, device: str, memory: int | None, tell: Callable[[Event], None]
) -> dict[str, str]:
    from growplan.backend.executor import Progress, execute

    def show(p: Progress) -> None:
        tell(Event("write", tensor=p.tensor, done=p.done, total=p.total))

    final = job.compiled.final
    assert final is not None
    with Writer(out, job.layout) as writer:
        return execute(final, reader, writer, device, show, memory)


def _compare_written(job: _Job, reader: Reader, out: Path, device: str) -> None:
    """What lies on disk is the last model of the graph that was asserted."""
    from growplan.backend.executor import reader_rows
    from growplan.backend.written import written_equals

    graph = job.compiled.graph
    assert graph is not None
    with open_reader(read_headers(out)) as written:
        written_equals(graph, reader_rows(reader, device), reader_rows(written), device=device)


def _write_records(
    job: _Job,
    out: Path,
    measured: tuple[tuple[TypedStep, Measurement], ...],
    hashes: Mapping[str, str],
) -> None:
    """config.json, the files beside the weights, growth.json and the model card."""
    write_config(out, job.typed.target.config)
    written = carry_sidecars(job.sidecars, job.source, out)
    files = {name: file_sha256(out / name) for name in ("config.json", *written)}
    growth = _growth(job, measured, hashes, files)
    write_growth(out, growth)
    write_card(out, card_text(growth, job.source, title=_title(job)))


def _title(job: _Job) -> str:
    from growplan.checkpoint.card import base_model_name

    return f"{base_model_name(job.source)}, grown"


def _growth(
    job: _Job,
    measured: tuple[tuple[TypedStep, Measurement], ...],
    hashes: Mapping[str, str],
    files: Mapping[str, str],
) -> Growth:
    from growplan.checkpoint.card import base_model_name
    from growplan.language import canonical, plan_hash

    plan = job.compiled.plan
    return Growth(
        plan=canonical(plan),
        plan_hash=plan_hash(plan),
        seed=plan.seed,
        claim=str(job.typed.claim),
        source=base_model_name(job.source),
        source_files=_source_hashes(job.compiled.config, job.headers),
        steps=tuple(_record(step, m) for step, m in measured),
        tensors=hashes,
        files=files,
        versions=_versions(),
        hint=_hint(job.typed),
        parent=parent_of(job.source),
    )


def _source_hashes(config: Config, headers: Headers) -> dict[str, str]:
    directory = headers.directory
    return {name: file_sha256(directory / name) for name in ("config.json", *headers.files)} | {
        config.path.name: file_sha256(config.path)
    }


def _record(step: TypedStep, measured: Measurement) -> StepRecord:
    return StepRecord(
        id=step.id,
        text=step.text,
        claim=str(step.promised),
        proof=str(step.proof.claim),
        reasons=step.proof.reasons,
        measured=_numbers(measured),
        implied=step.implied or "",
    )


def _numbers(measured: Measurement) -> dict[str, float]:
    """What growth.json and the card keep of a measurement."""
    numbers = {
        "law": measured.law_error,
        "block": measured.block_error,
        "output_max_abs": measured.logit_error,
        "output_spread": measured.spread,
        "kl": measured.kl,
    }
    return {name: value for name, value in numbers.items() if value is not None}


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    out = {"python": platform.python_version()}
    for package in ("growplan", "torch"):
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            continue
    return out


def _hint(typed: TypedPlan) -> Hint:
    """How the literature trains on after growth of this kind."""
    if typed.claim.strength == "none":
        why = "StackingBERT goes on at the learning rate where the small model's schedule stopped"
        return Hint(1.0, 1, why)
    why = (
        "LEMON keeps the peak learning rate and decays it faster; staged training re-warms for 150-200 steps"
    )
    return Hint(1.0, 200, why)
