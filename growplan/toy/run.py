"""Running a plan at toy scale: shrink, draw a source, check, apply, compare what is proved."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from growplan.apply import ApplyResult, apply
from growplan.check.stages import Schedule, check_stages
from growplan.check.typed import TypedPlan, TypedStep
from growplan.checkpoint.output import Target
from growplan.diagnostics import fail
from growplan.language.plan import Plan
from growplan.language.printing import quote, step_text
from growplan.pipeline import bind_source, check, compile_plan
from growplan.publish import Event
from growplan.toy.data import write_data
from growplan.toy.plan import SOURCE, toy_config, toy_plan
from growplan.toy.sizes import toy_sizes

LARGEST = 20_000_000  # parameters of a toy
GROWN, PLAN = "grown", "plan.grow"


@dataclass(frozen=True)
class ToyResult:
    """A plan, and what its toy did: `applied.typed` is the checked toy, `directory` where it was kept."""

    full: TypedPlan
    applied: ApplyResult
    directory: Path | None  # None: nothing was kept

    @property
    def toy(self) -> TypedPlan:
        return self.applied.typed


@dataclass(frozen=True)
class StagedToy:
    """A plan with stages, and the toy of each that grows, by its name."""

    schedule: Schedule
    toys: Mapping[str, ToyResult]
    directory: Path | None


def run_toy(
    plan: Plan,
    out: str | Path | None = None,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
    device: str = "cpu",
    stock: bool = False,
    progress: Callable[[Event], None] | None = None,
) -> ToyResult:
    """Run `plan` at toy scale: every size shrunk, on a random source of the plan's own family.

    `out`: keep `source/`, `grown/` and `plan.grow` there, a directory that is not yet there (or
    empty). `stock`: load both by their transformers class too. Everything that `apply` asserts is
    asserted. Raises DiagnosticError: what `check` and `apply` raise, GP620 where no toy is small
    enough, GP621 where the toy is proved to be something else than the plan.
    """
    compiled = compile_plan(plan, model_dir=model_dir, family=family, stop_after="check")
    full = compiled.typed
    assert full is not None
    with _place(out, compiled.config.directory, plan) as folder:
        applied = _run(full, folder, family, device, stock, progress)
    return ToyResult(full, *_kept(applied, out, ""))


def run_toys(
    plan: Plan,
    out: str | Path | None = None,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
    device: str = "cpu",
    stock: bool = False,
    progress: Callable[[Event], None] | None = None,
) -> StagedToy:
    """`run_toy` for the growth of each stage, from a random source of the sizes that the stage begins with.

    Nothing is trained. `out` gets a folder for each stage that grows. Raises what `run_toy` raises.
    """
    config, _, source = bind_source(plan, model_dir, family)
    schedule = check_stages(plan, source)
    found = {}
    with _place(out, config.directory, plan) as folder:
        for stage in schedule.stages:
            if stage.typed is None:
                continue
            (folder / stage.folder).mkdir()
            applied = _run(stage.typed, folder / stage.folder, family, device, stock, progress)
            found[stage.name] = ToyResult(stage.typed, *_kept(applied, out, stage.folder))
    return StagedToy(schedule, found, None if out is None else Path(out))


def _kept(applied: ApplyResult, out: str | Path | None, folder: str) -> tuple[ApplyResult, Path | None]:
    """What was applied, where it lies in the end."""
    if out is None:
        return applied, None
    place = Path(out) / folder
    return replace(applied, target=place / GROWN), place


def _run(
    full: TypedPlan,
    folder: Path,
    family: str | Path | None,
    device: str,
    stock: bool,
    progress: Callable[[Event], None] | None,
) -> ApplyResult:
    """Source, data and plan of a toy in `folder`, and what `apply` makes of them there."""
    sizes = toy_sizes(full)
    _small_enough(full, sizes)
    small = toy_plan(full, sizes)
    source = folder / SOURCE
    source.mkdir()
    _write_source(full, sizes[0], source)
    write_data(full, sizes, folder)
    text, described = _plan_text(small, folder, family), _family(full.plan, family)
    (folder / PLAN).write_text(text, encoding="utf-8")
    small.read_from(str(folder / PLAN))  # where its data lies
    _same_proofs(full, check(small, model_dir=source, family=described))
    return apply(
        small,
        folder / GROWN,
        model_dir=source,
        family=described,
        device=device,
        stock=stock,
        progress=progress,
    )


def _write_source(full: TypedPlan, sizes: dict[str, int], source: Path) -> None:
    """A random source of these sizes."""
    from growplan.backend.randomise import write_random

    config = toy_config(full.source, sizes)
    write_random(full.source.resized(sizes, config), source, full.plan.seed)


@contextmanager
def _place(out: str | Path | None, source: Path, plan: Plan) -> Iterator[Path]:
    """Where to work: a directory that is published at the end, or one that is gone afterwards."""
    if out is None:
        with TemporaryDirectory(prefix="growplan-toy-") as folder:
            yield Path(folder)
        return
    protect = [Path(plan.path)] if plan.path else []
    with Target.open(out, sources=[source], protect=protect) as target:
        yield target.partial
        target.publish()


def _small_enough(full: TypedPlan, sizes: tuple[dict[str, int], ...]) -> None:
    from growplan.check.cost import cost

    last = full.steps[-1].after if full.steps else full.source
    found = cost(last.resized(sizes[-1], last.config)).parameters
    if found <= LARGEST:
        return
    grown = {axis for step in full.steps for axis, old, new in step.axes if old != new}
    axis = max(sizes[-1], key=lambda a: (a in grown, sizes[-1][a]))
    chain = [full.source.sizes.get(axis, 0), *(step.after.sizes.get(axis, 0) for step in full.steps)]
    shown = "→".join(str(size) for size in dict.fromkeys(chain))
    at = next((step.span for step in full.steps if axis in {a for a, _, _ in step.axes}), full.plan.span)
    fail(
        "GP620",
        f"no toy of this plan is small: `{axis}` {shown} has no common divisor that is large enough",
        at,
        notes=[("toy", f"{sizes[0].get(axis)}→{sizes[-1].get(axis)}, {found:,} parameters")],
        help="give sizes with a common divisor, such as multiples of 64",
    )


def _same_proofs(full: TypedPlan, small: TypedPlan) -> None:
    for a, b in zip(full.steps, small.steps, strict=False):
        if _proved(a) != _proved(b):
            fail(
                "GP621",
                f"`{a.text}` is {_proved(a)}, and at toy scale `{b.text}` is {_proved(b)}",
                a.span,
                help="please report it; `growplan check` and `apply` do not depend on toys",
            )
    if len(full.steps) != len(small.steps):
        message = f"the plan has {len(full.steps)} steps, and at toy scale {len(small.steps)}"
        fail("GP621", message, full.plan.span, help="please report it")


def _proved(step: TypedStep) -> str:
    return f"{step.proof.claim} by {step.method}" + (f", {step.candidate}" if step.candidate else "")


def _plan_text(plan: Plan, folder: Path, family: str | Path | None) -> str:
    """The toy's plan as a file beside its source."""
    lines = [f"source ./{SOURCE}", f"seed {plan.seed}"]
    if (described := _family(plan, family)) is not None:
        lines.append(f"family {quote(described)}")
    return "\n".join([*lines, *(step_text(step, label=True) for step in plan.steps)]) + "\n"


def _family(plan: Plan, family: str | Path | None) -> str | None:
    """The family file that was given, or the plan's own, wherever one stands; a family's name as it is."""
    described = family or plan.family
    if described is None or plan.of_mixture:
        return None
    path = Path(os.path.expanduser(described))  # noqa: PTH111 - raises for a user there is none of
    base = Path(plan.path).parent if plan.path is not None and family is None else Path()
    found = (base / path).resolve()
    return str(found) if found.exists() else str(described)
