"""The report of `growplan train`: what each stage cost, and what its loss on held-out data became."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from growplan.views import numbers
from growplan.views.layout import columns, labelled
from growplan.views.names import near
from growplan.views.schedule import ScheduleReport
from growplan.views.style import Style, printable

if TYPE_CHECKING:
    from growplan.check.stages import TypedStage
    from growplan.training.run import TrainResult
    from growplan.training.stage import Step

LINES = 10  # of progress, a stage


@dataclass(frozen=True)
class TrainReport:
    """What a run of the plan `name` did; `seconds` is the wall time of this call."""

    result: TrainResult
    name: str
    seconds: float | None = None
    kind: ClassVar[str] = "train"

    def human(self, style: Style) -> str:
        result, place = self.result, near(self.result.out)
        if result.dry_run:
            said = ScheduleReport(result.schedule, self.name).human(style)
            return f"{said}\n\n{style.bold(f'nothing was written; the run would be in {printable(place)}')}"
        facts = [("plan", self.name), ("run", f"{place}  (history.jsonl has a line a step)")]
        head = [printable(line) for line in labelled(facts)]
        rows = [["stage", "steps", "tokens", "FLOPs", "before growth", "grown", "trained"]]
        rows += [[printable(cell) for cell in self._row(stage)] for stage in result.schedule.stages]
        rows.append(["total", *self._total(), "", "", ""])
        lines = columns(rows, "<>>>>>>")
        table = [style.dim(lines[0]), *lines[1:], "", "losses are means over what is held out, in nats"]
        took = "" if self.seconds is None else f" ({numbers.seconds(self.seconds)})"
        end = [style.bold(f"wrote {printable(near(result.model))}{took}")]
        return "\n\n".join("\n".join(block) for block in (head, table, end))

    def _row(self, stage: TypedStage) -> Iterator[str]:
        found = self.losses(stage)
        yield f"{stage.index} {stage.name}"
        yield "–" if stage.training is None else str(stage.training.recipe.steps)
        yield numbers.count(stage.cost.tokens) if stage.training is not None else "–"
        yield numbers.flops(stage.cost.flops) if stage.cost.flops else "–"
        for key in ("before", "begin", "end"):
            loss = found.get(key)
            yield "–" if loss is None else f"{loss:.4f}"

    def _total(self) -> list[str]:
        schedule = self.result.schedule
        steps = sum(s.training.recipe.steps for s in schedule.stages if s.training is not None)
        return [str(steps), numbers.count(schedule.tokens), numbers.flops(schedule.flops)]

    def losses(self, stage: TypedStage) -> dict[str, float | None]:
        """Of held-out data: `before` the growth, as the stage `begin`s to train, at its `end`."""
        lines = [line for line in self.result.history if line["stage"] == stage.name]
        found = {line["kind"]: line["held_out"] for line in lines if "held_out" in line}
        before = [line["before"] for line in lines if line["kind"] == "growth"]
        return found | {"before": before[0] if before else None}

    def data(self) -> dict[str, Any]:
        result = self.result
        return {
            "plan": self.name,
            "out": str(result.out),
            "model": None if result.dry_run else str(result.model),
            "dry_run": result.dry_run,
            "stages": [
                {
                    "index": stage.index,
                    "name": stage.name,
                    "folder": stage.folder,
                    "steps": 0 if stage.training is None else stage.training.recipe.steps,
                    "tokens": stage.cost.tokens,
                    "flops": stage.cost.flops,
                    "loss": self.losses(stage),
                }
                for stage in result.schedule.stages
            ],
            "tokens": result.schedule.tokens,
            "flops": result.schedule.flops,
        }


def progress_line(step: Step) -> str | None:
    """A line for what a run begins, ends, or has done a tenth more of; None for what needs no line."""
    name, total = step.stage.name, _steps(step.stage)
    loss = "" if step.loss is None else f", loss {step.loss:.4f}"
    held = "" if step.loss is None else f", held-out loss {step.loss:.4f}"
    match step.kind:
        case "grow" if step.growing is None:
            return f"{name}: growing"
        case "train" if step.resumed:
            return f"{name}: going on from step {step.done} of {total}"
        case "train":
            return f"{name}: training {numbers.plural(total, 'step')}{held}"
        case "step" if step.done * LINES // total > (step.done - 1) * LINES // total:
            return f"{name}: step {step.done} of {total}{loss}"
        case "left":
            return f"{name}: done{held}"
        case _:
            return None


def _steps(stage: TypedStage) -> int:
    return 0 if stage.training is None else stage.training.recipe.steps
