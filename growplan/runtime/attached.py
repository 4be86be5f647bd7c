"""Attaching the masks of a grown checkpoint to the model that transformers loaded from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import index
from pathlib import Path
from typing import Any

import torch

from growplan.backend.dtypes import TORCH
from growplan.checkpoint.headers import find_headers
from growplan.diagnostics import fail
from growplan.families.model import Family, Model
from growplan.runtime import hooks
from growplan.runtime.card import write_half_grown_card
from growplan.runtime.fingerprint import check_fingerprint, fingerprint, sampled, spots
from growplan.runtime.parts import Parts
from growplan.runtime.places import Place, Places
from growplan.runtime.ramps import value_at
from growplan.runtime.raw import Raw, put_again
from growplan.runtime.state import GrowthState, read_state, write_state


@dataclass(eq=False)
class Attached:
    """A model behind its growth masks. `done`: optimiser steps since the growth."""

    model: Any
    state: GrowthState
    gates: Mapping[str, hooks.Gate]  # step id -> its mask
    places: Sequence[Place]
    reload: Callable[[], None]  # raw values again, where what the checkpoint holds was loaded anew
    undo: list[hooks.Undo] = field(default_factory=list)
    done: int = 0

    @property
    def masks(self) -> dict[str, float]:
        """Step id -> the value of its mask now."""
        return {mask.step: value_at(mask.ramp, self.done) for mask in self.state.masks}

    @property
    def end(self) -> int:
        """The number of steps from which on every mask is 1."""
        return max(mask.ramp.end for mask in self.state.masks)

    @property
    def active(self) -> bool:
        """Whether the masks are in the model: `finish` takes them away."""
        return bool(self.undo)

    def at(self, done: int) -> None:
        """Set every mask to its value after `done` optimiser steps. Raises GP585 for no such number."""
        try:
            count = index(done)
        except TypeError:  # 2.5, or nan
            count = -1
        if count < 0:
            fail("GP585", f"{done} steps cannot be done", help="count whole steps, from 0: the growth itself")
        self.done = count
        for step, m in self.masks.items():
            self.gates[step].set(m)

    def step(self) -> None:
        """One more optimiser step is done."""
        self.at(self.done + 1)

    def finish(self) -> Any:
        """Take the masks away; the plain model. Raises GP585 where one is below 1."""
        low = {step: m for step, m in self.masks.items() if m < 1}
        if low:
            fail(
                "GP585",
                "masks are still below 1: " + ", ".join(f"`{step}` {m:.3g}" for step, m in low.items()),
                help=f"go on to step {self.end}, or set it by `at({self.end})`: the function jumps",
            )
        self._remove()
        return self.model

    def restore(self, done: int) -> None:
        """Set the masks to `done` steps, and put them back where `finish` took them away."""
        self.at(done)
        if not self.active:
            self.undo += [place() for place in self.places]
            hooks.forget_compiled()

    def save(self, directory: Path | str, *, begun: int | None = None) -> None:
        """Write the growth state beside a checkpoint that `save_pretrained` wrote there.

        The checkpoint holds raw weights: without its masks it is another model, which its card says, where
        nobody wrote one. `begun`: the steps done when the training began that it can be resumed in, where
        something counts them.
        """
        state = self.now(begun=begun, fingerprint=fingerprint(directory))
        write_state(Path(directory), state)
        write_half_grown_card(Path(directory), state)

    def now(self, *, begun: int | None = None, fingerprint: str | None = None) -> GrowthState:
        """The growth state of the model as it is."""
        now = {"held": "raw", "step": self.done, "begun": begun, "raw": [], "config": {}}
        return self.state.model_copy(update={**now, "fingerprint": fingerprint})

    def _remove(self) -> None:
        for undo in self.undo:
            undo()
        self.undo.clear()


def attach(model: Any, directory: Path | str, *, family: Family | str | Path | None = None) -> Attached:
    """Put raw weights and masks of the checkpoint in `directory` into `model`, loaded from it.

    The masks stand at the step of the growth state: 0 after `growplan apply`. `family` as `--family`.
    Raises GP581 to GP584; then the model is as it was.
    """
    directory, model = Path(directory), getattr(model, "_orig_mod", model)  # out of torch.compile
    if hooks.attached_to(model):
        fail("GP584", "this model has its masks already", help="call `finish()` first, or load it again")
    state = read_state(directory)
    parts = Parts.of(model, directory, family)
    check_sizes(state, parts.bound, directory)
    _check_shapes(parts, directory)
    check_fingerprint(state, directory)
    _check_values(parts, directory)
    _check_places(state, parts.bound)
    raw = Raw.of(parts, state, directory)
    gates = {mask.step: hooks.Gate() for mask in state.masks}
    places = Places(parts, state.config)
    for mask in state.masks:
        for site in mask.sites:
            places.add(site, gates[mask.step])
    made = places.all()
    attached = Attached(model, state, gates, made, partial(put_again, parts, state, directory))
    raw.put()
    attached.restore(state.step)
    return attached


def check_sizes(state: GrowthState, model: Model, directory: Path) -> None:
    """GP582 where the state was written for another model than the one beside it."""
    if state.family != model.family.name:
        fail(
            "GP582",
            f"the growth state is of a {state.family} model, and {directory} holds a {model.family.name}",
            help="take the checkpoint that it was written beside",
        )
    wrong = {axis: n for axis, n in state.sizes.items() if model.sizes.get(axis) != n}
    if wrong:
        said = ", ".join(f"{axis} {model.sizes.get(axis)}, not {n}" for axis, n in wrong.items())
        fail(
            "GP582",
            f"the growth state is of another model: {said}",
            help="take the checkpoint that it was written beside",
        )


def _check_shapes(parts: Parts, directory: Path) -> None:
    """GP582 where the model in memory is of other sizes than the checkpoint."""
    shapes = {name: tuple(p.shape) for name, p in parts.model.named_parameters(remove_duplicate=False)}
    held = Counter(parts.names.values())
    for name, param, _ in parts.bound.tensors():
        path = parts.names[name]
        if held[path] == 1 and shapes[path] != parts.bound.shape(param):
            fail(
                "GP582",
                f"`{path}` of this model is {list(shapes[path])}, in {directory} "
                f"{list(parts.bound.shape(param))}",
                help="give the model that `from_pretrained` loaded from that directory",
            )


def _check_values(parts: Parts, directory: Path) -> None:
    """GP583 where the model in memory does not hold what the checkpoint does, at a few places of a tensor."""
    headers = find_headers(directory)
    if headers is None:
        return
    parameters = dict(parts.model.named_parameters(remove_duplicate=False))
    held = Counter(parts.names.values())
    for name, values in sampled(headers):
        path = parts.names.get(name, "")
        if held[path] != 1 or not values:
            continue
        found, info = parameters[path].detach(), headers.tensors[name]
        at = torch.tensor(spots(found.numel()), device=found.device)
        stored = torch.frombuffer(values, dtype=TORCH[info.dtype]).to(found.device, found.dtype)
        if not torch.equal(found.reshape(-1)[at], stored):
            fail(
                "GP583",
                f"`{path}` of this model is not what {directory} holds",
                help="attach the masks to the model as `from_pretrained` loads it there, before training",
            )


def _check_places(state: GrowthState, model: Model) -> None:
    """GP586 for a mask inside the experts of a mixture, which transformers keeps as one parameter."""
    modules = model.modules
    for mask in state.masks:
        inside = [s.module for s in mask.sites if s.module in modules and modules[s.module].in_expert]
        if inside:
            fail(
                "GP586",
                f"the mask of `{mask.step}` cannot be attached to the experts of a mixture",
                notes=[("module", inside[0])],
                help="train the checkpoint as it is: at masks of 0 it is exact, and learns from there",
            )
