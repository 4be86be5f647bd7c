"""The whole compile: plan -> model -> typed plan -> IR -> passes. `growplan.apply` executes it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from growplan.check import check_plan
from growplan.check.masks import as_trained, live_steps
from growplan.check.stages import Schedule, check_stages, stage_words
from growplan.check.tokens import tokenizer_findings
from growplan.check.typed import TypedPlan
from growplan.checkpoint.config import Config, read_config
from growplan.checkpoint.headers import Headers, find_headers
from growplan.diagnostics import Diagnostic, DiagnosticError, Span, fail
from growplan.families import bind_stored, detect, load_family
from growplan.families.model import Model
from growplan.language.plan import Plan
from growplan.runtime.state import refuse_half_grown

if TYPE_CHECKING:
    from growplan.ir.graph import Graph, TensorType
    from growplan.ir.moment_report import StepMoments
    from growplan.ir.moment_rules import MomentRules

Stage = Literal["bind", "check", "lower", "passes"]


@dataclass(frozen=True)
class Compiled:
    """What a compile has yielded so far; later stages are None where it stopped earlier."""

    plan: Plan
    config: Config
    headers: Headers | None  # None: a config.json alone
    model: Model
    typed: TypedPlan | None = None
    graph: Graph | None = None  # as lowered: every step can be asserted
    raw: Graph | None = None  # of what is trained: behind masks that a stock load needs other tensors for
    stored: Graph | None = None  # `graph`, but at masks of 1 where only attached ones are exact
    final: Graph | None = None  # after the passes: what is executed


def compile_plan(
    plan: Plan,
    *,
    model_dir: str | Path | None = None,
    family: str | Path | None = None,
    stop_after: Stage = "passes",
) -> Compiled:
    """Compile a plan against its source directory.

    `model_dir` and `family` (a name or a family file) take the place of the plan's own.
    Raises DiagnosticError with everything wrong that one stage can see.
    """
    _refuse_stages(plan)
    config, headers, model = bind_source(plan, model_dir, family)
    if stop_after == "bind":
        return Compiled(plan, config, headers, model)
    typed = check_plan(plan, model)
    if any(step.fit is not None or step.operator is not None for step in typed.steps):
        from growplan.learn.place import data_findings

        _raise_any([*data_findings(typed, config.directory, weights=headers is not None)])
    typed = replace(typed, lints=(*typed.lints, *tokenizer_findings(typed, config.directory)))
    return lowered(Compiled(plan, config, headers, model, typed), stop_after)


def lowered(compiled: Compiled, stop_after: Stage) -> Compiled:
    """The rest of a compile, from typed steps on. Raises what the verifier finds."""
    typed = compiled.typed
    if typed is None or stop_after in ("bind", "check"):
        return compiled
    from growplan.ir.lower import lower
    from growplan.ir.verify import verify

    graph = lower(typed, tensor_types(compiled.headers))
    _raise_any(verify(graph))
    trained = as_trained(typed)
    raw = graph if trained is typed else lower(trained, tensor_types(compiled.headers))
    compiled = replace(compiled, graph=graph, raw=raw)
    if stop_after == "lower":
        return compiled

    from growplan.ir.passes import run_passes
    from growplan.ir.unmasked import unmasked

    live = live_steps(typed.steps)
    stored = unmasked(raw, live) if typed.claim.where == "attached" else graph
    return replace(compiled, stored=stored, final=run_passes(stored))


def check(plan: Plan, *, model_dir: str | Path | None = None, family: str | Path | None = None) -> TypedPlan:
    """Type a plan and prove its claims; needs only the source's config.json."""
    typed = compile_plan(plan, model_dir=model_dir, family=family, stop_after="check").typed
    assert typed is not None
    return typed


def check_schedule(
    plan: Plan, *, model_dir: str | Path | None = None, family: str | Path | None = None
) -> Schedule:
    """Type every stage of a plan, prove its claims, look at its data; needs only the source's config.json."""
    from growplan.learn.place import data_findings, training_findings

    config, headers, model = bind_source(plan, model_dir, family)
    schedule = check_stages(plan, model)
    weights = headers is not None
    found, lints = list[Diagnostic](), [*schedule.lints]
    for typed in (stage.typed for stage in schedule.stages if stage.typed is not None):
        found += data_findings(typed, config.directory, weights=weights)
        lints += tokenizer_findings(typed, config.directory)
    _raise_any([*found, *training_findings(schedule, config.directory, weights=weights)])
    return replace(schedule, lints=tuple(dict.fromkeys(lints)))


def schedule_moments(schedule: Schedule) -> dict[str, tuple[StepMoments, ...]]:
    """By the name of each stage that grows: what its steps do to the moments of AdamW."""
    from growplan.ir.lower import lower
    from growplan.ir.moment_report import moment_report

    grown = {stage.name: stage.typed for stage in schedule.stages if stage.typed is not None}
    trained = {name: as_trained(typed) for name, typed in grown.items()}
    return {name: moment_report(lower(typed, {}), typed) for name, typed in trained.items()}


def stage_plan(plan: Plan, name: str) -> Plan:
    """The growth of one stage as a plan of its own, which `compile_plan` and `apply` take.

    It has no target, and the first alone has a source: to the others one has to be given.
    Raises GP597 where there is no such stage.
    """
    found = next((stage for stage in plan.stages if stage.name == name), None)
    if found is not None:
        return plan.growth_of(found)
    names = ", ".join(f"`{stage.name}`" for stage in plan.stages)
    if not names:
        fail("GP597", "the plan has no stages", plan.span, help="leave `--stage` out: it is one growth")
    fail("GP597", f"the plan has no stage `{name}`", plan.span, help=f"one of {names}")


