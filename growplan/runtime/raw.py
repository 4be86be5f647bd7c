"""The model behind its masks, put in the place of the one that a stock load of the checkpoint gives.

W[new] times 0        ->   W[new]       what writes or reads units that a mask hides
c gain, c^2 eps       ->   gain, eps    of the norms of a stream that is wider in a stock load (RMSNorm)
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
        values = []
        for each in _values(parts, state, directory):
            each.check()
            values.append((each.held, each.raw))
        return cls(parts.model, tuple(values), tuple(_norms(parts, state.config)), state.config)

    def put(self) -> None:
        """Put it into the model."""
        _put(self.values)
        for module, name, eps in self.norms:
            setattr(module, name, eps)
        for key, value in self.config.items():
            setattr(self.model.config, key, value)


def put_again(parts: Parts, state: GrowthState, directory: Path) -> None:
    """Raw values in the place of what the checkpoint in `directory` holds, where that was loaded anew.

    A Trainer does so that resumes from it. What was trained since is left as it is. Where the directory is
    gone (`runtime.grow` without `out`) nothing was loaded from it.
    """
    if state.held == "raw" or not directory.is_dir():
        return
    if not all(each.as_stored for each in _values(parts, state, directory)):
        return
    _put((each.held, each.raw) for each in _values(parts, state, directory))


def _put(values: Iterable[tuple[Tensor, Tensor]]) -> None:
    with torch.no_grad():
        for held, raw in values:
            held.copy_(raw)


@dataclass(frozen=True)
class _Value:
    """A tensor of the model, what the checkpoint has of it, and what it is behind masks."""

    name: str
    held: Tensor
    stored: Tensor
    raw: Tensor

    @property
    def fits(self) -> bool:
        return self.held.shape == self.stored.shape == self.raw.shape

    @property
    def as_stored(self) -> bool:
        """Whether the model holds what the checkpoint does, in whatever type and on whatever device."""
        return self.fits and torch.equal(self.held, self.stored.to(self.held.device, self.held.dtype))

    def check(self) -> None:
        """Raises GP583 where the model holds something else."""
        if self.as_stored:
            return
        what = "has been changed since" if self.fits else "has another shape"
        fail(
            "GP583",
            f"`{self.name}` of this model {what}: it is not the one that `growplan apply` wrote",
            help="attach the masks to the model as `from_pretrained` loads it, before training",
        )


def _values(parts: Parts, state: GrowthState, directory: Path) -> Iterator[_Value]:
    """Each tensor of the model that is another one behind masks."""
    from safetensors import SafetensorError, safe_open

    headers = read_headers(directory)
    try:
        with safe_open(directory / RAW, "pt") as file:
            for name in state.raw:
                with safe_open(directory / headers.tensors[name].file, "pt") as stored:
                    yield _Value(name, parts.tensor(name), stored.get_tensor(name), file.get_tensor(name))
    except (OSError, SafetensorError, KeyError) as error:
        fail("GP583", f"{directory / RAW} cannot be used: {error}", help="apply the plan again")


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
