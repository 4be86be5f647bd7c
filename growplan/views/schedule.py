"""The report of `growplan check` on a plan with stages: the schedule, then each stage."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from growplan.check.cost import cost
from growplan.check.learned import as_read
from growplan.check.stages import Schedule, TypedStage
from growplan.diagnostics import Diagnostic
from growplan.views import numbers
from growplan.views.check import CheckReport, step_data
from growplan.views.diagnostics import to_data
from growplan.views.layout import columns, labelled, wrapped
from growplan.views.names import axes_in_order, claim_data, cost_data, model_data, model_line
from growplan.views.style import Style, printable

if TYPE_CHECKING:
    from growplan.ir.moment_report import StepMoments

_CLAIMS = (
    "Each claim is of one growth, against the model that it grows, over the reals and in eval mode (dropout "
    "off); `growplan train` and `apply --stage` measure it."
)


@dataclass(frozen=True)
class ScheduleReport:
    """A checked plan with stages. `reasons` shows every reason of a proof, not only the first few.

    `moments`: by the name of a stage, what its steps do to an optimizer's state, where that was asked.
    """

    schedule: Schedule
    name: str = "plan"
    reasons: bool = False
    moments: Mapping[str, tuple[StepMoments, ...]] = field(default_factory=dict)
    kind: ClassVar[str] = "check"

    @property
    def lints(self) -> tuple[Diagnostic, ...]:
        return self.schedule.lints

    @property
    def line(self) -> tuple[str, str]:
        """The claim, and the sizes from the first to the last."""
        costs = (self.schedule.cost_before.parameters, self.schedule.cost_after.parameters)
        stages = numbers.plural(len(self.schedule.stages), "stage")
        sizes = f"{numbers.count(costs[0])} → {numbers.count(costs[1])} parameters, {stages}"
        return str(self.schedule.claim), sizes

    def human(self, style: Style) -> str:
        blocks = [self._head(), self._table(style), self._against_scratch()]
        for stage in self.schedule.stages:
            blocks += self._stage(stage, style)
        if any(stage.typed is not None for stage in self.schedule.stages):
            blocks.append(wrapped(_CLAIMS))
        return "\n\n".join("\n".join(lines) for lines in blocks if lines)

    def _head(self) -> list[str]:
        plan = self.schedule.plan
        rows = [
            ("plan", self.name),
            ("source", f"{plan.source or '(given)'}  ({model_line(self.schedule.source)})"),
            ("target", plan.target or "(given by --out)"),
        ]
        return [printable(line) for line in labelled(rows)]

    def _table(self, style: Style) -> list[str]:
        """A line a stage: sizes that change, parameters, how many train, how long, at what price."""
        stages = self.schedule.stages
        axes = _moving(stages)
        rows = [["stage", *axes, "parameters", "trained", "steps", "tokens", "FLOPs", "share"]]
        for stage in stages:
            sizes = [_size(stage, axis) for axis in axes]
            rows.append([f"{stage.index} {stage.name}", *sizes, *_numbers(stage, self.schedule.flops)])
        total = [numbers.count(self.schedule.tokens), numbers.flops(self.schedule.flops), "100%"]
        steps = sum(stage.training.recipe.steps for stage in stages if stage.training is not None)
        if self.schedule.flops:
            rows.append(["total", *[""] * len(axes), "", "", str(steps), *total])
        lines = columns([[printable(cell) for cell in row] for row in rows], "<" + ">" * (len(axes) + 6))
        return [style.dim(lines[0]), *lines[1:]]

    def _against_scratch(self) -> list[str]:
        schedule = self.schedule
        if not schedule.scratch:
            return []
        share = schedule.flops / schedule.scratch
        text = (
            f"{share:.1%} of what the last size costs from scratch on as many tokens "
            f"({numbers.flops(schedule.scratch)} FLOPs). What the source has cost is not counted; attention "
            "scores, which depend on the length of a sequence, are not either."
        )
        return wrapped(text)

    def _stage(self, stage: TypedStage, style: Style) -> Iterator[list[str]]:
        title = f"stage {stage.index}, {printable(stage.name)}"
        claim = (
            f": claim {stage.typed.claim}" if stage.typed is not None and stage.typed.steps else ": no growth"
        )
        yield [style.bold(title) + claim]
        if stage.typed is not None:
            moments = self.moments.get(stage.name, ())
            yield from CheckReport(stage.typed, self.name, self.reasons, moments).steps(style)
        yield [printable(line) for line in labelled(_training(self.schedule, stage), indent=4)]

    def data(self) -> dict[str, Any]:
        from growplan.language import plan_hash

        schedule = self.schedule
        return {
            "plan": self.name,
            "hash": plan_hash(schedule.plan),
            "source": {"path": schedule.plan.source, **model_data(schedule.source)},
            "target": {"path": schedule.plan.target, **model_data(schedule.target)},
            "seed": schedule.plan.seed,
            "stages": [self._stage_data(stage) for stage in schedule.stages],
            "claim": claim_data(schedule.claim),
            "cost": {"before": cost_data(schedule.cost_before), "after": cost_data(schedule.cost_after)},
            "tokens": schedule.tokens,
            "flops": schedule.flops,
            "flops_from_scratch": schedule.scratch,
            "diagnostics": [to_data(d) for d in schedule.lints],
        }

    def _stage_data(self, stage: TypedStage) -> dict[str, Any]:
        typed, training = stage.typed, stage.training
        data: dict[str, Any] = {
            "index": stage.index,
            "name": stage.name,
            "steps": [] if typed is None else [step_data(step) for step in typed.steps],
            "claim": None if typed is None else claim_data(typed.claim),
            "sizes": model_data(stage.after)["sizes"],
            "train": None if training is None else asdict(training),
            "train_only": list(stage.stage.train_only),
            "freeze": list(stage.stage.freeze),
            "cost": {**cost_data(cost(stage.after)), **asdict(stage.cost), "flops": stage.cost.flops},
        }
        if self.moments:
            from growplan.views.moments import moment_data

            data["optimizer"] = [moment_data(step) for step in self.moments.get(stage.name, ())]
        return data


def _moving(stages: Sequence[TypedStage]) -> list[str]:
    """The axes that some stage changes; the depth where none does."""
    every = axes_in_order({axis: size for stage in stages for axis, size in stage.after.sizes.items()})
    moving = [axis for axis in every if any(_changed(stage, axis) for stage in stages)]
    return moving or ["depth"]


def _changed(stage: TypedStage, axis: str) -> bool:
    return stage.before.sizes.get(axis) != stage.after.sizes.get(axis)


def _size(stage: TypedStage, axis: str) -> str:
    old, new = (str(model.sizes.get(axis, "")) for model in (stage.before, stage.after))
    return f"{old}→{new}" if old and old != new else new


def _numbers(stage: TypedStage, total: int) -> list[str]:
    """Parameters, those that train, steps, tokens, FLOPs, share of all."""
    costs = stage.cost
    trains = stage.training is not None
    return [
        numbers.count(cost(stage.after).parameters),
        numbers.count(costs.trained) if trains else "–",
        str(stage.training.recipe.steps) if stage.training is not None else "–",
        numbers.count(costs.tokens) if trains else "–",
        numbers.flops(costs.flops) if costs.flops else "–",
        f"{costs.flops / total:.1%}" if costs.flops else "–",
    ]


def _training(schedule: Schedule, stage: TypedStage) -> Iterator[tuple[str, str]]:
    """How long a stage trains, on what, what of it, and the options that the plan gives."""
    training = stage.training
    if training is None:
        yield "train", "not at all"
        return
    recipe = as_read(training.recipe, stage.after)
    images = stage.after.inputs == "image"
    batch = f"{recipe.batch} images" if images else f"{recipe.batch} × {recipe.tokens} tokens"
    yield (
        "train",
        f"{numbers.plural(recipe.steps, 'step')} of {batch} on {training.on}{_options(schedule, stage)}",
    )
    yield "what", _part(stage)
    if stage.cost.fits:
        yield "fits", f"{numbers.flops(stage.cost.fits)} FLOPs for the operators that its steps learn"


def _options(schedule: Schedule, stage: TypedStage) -> str:
    train = schedule.plan.training(stage.stage)
    given = {} if train is None else train.options
    return "".join(f", {key} {value}" for key, value in given.items() if key not in ("batch", "tokens"))


def _part(stage: TypedStage) -> str:
    """`new-layers: 21.3M of 67.0M parameters`."""
    words = ", ".join(stage.stage.train_only) or "all"
    words += f" without {', '.join(stage.stage.freeze)}" if stage.stage.freeze else ""
    each = stage.training.sub_models if stage.training is not None else 0
    if each:
        also = f", and {words}" if stage.stage.train_only else ""
        words = f"the top {each} layers of a prefix of {each}, {2 * each}, …{also}"
    share = (numbers.count(stage.cost.trained), numbers.count(cost(stage.after).parameters))
    return f"{words}: {share[0]} of {share[1]} parameters"
