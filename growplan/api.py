"""The Python API: what the command line does, as values. Reached as `growplan.load` and so on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growplan.compare.values import PlanDiff
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language.plan import Plan

if TYPE_CHECKING:
    from growplan.apply import ApplyResult
    from growplan.check.stages import Schedule
    from growplan.check.typed import TypedPlan
    from growplan.checkpoint.training import OptimizerMode
    from growplan.ir.graph import Graph
    from growplan.ir.moment_rules import MomentRules
    from growplan.publish import Event
    from growplan.toy import StagedToy, ToyResult
    from growplan.training.run import TrainResult
    from growplan.training.stage import Step

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class LoadedPlan:
    """A parsed plan and where its model comes from. Compiling it changes nothing in it.

    `model` takes the place of the plan's `source`; `family` is a family file of the user's own.
    Every method raises `growplan.DiagnosticError` with all the mistakes it found.
    """

    plan: Plan
    name: str = "plan"
    model: str | None = None
    family: str | None = None

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical text: equal for plans that mean the same."""
        from growplan.language import plan_hash

        return plan_hash(self.plan)

    def check(self) -> TypedPlan:
        """Type the plan and prove its claims; needs only the source's config.json."""
        from growplan.pipeline import check

        return check(self.plan, model_dir=self.model, family=self.family)

    def schedule(self) -> Schedule:
        """Of a plan with stages: each typed, its claims proved, and what its training costs."""
        from growplan.pipeline import check_schedule

        return check_schedule(self.plan, model_dir=self.model, family=self.family)

    def lower(self, *, optimized: bool = False) -> Graph:
        """The IR: as lowered and verified, or after the passes, as it is executed."""
        from growplan.pipeline import compile_plan

        compiled = compile_plan(
            self.plan,
            model_dir=self.model,
            family=self.family,
            stop_after="passes" if optimized else "lower",
        )
        graph = compiled.final if optimized else compiled.graph
        assert graph is not None
        return graph

    def moments(self) -> MomentRules:
        """Where AdamW's moments of the target come from, for `growplan.runtime.grow_optimizer`."""
        from growplan.pipeline import rules_of_moments

        return rules_of_moments(self.plan, model_dir=self.model, family=self.family)

    def apply(
        self,
        out: PathLike | None = None,
        *,
        device: str = "cpu",
        force: bool = False,
        resume: bool = False,
        dry_run: bool = False,
        memory: int | None = None,
        stock: bool | None = None,
        optimizer: OptimizerMode | None = None,
        shard: bool = False,
        stage: str | None = None,
        begin: PathLike | None = None,
        progress: Callable[[Event], None] | None = None,
    ) -> ApplyResult:
        """Grow the source and write a Hugging Face directory (needs `growplan[torch]`).

        `out` takes the place of the plan's `target`. Every step is asserted against the step
        before it; the target appears whole or not at all. `resume`: go on with the fits of an
        interrupted run. `stock`: compare source and result by
        their transformers class too (None: where both fit in memory). `optimizer`: `grow`, `reset` or
        `drop` the state of a Trainer's checkpoint (None: drop). `shard`: under torchrun, cut a fit over
        the processes. `stage`: grow this stage alone, from `begin`, what the stage before has trained
        (None: the plan's source).
        """
        from growplan.apply import apply

        return apply(
            self.plan,
            None if out is None else os.fspath(out),
            model_dir=self.model,
            family=self.family,
            device=device,
            force=force,
            resume=resume,
            dry_run=dry_run,
            memory=memory,
            stock=stock,
            optimizer=optimizer,
            shard=shard,
            stage=stage,
            begin=None if begin is None else os.fspath(begin),
            progress=progress,
        )

    def train(
        self,
        out: PathLike | None = None,
        *,
        device: str = "cpu",
        force: bool = False,
        dry_run: bool = False,
        stock: bool | None = None,
        progress: Callable[[Step], None] | None = None,
    ) -> TrainResult:
        """Grow and train by the plan's stages, in a directory of its own (needs `growplan[torch,trainer]`).

        `out` takes the place of the plan's `target`. A run that was stopped goes on when it is called again;
        `force` begins it anew. The last model is in `result.model`.
        """
        from growplan.training.run import train

        return train(
            self.plan,
            None if out is None else os.fspath(out),
            model_dir=self.model,
            family=self.family,
            device=device,
            force=force,
            dry_run=dry_run,
            stock=stock,
            progress=progress,
        )

    def toy(
        self, out: PathLike | None = None, *, device: str = "cpu", stock: bool = False
    ) -> ToyResult | StagedToy:
        """Run the plan at small sizes on a random source of its family (needs `growplan[torch]`).

        `out`: keep `source/`, `grown/` and `plan.grow` there. Everything that `apply` asserts is
        asserted, and every step must be proved to be what it is in the plan. Of a plan with stages the
        growth of each is run, and nothing is trained.
        """
        from growplan.toy import run_toy, run_toys

        kept = None if out is None else os.fspath(out)
        run = run_toys if self.plan.stages else run_toy
        return run(self.plan, kept, model_dir=self.model, family=self.family, device=device, stock=stock)


def load(
    path: PathLike, *, set: Iterable[str] = (), model: PathLike | None = None, family: PathLike | None = None
) -> LoadedPlan:
    """Read a plan file; `set` holds overrides such as `"seed=1"` or `"wider.to=1024"`."""
    from growplan.language import parse_file

    plan = parse_file(path, tuple(set))
    return LoadedPlan(plan, os.fspath(path), _text(model), _text(family))


def parse(text: str, *, model: PathLike | None = None, family: PathLike | None = None) -> LoadedPlan:
    """A plan from its text, YAML or DSL: `growplan.parse("widen hidden to 768", model=...)`."""
    from growplan.language import guess_syntax, parse_text

    plan = parse_text(text, "<text>", guess_syntax("<text>", text))
    return LoadedPlan(plan, "<text>", _text(model), _text(family))


def diff(old: LoadedPlan | PathLike, new: LoadedPlan | PathLike, *, tensors: bool = True) -> PlanDiff:
    """What changed between two plans: steps by id, sizes, methods, claims, cost, tensors.

    Works without the sources; `notes` then say what is missing. Raises DiagnosticError where a
    plan cannot be parsed.
    """
    from growplan.compare.diff import compare
    from growplan.compare.sides import Side

    left, right = (p if isinstance(p, LoadedPlan) else load(p) for p in (old, new))
    return compare(
        Side(left.name, left.plan),
        Side(right.name, right.plan),
        model_dir=left.model if left.model == right.model else None,
        family=left.family or right.family,
        tensors=tensors,
    )


def render(value: Any) -> str:
    """Any result as the command line prints it: checked plans, diffs, diagnostics, IR, families."""
    from growplan.views.rendered import rendered

    return rendered(value)


def verify(directory: PathLike) -> list[Diagnostic]:
    """What is wrong with a grown checkpoint; an empty list when nothing is."""
    from growplan.checkpoint.verify import verify

    return verify(Path(directory))


def _text(path: PathLike | None) -> str | None:
    return None if path is None else os.fspath(path)


__all__ = ["DiagnosticError", "LoadedPlan", "PlanDiff", "diff", "load", "parse", "render", "verify"]
