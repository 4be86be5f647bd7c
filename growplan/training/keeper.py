"""What is kept of a stage while it trains: a line of the history a step, and whole checkpoints."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from growplan.learn.fit import rate
from growplan.learn.resume import due
from growplan.methods.operator import Recipe
from growplan.runtime import Attached, Rewarm
from growplan.training.history import History, Line
from growplan.training.places import StageFolder

Show = Callable[[int, float], None]
"""`show(steps of the stage done, loss of the last)`"""


@dataclass(frozen=True)
class Meter:
    """Where a stage stands in its run: steps, tokens and FLOPs before it, and those of each of its steps."""

    stage: str
    steps: int
    tokens: int
    flops: int
    tokens_a_step: int
    flops_a_step: int

    def line(self, kind: str, step: int, **facts: Any) -> Line:
        """A line of the history after so many steps of the stage."""
        return {
            "kind": kind,
            "stage": self.stage,
            "step": step,
            "global_step": self.steps + step,
            "tokens": self.tokens + step * self.tokens_a_step,
            "flops": self.flops + step * self.flops_a_step,
            **facts,
        }


class Keeper(TrainerCallback):  # type: ignore[misc]
    """Writes the history, and asks for a checkpoint every so many steps and at the last one.

    It must be the last callback: what others save beside a checkpoint lies there when it is marked as whole.
    """

    def __init__(
        self,
        recipe: Recipe,
        rewarm: Rewarm | None,
        meter: Meter,
        history: History,
        folder: StageFolder,
        loss: Callable[[], float],
        attached: Attached | None,
        show: Show,
    ) -> None:
        self.recipe, self.rewarm, self.meter = recipe, rewarm, meter
        self.history, self.folder = history, folder
        self.loss, self.attached, self.show = loss, attached, show
        self.masks: dict[str, float] = {}  # in force in the step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        active = self.attached is not None and self.attached.active
        self.masks = self.attached.masks if self.attached is not None and active else {}

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        step, loss = state.global_step, self.loss()
        masks = {"masks": self.masks} if self.masks else {}
        factor = 1.0 if self.rewarm is None else self.rewarm.factor(step - 1)
        lr = factor * rate(self.recipe, step - 1)
        line = self.meter.line("step", step, loss=loss, lr=lr, **masks)
        self.history.add(line)
        control.should_save = due(step, self.recipe.steps, self.recipe.every)
        self.show(step, loss)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.history.sync()
        self.folder.complete(Path(args.output_dir) / f"checkpoint-{state.global_step}", state.global_step)
