"""The parts of a model that a training loop speaks of: its layers, what is before and behind them.

Read off the family's statements and the names in memory; no family is known by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from growplan.checkpoint.config import read_config
from growplan.checkpoint.headers import find_headers
from growplan.families import bind_stored, detect, load_family
from growplan.families.model import Family, Model
from growplan.families.places import Place, place_of
from growplan.learn.model import names_in_memory
from growplan.learn.packed import Packed


@dataclass(frozen=True)
class Parts:
    """A model in memory and its description. `names`: name on disk -> parameter in memory.

    `packed`: parameters that hold several tensors of the disk, the experts of a mixture.
    """

    model: Any
    bound: Model
    names: Mapping[str, str]
    packed: Mapping[str, Packed]

    @classmethod
    def of(cls, model: Any, directory: Path | str, family: Family | str | Path | None = None) -> Parts:
        """The parts of `model`, loaded from `directory`. Raises what `bind` raises, and GP532."""
        config = read_config(directory)
        described = load_family(family) if isinstance(family, str | Path) else family or detect(config)
        bound = bind_stored(described, config, find_headers(config.directory))
        names, packed = names_in_memory(bound, model)
        held = {disk: name for name, each in packed.items() for disk in each.names}
        return cls(model, bound, {**names, **held}, packed)

    def tensor(self, name: str) -> Tensor:
        """The values in memory of a tensor on disk: a parameter, or the rows of one. KeyError for none."""
        path = self.names[name]
        parameter: Tensor = self.model.get_parameter(path).detach()
        if path not in self.packed:
            return parameter
        shapes = {name: self.bound.shape(param) for name, param, _ in self.bound.tensors()}
        before = self.packed[path].names[: self.packed[path].names.index(name)]
        start = sum(prod(shapes[other][:-1]) for other in before)
        rows = parameter.view(-1, parameter.shape[-1])[start : start + prod(shapes[name][:-1])]
        return rows.view(shapes[name])

    @cached_property
    def places(self) -> Mapping[str, tuple[Place, int | None]]:
        """Parameter in memory -> where it stands, and in which layer; a tied one stands where it embeds."""
        out: dict[str, tuple[Place, int | None]] = {}
        for name, param, layer in self.bound.tensors():
            out.setdefault(self.names[name], (place_of(self.bound, param), layer))
        return out

    def module(self, name: str, layer: int | None) -> nn.Module:
        """The module in memory that a module of the family is."""
        weight = next(p for p in self.bound.modules[name].params if p.leaf == "weight")
        path = self.names[self.bound.tensor_name(weight, layer)].rpartition(".")[0]
        found: nn.Module = self.model.get_submodule(path)
        return found

    def block_path(self, layer: int) -> str:
        """The path of one layer: of what holds all of its parameters."""
        own = [self.names[name].split(".") for name, _, at in self.bound.tensors() if at == layer]
        shared = 0
        while all(len(parts) > shared and parts[shared] == own[0][shared] for parts in own):
            shared += 1
        return ".".join(own[0][:shared])

    def block(self, layer: int) -> nn.Module:
        """The module of one layer."""
        found: nn.Module = self.model.get_submodule(self.block_path(layer))
        return found
