"""Growth masks in transformers' Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from growplan.runtime.attached import Attached


class MaskCallback(TrainerCallback):  # type: ignore[misc]
    """Moves the masks of `attached` with the Trainer's steps, and saves their state with its checkpoints.

    Masks are a function of the number of steps done since the growth, `attached.state.step` of them before
    this training; so a training resumed from a checkpoint has the masks it would have had. At the end of
    every ramp the masks are taken away, and the model is plain.
    """

    def __init__(self, attached: Attached) -> None:
        self.attached = attached
        self.begun = attached.state.step

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at(state.global_step)

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Beside the checkpoint that was just written."""
        if self.attached.active and state.is_world_process_zero:
            self._at(state.global_step)
            self.attached.save(Path(args.output_dir) / f"checkpoint-{state.global_step}")

    def on_train_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self._at(state.global_step)

    def _at(self, step: int) -> None:
        if not self.attached.active:
            return
        self.attached.at(self.begun + step)
        if self.attached.done >= self.attached.end:
            self.attached.finish()
