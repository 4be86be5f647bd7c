"""The places of growth masks in a module, as hooks: parameters, buffers and their names stay.

A gate holds the value of one mask as a tensor that changes in place, so that a compiled model need not
be compiled again when it moves. At 1, and only there, a hook does nothing at all.

Hooks know the module they are called for from that call alone: a deep copy of the model (a running
average of its weights, a replica) has masks of its own modules, moved by the same gates.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

Ranges = Sequence[Sequence[int]]
Undo = Callable[[], None]


class Gate:
    """The value m of one mask, and whether it is 1."""

    def __init__(self) -> None:
        self.value = torch.zeros((), dtype=torch.float64)
        self.full = False

    def __deepcopy__(self, memo: Any) -> Gate:
        return self  # copies of a model are behind the same masks

    def set(self, m: float) -> None:
        """m from 0 to 1."""
        self.value.fill_(m)
        self.full = m == 1.0

    def like(self, x: Tensor) -> Tensor:
        """m on the device of x, in its type (float32 for half types)."""
        if self.value.device != x.device:
            self.value = self.value.to(x.device)
        return self.value.to(precise(x.dtype))


def precise(dtype: torch.dtype) -> torch.dtype:
    """The type that norms of half-precision models compute in."""
    return dtype if dtype in (torch.float32, torch.float64) else torch.float32


def indicator(size: int, at: Ranges) -> Tensor:
    """[size], 1 at the masked units, else 0."""
    out = torch.zeros(size)
    for start, stop in at:
        out[start:stop] = 1.0
    return out


class Weights:
    """w [units]: 1 on old units, m on the masked ones; the product, where there are several masks."""

    def __init__(self, size: int, *masks: tuple[Gate, Ranges]) -> None:
        self.gates = [gate for gate, _ in masks]
        self.masked = [indicator(size, at) for _, at in masks]

    @property
    def full(self) -> bool:
        """Whether every mask is 1."""
        return all(gate.full for gate in self.gates)

    def like(self, x: Tensor) -> Tensor:
        """w on the device of x, in its type (float32 for half types)."""
        self.masked = [m if m.device == x.device else m.to(x.device) for m in self.masked]
        parts = [
            1 + masked.to(precise(x.dtype)) * (gate.like(x) - 1)
            for gate, masked in zip(self.gates, self.masked, strict=True)
        ]
        out = parts[0]
        for part in parts[1:]:
            out = out * part
        return out


class Hook(ABC):
    """What a mask puts into a module; by its class a model is known to have masks."""

    @property
    @abstractmethod
    def full(self) -> bool:
        """Whether it does nothing: its masks are 1."""


def hooks_of(model: nn.Module) -> Iterator[Hook]:
    """The hooks of masks in `model`, its own or those of the model that it was copied from."""
    for module in model.modules():
        hooks: list[object] = [*module._forward_pre_hooks.values(), *module._forward_hooks.values()]
        for hook in hooks:
            if isinstance(hook, Hook):
                yield hook


def attached_to(model: nn.Module) -> bool:
    """Whether a part of `model` has masks."""
    return any(True for _ in hooks_of(model))


def forget_compiled() -> None:
    """Have torch.compile compile anew: what it has compiled knows nothing of hooks that came later."""
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


def below_1(model: nn.Module) -> int:
    """In how many places of `model` a mask is below 1."""
    return sum(not hook.full for hook in hooks_of(model))


@dataclass(eq=False)
class _Input(Hook):
    weights: Weights

    @property
    def full(self) -> bool:
        return self.weights.full

    def __call__(self, _: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if self.full:
            return None
        x, *rest = args
        return (x * self.weights.like(x).to(x.dtype), *rest)


@dataclass(eq=False)
class _Output(Hook):
    gate: Gate

    @property
    def full(self) -> bool:
        return self.gate.full

    def __call__(self, _: nn.Module, args: tuple[Any, ...], y: Tensor) -> Tensor | None:
        return None if self.full else y * self.gate.like(y).to(y.dtype)


@dataclass(eq=False)
class _Block(Hook):
    gate: Gate

    @property
    def full(self) -> bool:
        return self.gate.full

    def __call__(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> Any:
        if self.full:
            return None
        x: Tensor = args[0] if args else kwargs["hidden_states"]
        y, rest = (out[0], out[1:]) if isinstance(out, tuple) else (out, None)
        m = self.gate.like(y).to(y.dtype)
        mixed = m * y + (1 - m) * x
        return mixed if rest is None else (mixed, *rest)


@dataclass(eq=False)
class _Norm(Hook):
    weights: Weights
    centred: bool
    eps: float

    @property
    def full(self) -> bool:
        return self.weights.full

    def __call__(
        self, norm: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], out: Tensor
    ) -> Tensor | None:
        if self.full:
            return None
        x: Tensor = args[0] if args else next(iter(kwargs.values()))
        gain, bias, w = norm.weight, getattr(norm, "bias", None), self.weights.like(x)
        return masked_norm(x, w, gain, bias, self.eps, centred=self.centred).to(out.dtype)


def mask_input(module: nn.Module, gate: Gate, size: int, at: Ranges) -> Undo:
    """The module reads w x instead of x [..., size]."""
    return module.register_forward_pre_hook(_Input(Weights(size, (gate, at)))).remove


def mask_output(module: nn.Module, gate: Gate) -> Undo:
    """The module gives m y instead of y."""
    return module.register_forward_hook(_Output(gate)).remove


def mix_block(block: nn.Module, gate: Gate) -> Undo:
    """The block gives m f(x) + (1 - m) x (MSG's masked layer); what else it gives stays."""
    return block.register_forward_hook(_Block(gate), with_kwargs=True).remove


def mask_norm(norm: nn.Module, masks: Sequence[tuple[Gate, Ranges]], *, centred: bool, eps: float) -> Undo:
    """The norm weighs units by w (MSG's masked LayerNorm, arXiv 2305.02869; `centred`: LayerNorm).

    mu = sum(w x) / sum(w)                  var = sum(w (x - mu)^2) / sum(w)
    y = w (gain (x - mu) / sqrt(var + eps) + bias)
    """
    gain = norm.weight
    assert isinstance(gain, Tensor)
    hook = _Norm(Weights(len(gain), *masks), centred, eps)
    return norm.register_forward_hook(hook, with_kwargs=True).remove


def masked_norm(x: Tensor, w: Tensor, gain: Any, bias: Any, eps: float, *, centred: bool) -> Tensor:
    """x [..., n] by weights w [n]; gain and bias [n]. In the type of w."""
    wide, total = x.to(w.dtype), w.sum()
    if centred:
        wide = wide - (w * wide).sum(-1, keepdim=True) / total
    variance = (w * wide.square()).sum(-1, keepdim=True) / total
    y = wide * torch.rsqrt(variance + eps) * gain.to(w.dtype)
    if bias is not None:
        y = y + bias.to(w.dtype)
    out: Tensor = w * y
    return out
