"""The model behind its masks, put in the place of the one that a stock load of the checkpoint gives.

W[new] times 0        ->   W[new]       what writes or reads units that a mask hides
c gain, c^2 eps       ->   gain, eps    of the norms of a stream that is wider in a stock load (RMSNorm)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from growplan.checkpoint.headers import read_headers
from growplan.diagnostics import fail
from growplan.runtime.parts import Parts
from growplan.runtime.state import RAW, GrowthState

EPSILON = ("variance_epsilon", "eps")  # where modules of transformers and torch keep it


@dataclass(frozen=True)
class Raw:
    """What is to be put where, all of it found."""

    model: Any
    values: tuple[tuple[Tensor, Tensor], ...]  # in memory, raw
    norms: tuple[tuple[nn.Module, str, float], ...]  # the module, its attribute, epsilon
    config: Mapping[str, float]

    @classmethod
    def of(cls, parts: Parts, state: GrowthState, directory: Path) -> Raw:
        """Of a model loaded from `directory`; nothing, where that holds raw values itself.

        Raises GP582 where the model has no such tensors or keys, GP583 where it has been changed.
        """
        if state.held == "raw":
            return cls(parts.model, (), (), {})
        return cls(
            parts.model,
            tuple(_values(parts, state, directory)),
            tuple(_norms(parts, state.config)),
            state.config,
        )

    def put(self) -> None:
        """Put it into the model."""
        with torch.no_grad():
            for held, values in self.values:
                held.copy_(values)
        for module, name, eps in self.norms:
            setattr(module, name, eps)
        for key, value in self.config.items():
            setattr(self.model.config, key, value)


def _values(parts: Parts, state: GrowthState, directory: Path) -> Iterator[tuple[Tensor, Tensor]]:
    """Each tensor of the model that is another one behind masks, with its raw values."""
    from safetensors import SafetensorError, safe_open

    headers = read_headers(directory)
    try:
        with safe_open(directory / RAW, "pt") as file:
            for name in state.raw:
                held, raw = parts.tensor(name), file.get_tensor(name)
                with safe_open(directory / headers.tensors[name].file, "pt") as stored:
                    _check_written(name, held, stored.get_tensor(name), raw)
                yield held, raw.to(held.device, held.dtype)
    except (OSError, SafetensorError, KeyError) as error:
        fail("GP583", f"{directory / RAW} cannot be used: {error}", help="apply the plan again")


def _check_written(name: str, held: Tensor, stored: Tensor, raw: Tensor) -> None:
    """What the model holds is what the checkpoint does, in whatever type and on whatever device."""
    same = held.shape == stored.shape == raw.shape
    if not same or not torch.equal(held, stored.to(held.device, held.dtype)):
        what = "has another shape" if not same else "has been changed since"
        fail(
            "GP583",
            f"`{name}` of this model {what}: it is not the one that `growplan apply` wrote",
            help="attach the masks to the model as `from_pretrained` loads it, before training",
        )


def _norms(parts: Parts, config: Mapping[str, float]) -> Iterator[tuple[nn.Module, str, float]]:
    """The norms whose epsilon is another one behind masks. Raises GP582 where the model does not have it."""
    bound = parts.bound
    unknown = [key for key in config if key not in bound.config]
    if unknown:
        fail("GP582", f"the model has no `{unknown[0]}`", help="take the checkpoint beside the state")
    for module in bound.modules.values():
        if not module.is_norm or module.eps is None or module.eps not in config:
            continue
        for layer in range(bound.depth) if module.in_layer else (None,):
            found = parts.module(module.name, layer)
            name = next((n for n in EPSILON if getattr(found, n, None) == bound.eps(module)), None)
            if name is None:
                fail(
                    "GP582",
                    f"`{module.name}` of this model has no epsilon of {bound.eps(module):g}",
                    help="give the model that `from_pretrained` loaded from that directory",
                )
            yield found, name, config[module.eps]
