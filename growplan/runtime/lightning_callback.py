"""Growth masks, freezing, sub-models and rates after a growth in Lightning's Trainer.

Everything is a function of the Trainer's global step, as in `runtime.callback`; what a checkpoint keeps
beside that is the growth state, in the callback's own part of the `.ckpt`.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from lightning.pytorch import Callback

from growplan.diagnostics import fail
from growplan.runtime.attached import Attached
from growplan.runtime.freezing import Frozen, freeze
from growplan.runtime.rewarm import Rewarm
from growplan.runtime.state import GrowthState
from growplan.runtime.two_stage import SubModels

STATE = "growth_state"


class LightningGrowth(Callback):  # type: ignore[misc]
    """What a growth asks of a training, for the model of transformers inside a LightningModule.

    `masks` rise with the Trainer's steps and are taken away at 1. For the first `train_steps` steps only the
    parameters `train` of `model` (`runtime.selected`) are trained; for the first `sub_model_steps` each step
    trains a sub-model. `rewarm` leads the rates up again, on top of the module's own schedule. For automatic
    optimization with one optimizer, which holds every parameter.
    """

    def __init__(
        self,
        model: Any,
        *,
        masks: Attached | None = None,
        train: frozenset[str] | None = None,
        train_steps: int = 0,
        sub_models: SubModels | None = None,
        sub_model_steps: int = 0,
        rewarm: Rewarm | None = None,
    ) -> None:
        if train is not None and sub_models is not None:
            way = "give the parts that every step trains to `SubModels.of(..., also=...)`"
            fail("GP626", "`train` and `sub_models` both say what the first steps train", help=way)
        self.model, self.masks, self.rewarm = model, masks, rewarm
        self.train, self.train_steps = train, train_steps
        self.sub_models, self.sub_model_steps = sub_models, sub_model_steps
        self.begun = 0 if masks is None else masks.state.step
        self._frozen: Frozen | None = None
        self._step = ExitStack()  # what is left behind the backward pass of a step
        self._inside: int | None = None  # the step that `_step` is of
        self._training = ExitStack()

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Raises GP626 where Lightning's global step does not count the steps of one optimizer."""
        if not pl_module.automatic_optimization or len(trainer.optimizers) != 1:
            fail(
                "GP626",
                "the module optimizes by hand, or with several optimizers: its global step counts them all",
                help="move the masks yourself: `masks.step()` behind each step of the model's optimizer",
            )
        self._at(trainer.global_step)
        if self.rewarm is not None:
            for optimizer in trainer.optimizers:
                self._training.callback(self.rewarm.attach(optimizer, lambda: int(trainer.global_step)))

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        step = trainer.global_step
        self._at(step)
        if self.train is not None and step < self.train_steps and self._frozen is None:
            self._frozen = freeze(self.model, self.train)
        elif step >= self.train_steps:
            self._release()
        if self.sub_models is not None and step < self.sub_model_steps and self._inside != step:
            self._step.close()
            self._step.enter_context(self.sub_models.at(step))
            self._inside = step

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self._step.close()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """A validation or a checkpoint between steps is of the model as it is then."""
        self._at(trainer.global_step)

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        self._leave()

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:
        self._leave()

    def state_dict(self) -> dict[str, Any]:
        """The growth state, where masks are in the model."""
        if self.masks is None or not self.masks.active:
            return {}
        return {STATE: self.masks.now(begun=self.begun).model_dump_json()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from where the checkpoint's training began. Raises GP582 for one with other masks."""
        if STATE not in state_dict:
            return
        state = GrowthState.model_validate_json(state_dict[STATE])
        own = None if self.masks is None else self.masks.state
        if own is None or (own.family, own.sizes, own.masks) != (state.family, state.sizes, state.masks):
            said = ", ".join(f"`{mask.step}`" for mask in state.masks)
            fail(
                "GP582",
                f"the checkpoint was trained behind other masks: {said}",
                help="attach the masks of the directory that its training began with",
            )
        self.begun = state.begun or 0

    def _at(self, step: int) -> None:
        if self.masks is not None and self.masks.active:
            self.masks.at(self.begun + step)
            if self.masks.done >= self.masks.end:
                self.masks.finish()

    def _release(self) -> None:
        if self._frozen is not None:
            self._frozen.release()
            self._frozen = None

    def _leave(self) -> None:
        self._step.close()
        self._training.close()
        self._release()
