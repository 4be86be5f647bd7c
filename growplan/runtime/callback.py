"""Growth masks, freezing, sub-models and rates after a growth in transformers' Trainer.

Each callback is a function of the Trainer's global step: a training resumed from a checkpoint has the
masks, the frozen parts and the sub-models that it would have had.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any, ClassVar
from weakref import WeakSet

from transformers import TrainerCallback

from growplan.checkpoint.files import path_exists
from growplan.runtime.attached import Attached
from growplan.runtime.freezing import Frozen, freeze, left_out
from growplan.runtime.rewarm import Rewarm
from growplan.runtime.state import STATE, read_state
from growplan.runtime.trainer_files import record_frozen
from growplan.runtime.two_stage import SubModels


def checkpoint_of(args: Any, state: Any) -> Path:
    """Where the Trainer has its checkpoint of this step."""
    return Path(args.output_dir) / f"checkpoint-{state.global_step}"


class RecordingCallback(TrainerCallback):  # type: ignore[misc]
    """Records with each checkpoint which parameters the optimizer does not hold, where there are any.

    Without that its state could not be grown: it knows its parameters by their numbers alone.
    """

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        names = left_out(kwargs["model"], kwargs["optimizer"])
        if names and state.is_world_process_zero:
            record_frozen(checkpoint_of(args, state), names)


class MaskCallback(RecordingCallback):
    """Moves the masks of `attached` with the Trainer's steps, and saves their state with its checkpoints.

    `attached.state.step` steps were done before this training, be it a new one; a resumed one goes on from
    the step at which it began, which its checkpoints record. At the end of every ramp the masks are taken
    away, and the model is plain. With `load_best_model_at_end` they are put back where the best checkpoint
    has them.
    """

    _made: ClassVar[WeakSet[MaskCallback]] = WeakSet()

    def __init__(self, attached: Attached) -> None:
        self.attached = attached
        self.begun = attached.state.step
        self._made.add(self)

    @classmethod
    def of(cls, model: Any) -> MaskCallback | None:
        """The callback that was made to move the masks of `model`; None where nobody made one."""
        return next((each for each in cls._made if each.attached.model is model), None)

    def begun_at(self, resumed: int) -> int:
        """Steps that were done at step 0 of a training which begins, or goes on, at step `resumed`.

        Below 0 where the model was grown at a later step of it.
        """
        begun = self.attached.state.begun
        return self.begun if begun is None or not resumed else begun

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step:  # weights of a checkpoint were loaded: of the growth itself, perhaps
            self.attached.reload()
        self.begun = self.begun_at(state.global_step)
        self._at(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at(state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """An evaluation between steps is of the model that would be saved there."""
        self._at(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Beside the checkpoint that was just written."""
        super().on_save(args, state, control, **kwargs)
        if self.attached.active and state.is_world_process_zero:
            self._at(state.global_step)
            if self.attached.active:
                self.attached.save(checkpoint_of(args, state), begun=self.begun)

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at(state.global_step)
        best = state.best_model_checkpoint if args.load_best_model_at_end else None
        if best is not None and path_exists(Path(best) / STATE):
            self.attached.restore(read_state(best).step)

    def _at(self, step: int) -> None:
        if not self.attached.active:
            return
        self.attached.at(self.begun + step)
        if self.attached.done >= self.attached.end:
            self.attached.finish()


class FreezeCallback(RecordingCallback):
    """Trains only `train` (`runtime.selected`) for the first `steps` steps, then everything (MSLT).

    The Trainer's optimizer is made before, and holds every parameter: what has no gradient it leaves alone.
    """

    def __init__(self, train: frozenset[str], steps: int) -> None:
        self.train, self.steps = train, steps
        self.frozen: Frozen | None = None

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step < self.steps and self.frozen is None:
            self.frozen = freeze(model, self.train)
        elif state.global_step >= self.steps:
            self._release()

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._release()

    def _release(self) -> None:
        if self.frozen is not None:
            self.frozen.release()
            self.frozen = None


class SubModelCallback(RecordingCallback):
    """bert2BERT's first stage for `steps` steps: a sub-model each, then the whole model."""

    def __init__(self, models: SubModels, steps: int) -> None:
        self.models, self.steps = models, steps
        self.inside = ExitStack()

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.inside.close()
        if state.global_step < self.steps:
            self.inside.enter_context(self.models.at(state.global_step))

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.inside.close()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.inside.close()


class RewarmCallback(RecordingCallback):
    """Leads the learning rate up again after a growth, on top of the Trainer's own schedule.

    `rewarm`: from which global step on, and over how many; None, which `Rewarm.of` gives where no paper
    has a number for growth of that kind, changes nothing.
    """

    def __init__(self, rewarm: Rewarm | None) -> None:
        self.rewarm = rewarm
        self._ends = ExitStack()

    def on_train_begin(
        self, args: Any, state: Any, control: Any, optimizer: Any = None, **kwargs: Any
    ) -> None:
        self._ends.close()
        if self.rewarm is not None:
            inner = getattr(optimizer, "optimizer", optimizer)  # accelerate wraps it
            self._ends.callback(self.rewarm.attach(inner, lambda: int(state.global_step)))

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._ends.close()