def _refuse_stages(plan: Plan) -> None:
    if plan.stages:
        first = next((stage for stage in plan.stages if stage.steps), plan.stages[0])
        fail(
            "GP594",
            f"the plan has {len(plan.stages)} stages, with training between them: it is no one growth",
            plan.place("stages"),
            help=("run all of it: `growplan train PLAN`", f"or one growth: `--stage {first.name}`"),
        )


def check_moments(
    plan: Plan, *, model_dir: str | Path | None = None, family: str | Path | None = None
) -> tuple[TypedPlan, tuple[StepMoments, ...]]:
    """`check`, and what each step does to the moments of AdamW; of the source it needs no more."""
    from growplan.ir.moment_report import moment_report

    compiled = compile_plan(plan, model_dir=model_dir, family=family, stop_after="lower")
    assert compiled.typed is not None and compiled.raw is not None
    return compiled.typed, moment_report(compiled.raw, as_trained(compiled.typed))


def rules_of_moments(
    plan: Plan, *, model_dir: str | Path | None = None, family: str | Path | None = None
) -> MomentRules:
    """Where the moments of the target's AdamW come from, tensor by tensor."""
    return moments_of(compile_plan(plan, model_dir=model_dir, family=family, stop_after="lower"))


def moments_of(compiled: Compiled) -> MomentRules:
    """The rules of moments of a lowered plan: of the tensors that are trained, behind masks."""
    from growplan.ir.moment_rules import moment_rules

    assert compiled.typed is not None and compiled.raw is not None
    return moment_rules(compiled.raw, as_trained(compiled.typed))


def read_for(
    read: Callable[[], Plan], *, model_dir: str | Path | None = None, family: str | Path | None = None
) -> Plan:
    """The plan that `read` gives; where it has mistakes, those of its readable steps are raised with them."""
    try:
        return read()
    except DiagnosticError as error:
        if not isinstance(error.partial, Plan):
            raise
        found = [*error.diagnostics, *_mistakes(error.partial, model_dir, family)]
        placed = sorted((d for d in found if d.span), key=lambda d: (d.span.source.name, d.span.start))  # type: ignore[union-attr]
        raise DiagnosticError(*(d for d in found if not d.span), *placed) from None


def _mistakes(plan: Plan, model_dir: str | Path | None, family: str | Path | None) -> tuple[Diagnostic, ...]:
    """What the checker can say of a plan some of whose words could not be read."""
    if plan.source is None and model_dir is None:
        return tuple(stage_words(plan))
    try:
        model = bind_source(plan, model_dir, family)[2]
        if plan.stages:
            check_stages(plan, model)
        else:
            check_plan(plan, model, unread=None if plan.unread is None else plan.unread.step)
    except DiagnosticError as error:
        return error.diagnostics
    return ()


def bind_source(
    plan: Plan, model_dir: str | Path | None = None, family: str | Path | None = None
) -> tuple[Config, Headers | None, Model]:
    """The source's config, headers (where there are weights) and bound model.

    What is wrong with them, and has no place of its own, is placed at the plan's `source:` or
    `family:`; with both wrong, both are raised. A family given does not count where the plan is the growth of
    a stage behind an upcycling: what that has made is found by its config.
    """
    found: list[Diagnostic] = []
    given = None if plan.of_mixture else family or _relative(plan, plan.family)
    described = None
    with placed(None if family else plan.place("family"), found):
        described = None if given is None else load_family(given)
    with placed(None if model_dir is not None else plan.place("source"), found):
        config = read_config(source_directory(plan, model_dir), plan.source if model_dir is None else None)
        headers = find_headers(config.directory)
        refuse_half_grown(config.directory)
        if not found:
            return config, headers, bind_stored(described or detect(config), config, headers)
    raise DiagnosticError(*found, *stage_words(plan))


@contextmanager
def placed(span: Span | None, found: list[Diagnostic] | None = None) -> Iterator[None]:
    """Errors raised inside get the place `span` where they have none; they go to `found` if given."""
    try:
        yield
    except DiagnosticError as error:
        there = [d.at(span) for d in error.diagnostics]
        if found is None:
            raise DiagnosticError(*there) from None
        found += there


def source_directory(plan: Plan, model_dir: str | Path | None = None) -> Path:
    """Where the source lies: `model_dir`, or the plan's `source` relative to the plan's file."""
    if model_dir is not None:
        return Path(model_dir)
    source = _relative(plan, plan.source)
    if source is None:
        fail(
            "GP130",
            "the plan names no source",
            plan.span,
            help=("add `source: DIR` to the plan", "or give `--model DIR`"),
        )
    return source


def target_directory(plan: Plan, out: str | Path | None = None) -> Path:
    """Where the result goes: `out`, or the plan's `target` relative to the plan's file."""
    if out is not None:
        return Path(out)
    target = _relative(plan, plan.target)
    if target is None:
        stage = plan.part_of
        what = "there is no target to write to" if stage is None else "one stage has no target of its own"
        ways = ("give `--out DIR`", "or add `target: DIR` to the plan")
        fail("GP131", what, plan.span, help=ways[: 2 if stage is None else 1])
    return target


def _relative(plan: Plan, path: str | None) -> Path | None:
    if path is None:
        return None
    base = Path(plan.path).parent if plan.path is not None else Path()
    return base / os.path.expanduser(path)  # noqa: PTH111 - Path.expanduser raises for a user there is none of


def tensor_types(headers: Headers | None) -> dict[str, TensorType]:
    """Types on disk, for lowering; empty without weights."""
    from growplan.ir.graph import TensorType

    if headers is None:
        return {}
    return {name: TensorType(tuple(t.shape), t.dtype) for name, t in headers.tensors.items()}


def _raise_any(found: list[Diagnostic]) -> None:
    if found:
        raise DiagnosticError(*found)
