"""Growth at a step of transformers' Trainer: its training ends there, and the next begins on what it grew to.

callback = GrowthCallback("plan.grow", at=1000, out="grown")
Trainer(model, args, callbacks=[callback]).train()        # ends behind step 1000, and grows
model = AutoModelForCausalLM.from_pretrained(callback.grown)
Trainer(model, args).train(resume_from_checkpoint=callback.grown)   # goes on with step 1001
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from growplan.apply import apply
from growplan.check import check_plan
from growplan.checkpoint.config import write_config
from growplan.checkpoint.files import path_exists
from growplan.checkpoint.growth_reader import read_growth
from growplan.checkpoint.output import check_target
from growplan.checkpoint.training import OptimizerMode
from growplan.diagnostics import fail
from growplan.language import plan_hash
from growplan.pipeline import bind_source
from growplan.runtime.callback import MaskCallback, RecordingCallback
from growplan.runtime.hooks import below_1
from growplan.runtime.ramps import value_at
from growplan.training.grow import AnyPlan, chosen_plan


class GrowthCallback(RecordingCallback):
    """Saves a checkpoint behind step `at`, ends the training there, and grows the checkpoint to `out`.

    A running Trainer keeps its model to itself, so that the next one is made on the grown state: resumed from
    `grown`, it goes on with the same schedule, the same data and the moments of `optimizer` (see `apply`), at
    the step that it stands at. `stage`: of a plan with stages, whose growth it is.
    A run that was killed is taken up from its last checkpoint as ever, and grown then; where `done`, it is
    the next training that goes on.
    """

    def __init__(
        self,
        plan: AnyPlan,
        at: int,
        out: Path | str,
        *,
        stage: str | None = None,
        optimizer: OptimizerMode = "grow",
        family: str | Path | None = None,
    ) -> None:
        self.plan = chosen_plan(plan, stage)
        self.at, self.out = at, Path(out)
        self.optimizer, self.family = optimizer, family

    @property
    def done(self) -> bool:
        """Whether `out` is what this plan makes; then no training is needed before `grown`."""
        growth = read_growth(self.out) if self.out.is_dir() else None
        return growth is not None and growth.plan_hash == plan_hash(self.plan)

    @property
    def grown(self) -> str:
        """The grown checkpoint, for `from_pretrained` and `resume_from_checkpoint`. Raises GP625."""
        if not self.done:
            fail(
                "GP625",
                f"nothing is grown at {self.out} yet",
                help=f"train for {self.at} steps with this callback first",
            )
        return str(self.out)

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        """Refuse what could not be grown later, before a step is trained.

        Raises GP588, GP625, and what `check` raises.
        """
        for wrong, what, way in self._obstacles(args, state):
            if wrong:
                fail("GP625", what, help=way)
        self._refuse_masks(model, state.global_step)
        check_target(self.out)
        with tempfile.TemporaryDirectory(prefix="growplan-") as folder:
            config = {**model.config.to_dict(), "architectures": [type(model).__name__]}
            write_config(Path(folder), config)
            check_plan(self.plan, bind_source(self.plan, folder, self.family)[2])

    def _refuse_masks(self, model: Any, now: int) -> None:
        """GP588 where masks of the model will be below 1 at the growth."""
        if not below_1(model):
            return
        moving = MaskCallback.of(model)
        if moving is None:
            fail(
                "GP588",
                f"the model is behind masks below 1, and nothing moves them until the growth at {self.at}",
                help="give the Trainer a `MaskCallback` for them, too",
            )
        begun, state = moving.begun_at(now), moving.attached.state
        low = {mask.step: m for mask in state.masks if (m := value_at(mask.ramp, begun + self.at)) < 1}
        if low:
            said = ", ".join(f"the mask of `{step}` will be {m:.3g}" for step, m in low.items())
            fail(
                "GP588",
                f"the growth at {self.at} is in the middle of a ramp: {said}",
                help=f"grow at step {moving.attached.end - begun}, or later",
            )

    def _obstacles(self, args: Any, state: Any) -> Iterator[tuple[bool, str, str]]:
        """(whether it is so, what is wrong, a way out)."""
        yield (
            self.done,
            f"{self.out} holds what this plan makes already",
            "go on from there, as `grown` says; or remove it to grow again",
        )
        yield (
            path_exists(self.out),
            f"{self.out} exists, and is not what this plan makes",
            "give another `out`, or remove it",
        )
        yield (
            state.global_step > self.at,
            f"the training stands at step {state.global_step}, behind the growth at {self.at}",
            "begin with the checkpoint of that step, or with one before it",
        )
        yield (
            state.max_steps < self.at,
            f"the training ends with step {state.max_steps}, before the growth at {self.at}",
            "give it more steps (`max_steps` is of both trainings), or grow earlier",
        )
        yield (
            args.save_only_model and self.optimizer != "drop",
            "the Trainer saves no optimizer's state (`save_only_model`), which is to be grown",
            "save it, or give `optimizer='drop'`",
        )

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Raises GP588 where masks that nobody moved stand in the checkpoint that is to be grown."""
        super().on_save(args, state, control, **kwargs)
        if state.global_step == self.at and below_1(kwargs["model"]):
            fail(
                "GP588",
                f"masks of the model are below 1 at step {self.at}, where it is to be grown",
                help="give the Trainer the `MaskCallback` that was made for them",
            )

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step >= self.at:
            control.should_save = control.should_save or state.global_step == self.at
            control.should_training_stop = True

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Grow the checkpoint of step `at`. Raises what `apply` raises."""
        if state.global_step >= self.at and not self.done:
            checkpoint = Path(args.output_dir) / f"checkpoint-{self.at}"
            apply(self.plan, self.out, model_dir=checkpoint, family=self.family, optimizer=self.optimizer)
