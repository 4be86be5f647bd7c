"""The learning rate led up again after a growth, on top of whatever schedule runs.

The hint in growth.json says over how many steps, where a paper gives a number for growth of its kind. The
factor is a function of the global step alone, so that a run that is taken up again has the same rates.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from growplan.checkpoint.config import list_directory
from growplan.checkpoint.files import read_bytes
from growplan.checkpoint.growth import GROWTH
from growplan.diagnostics import fail

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Rewarm:
    """A linear warm-up over `steps` steps from global step `begin` on, times `scale` from then on."""

    begin: int
    steps: int
    scale: float = 1.0

    def factor(self, step: int) -> float:
        """What the schedule's rate is multiplied by in a step, counted from 0; 1 before the growth."""
        if step < self.begin:
            return 1.0
        return self.scale * min(1.0, (step - self.begin + 1) / max(1, self.steps))

    @staticmethod
    def of(grown: str | Path) -> Rewarm | None:
        """What the growth.json of a checkpoint says; None where no paper gives a number for such growth.

        It begins at the step where the source's Trainer stood, or at 0. Raises GP578.
        """
        grown = Path(grown)
        if GROWTH not in list_directory(grown):
            way = "give a checkpoint that `growplan apply` wrote"
            fail("GP578", f"there is no {GROWTH} in {grown}", help=way)
        try:
            record = json.loads(read_bytes(grown / GROWTH))
            hint, state = record.get("hint") or {}, record.get("extra", {}).get("optimizer") or {}
            steps, scale = hint.get("warmup_steps"), hint.get("lr_scale")
            return (
                None if steps is None else Rewarm(state.get("from_step") or 0, int(steps), float(scale or 1))
            )
        except (ValueError, TypeError, AttributeError) as error:
            way = "restore the file; `growplan verify` says what changed"
            fail("GP578", f"{grown / GROWTH} cannot be read: {error}", help=way)

    def attach(self, optimizer: torch.optim.Optimizer, step: int | Callable[[], int]) -> Callable[[], None]:
        """Multiply the rates inside every `optimizer.step()` from now on; call the result to end it.

        `step`: the global step of the next one, from which steps are counted, or what says it each time.
        Between steps the groups hold the schedule's own rates.
        """
        done = 0
        rates: list[Any] = []

        def at() -> int:
            return step + done if isinstance(step, int) else step()

        def before(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            rates[:] = [group["lr"] for group in optimizer.param_groups]
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * self.factor(at())

        def after(optimizer: torch.optim.Optimizer, *_: Any) -> None:
            nonlocal done
            done += 1
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate

        hooks = (
            optimizer.register_step_pre_hook(before),
            optimizer.register_step_post_hook(after),
        )

        def end() -> None:
            for hook in hooks:
                hook.remove()

        return end
