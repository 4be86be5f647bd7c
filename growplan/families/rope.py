"""Rotary positions: what a config says, as transformers reads it (modeling_rope_utils.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ROPE_KEYS = ("rope_parameters", "rope_scaling", "rope_theta", "partial_rotary_factor")
DEFAULT_THETA = 10000.0
TYPES = ("default",)
_KNOWN = {"rope_theta", "rope_type", "type", "partial_rotary_factor"}


@dataclass(frozen=True)
class Rope:
    """Frequencies theta^(-2i/head_dim)."""

    theta: float


class RopeError(ValueError):
    """Rotary parameters that are not handled; `key` says which config key holds them."""

    def __init__(self, key: str, message: str) -> None:
        super().__init__(message)
        self.key = key


def read_rope(config: Mapping[str, Any]) -> Rope:
    """The rotary parameters of a config.

    `rope_scaling` (older) wins over `rope_parameters`; a theta inside wins over a top-level one.
    Raises `RopeError` for any type but `default`, partial rotation, or an unusable theta.
    """
    key = "rope_scaling" if config.get("rope_scaling") else "rope_parameters"
    given = config.get(key)
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        raise RopeError(key, "rotary parameters are an object with `rope_type` and `rope_theta`")
    rope_type = given.get("rope_type", given.get("type", "default"))
    if rope_type not in TYPES:
        raise RopeError(
            key, f"rotary positions of type `{rope_type}` are not handled (handled: {', '.join(TYPES)})"
        )
    unknown = [word for word in given if word not in _KNOWN]
    if unknown:
        raise RopeError(key, f"`{unknown[0]}` is no rotary parameter handled here")
    _whole_rotation(config, given, key)
    inside = given.get("rope_theta")
    theta_key, theta = (key, inside) if inside is not None else ("rope_theta", config.get("rope_theta"))
    if theta is None:
        theta = DEFAULT_THETA
    if isinstance(theta, bool) or not isinstance(theta, int | float) or not 1 <= theta <= 1e15:
        raise RopeError(theta_key, f"`rope_theta` is a number of at least 1, not {theta!r}")
    return Rope(float(theta))


def _whole_rotation(config: Mapping[str, Any], given: Mapping[str, Any], key: str) -> None:
    for where, values in ((key, given), ("partial_rotary_factor", config)):
        factor = values.get("partial_rotary_factor")
        if factor is not None and (isinstance(factor, bool) or factor != 1):
            raise RopeError(where, "only a rotation of whole heads is handled (partial_rotary_factor 1)")
