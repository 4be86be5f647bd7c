"""Where the masks of a growth state stand in the modules of a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import NoReturn

from torch import nn

from growplan.diagnostics import fail
from growplan.families.model import Module
from growplan.runtime import hooks
from growplan.runtime.parts import Parts
from growplan.runtime.state import MaskSite

Place = Callable[[], hooks.Undo]
Masks = list[tuple[hooks.Gate, list[list[int]]]]


class Places:
    """What puts masks into the modules of a model, found first and called when all are found."""

    def __init__(self, parts: Parts, eps: Mapping[str, float]) -> None:
        """`eps`: what keys of config.json are behind masks, where it has another value."""
        self.parts, self.bound = parts, parts.bound
        self._masked = replace(parts.bound, config={**parts.bound.config, **eps})
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
                lacks(f"such units of `{site.module}`")
            if site.kind == "norm":
                self._norms.setdefault((site.module, layer), []).append((gate, site.at))
            else:
                self.found.append(partial(hooks.mask_input, module, gate, size, site.at))

    def all(self) -> list[Place]:
        """Everything found; a norm has one place, whatever the number of its masks."""
        norms: list[Place] = []
        for (name, layer), masks in self._norms.items():
            described = self._described(name)
            centred, eps = described.kind == "layernorm", self._masked.eps(described)
            module = self._module(name, layer)
            norms.append(partial(hooks.mask_norm, module, masks, centred=centred, eps=eps))
        return [*self.found, *norms]

    def _described(self, name: str) -> Module:
        if name not in self.bound.modules:
            lacks(f"module `{name}`")
        return self.bound.modules[name]

    def _module(self, name: str, layer: int | None) -> nn.Module:
        described = self._described(name)
        if described.in_layer != (layer is not None) or (layer or 0) >= self.bound.depth:
            lacks(f"`{name}` in layer {layer}" if layer is not None else f"`{name}` outside of layers")
        if all(param.leaf != "weight" for param in described.params):
            lacks(f"module of its own that is `{name}`")
        return self.parts.module(name, layer)

    def _block(self, layer: int | None) -> nn.Module:
        if layer is None or layer >= self.bound.depth:
            lacks(f"layer {layer}")
        return self.parts.block(layer)


def lacks(what: str) -> NoReturn:
    """GP582 for a place of a mask that a model does not have."""
    fail("GP582", f"the model has no {what}", help="take the checkpoint beside the state")
