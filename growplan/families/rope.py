"""Rotary positions: what a config says, as transformers reads it (modeling_rope_utils.py)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROPE_KEYS = ("rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor")
DEFAULT_THETA = 10000.0
LARGEST_THETA = 1e15

# parameters each type needs, beside rope_theta
TYPES: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"),
}
_ALWAYS = ("rope_theta", "rope_type", "type", "partial_rotary_factor", "original_max_position_embeddings")


@dataclass(frozen=True)
class Rope:
    """Rotary parameters; only `default` has frequencies that head_dim growth can keep."""

    theta: float
    kind: str = "default"
    factor: float = 1.0
    low: float = 1.0  # llama3: wavelengths above original/low are divided by factor
    high: float = 1.0  # llama3: those below original/high are kept
    original: float = 0.0

    def frequencies(self, head_dim: int) -> list[float]:
        """Radians a token for each of the head_dim/2 pairs: theta^(-2i/head_dim), then scaled."""
        plain = [self.theta ** (-2 * i / head_dim) for i in range(head_dim // 2)]
        if self.kind == "linear":
            return [f / self.factor for f in plain]
        return [self._llama3(f) for f in plain] if self.kind == "llama3" else plain

    def _llama3(self, frequency: float) -> float:
        turns = self.original * frequency / (2 * math.pi)  # in the original context
        if turns < self.low:
            return frequency / self.factor
        if turns > self.high:
            return frequency
        smooth = (turns - self.low) / (self.high - self.low)
        return (1 - smooth) * frequency / self.factor + smooth * frequency


class RopeError(ValueError):
    """Rotary parameters that are not handled; `key` says which config key holds them."""

    def __init__(self, key: str, message: str, help: str = "correct it, or save the model again") -> None:
        super().__init__(message)
        self.key = key
        self.help = help


def read_rope(config: Mapping[str, Any]) -> Rope:
    """The rotary parameters of a config.

    `rope_scaling` (older) wins over `rope_parameters`; a theta inside wins over a top-level one.
    Raises `RopeError` for a type that is not in `TYPES`, partial rotation, or unusable numbers.
    """
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    given = config.get(key)
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise RopeError(key, "rotary parameters are an object with `rope_type` and `rope_theta`")
    kind = given.get("rope_type", given.get("type", "default"))
    if not isinstance(kind, str) or kind not in TYPES:
        handled = ", ".join(TYPES)
        message = f"rotary positions of type {kind!r:.40} are not handled"
        raise RopeError(key, message, f"use a model with one of: {handled}")
    unknown = [word for word in given if word not in (*_ALWAYS, *TYPES[kind])]
    if unknown:
        raise RopeError(key, f"`{unknown[0][:60]}` is no parameter of `{kind}` rotary positions")
    _whole_rotation(config, given, key)
    theta = _theta(config, given, key)
    numbers = [_number(given.get(name), name, key) for name in TYPES[kind]]
    rope = Rope(theta, kind, *numbers)
    if kind == "llama3" and not rope.low < rope.high:
        raise RopeError(key, "`low_freq_factor` must be below `high_freq_factor`")
    return rope


def grown_theta(rope: Rope, old: int, new: int) -> float | None:
    """theta* = theta^(new/old), which keeps the frequencies of the old pairs; None past LARGEST_THETA."""
    log = math.log(rope.theta) * new / old
    return math.exp(log) if rope.theta == 1 or log <= math.log(LARGEST_THETA) else None


def largest_head_dim(rope: Rope, old: int) -> int:
    """The largest even head size whose theta* is still readable."""
    if rope.theta == 1:
        return 1 << 20
    return int(old * math.log(LARGEST_THETA) / math.log(rope.theta)) // 2 * 2


def with_theta(config: Mapping[str, Any], theta: float) -> dict[str, Any]:
    """The config keys that hold theta, each with the new one; `rope_theta` where none does."""
    out: dict[str, Any] = {}
    for key in ("rope_scaling", "rope_parameters"):
        given = config.get(key)
        if isinstance(given, Mapping) and given:
            out[key] = {**given, "rope_theta": theta}
    if "rope_theta" in config or not out:
        out["rope_theta"] = theta
    return out


def _theta(config: Mapping[str, Any], given: Mapping[str, Any], key: str) -> float:
    inside = given.get("rope_theta")
    if inside is not None:
        return _number(inside, "rope_theta", key)
    outside = config.get("rope_theta")
    return DEFAULT_THETA if outside is None else _number(outside, "rope_theta", "rope_theta")


def _number(value: Any, name: str, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value <= LARGEST_THETA:
        raise RopeError(key, f"`{name}` is a number of at least 1, not {value!r:.40}")
    return float(value)


def _whole_rotation(config: Mapping[str, Any], given: Mapping[str, Any], key: str) -> None:
    for where, values in ((key, given), ("partial_rotary_factor", config)):
        factor = values.get("partial_rotary_factor")
        if factor is not None and (isinstance(factor, bool) or factor != 1):
            raise RopeError(where, "only a rotation of whole heads is handled (partial_rotary_factor 1)")
