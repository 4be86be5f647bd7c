"""The state of a fit on disk, so that a killed run goes on where it stood, with the same result.

One file a learned step, beside the target: leaves, moments, and what they belong to. It is written whole
to another name, synced and renamed, so that a kill at any moment leaves one that can be read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.files import fsync_directory, guard, path_exists, write_bytes
from growplan.diagnostics import fail
from growplan.learn.fit import State


def folder_of(target: Path) -> Path:
    """Where the fits of a run that writes `target` keep their state."""
    return target.with_name(f".{target.name}.growplan-fit")


def due(done: int, steps: int, every: int) -> bool:
    """Whether the state is to be kept after so many of all steps."""
    return done % every == 0 or done == steps


@dataclass(frozen=True)
class Kept:
    """The state of one step's fit in `path`, stored every so many steps.

    `belongs`: everything that its numbers depend on.
    """

    path: Path
    belongs: Mapping[str, str]
    every: int

    def store(self, state: State, steps: int) -> None:
        """Write the state, if it is due: every so many steps, and at the last."""
        if not due(state.done, steps, self.every):
            return
        from safetensors.torch import save

        tensors = {
            f"{kind}/{name}": leaf.detach().cpu().contiguous()
            for kind, leaves in (("leaf", state.leaves), ("first", state.first), ("second", state.second))
            for name, leaf in leaves.items()
        }
        facts = {"done": state.done, "before": state.before.hex(), "losses": [x.hex() for x in state.losses]}
        facts["belongs"] = dict(self.belongs)
        with guard(self.path.parent, "create"):
            self.path.parent.mkdir(exist_ok=True)
        whole = self.path.with_suffix(".new")
        write_bytes(whole, save(tensors, {"fit": json.dumps(facts)}))
        with guard(self.path, "write"):
            whole.replace(self.path)
        fsync_directory(self.path.parent)

    def load(self) -> State | None:
        """The state that was stored; None where there is none. Raises GP535 for one of another run."""
        if not path_exists(self.path):
            return None
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "pt") as file:
                facts = json.loads(file.metadata()["fit"])
                belongs = dict(facts["belongs"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
            self._unusable(f"cannot be read: {error}")
        changed = [name for name, value in self.belongs.items() if belongs.get(name) != value]
        if changed:
            self._unusable(f"belongs to another run: {', '.join(changed)} changed")
        parts: dict[str, dict[str, Any]] = {"leaf": {}, "first": {}, "second": {}}
        for name, tensor in tensors.items():
            kind, _, leaf = name.partition("/")
            parts[kind][leaf] = tensor
        losses = [float.fromhex(x) for x in facts["losses"]]
        before = float.fromhex(facts["before"])
        return State(parts["leaf"], parts["first"], parts["second"], facts["done"], before, losses)

    def _unusable(self, why: str) -> NoReturn:
        fail(
            "GP535",
            f"the interrupted fit in {self.path} {why}",
            help="run without `--resume`: it starts anew",
        )
