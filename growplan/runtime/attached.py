"""Attaching the masks of a grown checkpoint to the model that transformers loaded from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from growplan.diagnostics import fail
from growplan.families.model import Family, Model, Module
from growplan.runtime import hooks
from growplan.runtime.parts import Parts
from growplan.runtime.ramps import value_at
from growplan.runtime.state import RAW, GrowthState, MaskSite, read_state, write_state


@dataclass(eq=False)
class Attached:
    """A model behind its growth masks. `done`: optimiser steps since the growth."""

    model: Any
    state: GrowthState
    gates: Mapping[str, hooks.Gate]  # step id -> its mask
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
        """Set every mask to its value after `done` optimiser steps."""
        if done < 0:
            fail("GP585", f"{done} steps cannot be done", help="count from 0, the growth itself")
        self.done = done
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

    def save(self, directory: Path | str, *, begun: int | None = None) -> None:
        """Write the growth state beside a checkpoint that `save_pretrained` wrote there.

        The checkpoint holds raw weights: without its masks it is another model. `begun`: the steps done
        when the training began that the checkpoint can be resumed in, where something counts them.
        """
        now = {"held": "raw", "step": self.done, "begun": begun, "raw": []}
        write_state(Path(directory), self.state.model_copy(update=now))

    def _remove(self) -> None:
        for undo in self.undo:
            undo()
        self.undo.clear()


def attach(model: Any, directory: Path | str, *, family: Family | str | Path | None = None) -> Attached:
    """Put raw weights and masks of the checkpoint in `directory` into `model`, loaded from it.

    The masks stand at the step of the growth state: 0 after `growplan apply`. `family` as `--family`.
    Raises GP581 to GP584; then the model is as it was.
    """
    directory = Path(directory)
    if hooks.attached_to(model):
        fail("GP584", "this model has its masks already", help="call `finish()` first, or load it again")
    state = read_state(directory)
    parts = Parts.of(model, directory, family)
    _check_sizes(state, parts.bound, directory)
    _check_shapes(parts, directory)
    _check_places(state, parts.bound)
    raw = _raw_values(model, state, directory, parts.names)
    gates = {mask.step: hooks.Gate() for mask in state.masks}
    places = _Places(parts)
    for mask in state.masks:
        for site in mask.sites:
            places.add(site, gates[mask.step])
    made = places.all()
    attached = Attached(model, state, gates)
    with torch.no_grad():
        for parameter, values in raw:
            parameter.copy_(values)
    attached.undo += [place() for place in made]
    attached.at(state.step)
    return attached


def _check_sizes(state: GrowthState, model: Model, directory: Path) -> None:
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


def _raw_values(
    model: Any, state: GrowthState, directory: Path, names: Mapping[str, str]
) -> list[tuple[nn.Parameter, Tensor]]:
    """Each masked parameter of the model with its raw values. Raises GP583 where it has been changed."""
    if state.held == "raw":
        return []
    from safetensors import SafetensorError, safe_open

    parameters = dict(model.named_parameters(remove_duplicate=False))
    found = []
    try:
        with safe_open(directory / RAW, "pt") as file:
            for name in state.raw:
                parameter = parameters[names[name]]
                values = file.get_tensor(name).to(parameter.device, parameter.dtype)
                _check_written(name, parameter, values)
                found.append((parameter, values))
    except (OSError, SafetensorError, KeyError) as error:
        fail("GP583", f"{directory / RAW} cannot be used: {error}", help="apply the plan again")
    return found


def _check_written(name: str, parameter: Tensor, raw: Tensor) -> None:
    """What the model holds is the raw tensor, but for units that a mask of 0 hides."""
    same = parameter.shape == raw.shape
    if not same or not bool(((parameter == raw) | (parameter == 0)).all()):
        what = "has another shape" if not same else "has been changed since"
        fail(
            "GP583",
            f"`{name}` of this model {what}: it is not the one that `growplan apply` wrote",
            help="attach the masks to the model as `from_pretrained` loads it, before training",
        )


# places ------------------------------------------------------------------------------------------

Place = Callable[[], hooks.Undo]
Masks = list[tuple[hooks.Gate, list[list[int]]]]


class _Places:
    """What puts masks into the modules of a model, found first and called when all are found."""

    def __init__(self, parts: Parts) -> None:
        self.parts, self.bound = parts, parts.bound
        self.found: list[Place] = []
        self._norms: dict[tuple[str, int | None], Masks] = {}

    def add(self, site: MaskSite, gate: hooks.Gate) -> None:
        """A mask at one site. Raises GP582 where the model has no such module, or no such units."""
        for layer in site.layers if site.layers is not None else (None,):
            if site.kind == "block":
                self.found.append(partial(hooks.mix_block, self._block(layer), gate))
                continue
            described, module = self._described(site.module), self._module(site.module, layer)
            if site.kind == "output":
                self.found.append(partial(hooks.mask_output, module, gate))
                continue
            axis = described.outs if site.kind == "norm" else described.ins
            size = (
                0
                if axis is None or described.is_norm != (site.kind == "norm")
                else axis.size(self.bound.sizes)
            )
            if any(stop > size for _, stop in site.at):
                self._lacks(f"such units of `{site.module}`")
            if site.kind == "norm":
                self._norms.setdefault((site.module, layer), []).append((gate, site.at))
            else:
                self.found.append(partial(hooks.mask_input, module, gate, size, site.at))

    def all(self) -> list[Place]:
        """Everything found; a norm has one place, whatever the number of its masks."""
        norms: list[Place] = []
        for (name, layer), masks in self._norms.items():
            described = self._described(name)
            centred, eps = described.kind == "layernorm", self.bound.eps(described)
            module = self._module(name, layer)
            norms.append(partial(hooks.mask_norm, module, masks, centred=centred, eps=eps))
        return [*self.found, *norms]

    def _described(self, name: str) -> Module:
        if name not in self.bound.modules:
            self._lacks(f"module `{name}`")
        return self.bound.modules[name]

    def _module(self, name: str, layer: int | None) -> nn.Module:
        described = self._described(name)
        if described.in_layer != (layer is not None) or (layer or 0) >= self.bound.depth:
            self._lacks(f"`{name}` in layer {layer}" if layer is not None else f"`{name}` outside of layers")
        if all(param.leaf != "weight" for param in described.params):
            self._lacks(f"module of its own that is `{name}`")
        return self.parts.module(name, layer)

    def _block(self, layer: int | None) -> nn.Module:
        if layer is None or layer >= self.bound.depth:
            self._lacks(f"layer {layer}")
        return self.parts.block(layer)

    def _lacks(self, what: str) -> NoReturn:
        fail("GP582", f"the model has no {what}", help="take the checkpoint beside the state")
