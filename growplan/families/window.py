"""Sliding windows: how far back the attention of each layer sees, as a config says it.

    window: {size: sliding_window ?? 4096}                       every layer (Mistral)
    window: {size: KEY, when: KEY, kinds: KEY, from: KEY ?? 28}  layer by layer (Qwen)

`size` is the number of tokens seen, a token's own included; null is no window, `??` what an
absent key means. `when` is a switch, off where absent. `kinds` lists `sliding_attention` or
`full_attention` per layer; where it is absent, layers `from` on have the window.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

SLIDING, FULL = "sliding_attention", "full_attention"
LARGEST = 1 << 32


@dataclass(frozen=True)
class Key:
    """A config key, and what its absence means."""

    name: str
    default: int | None = None

    def of(self, config: Mapping[str, Any]) -> Any:
        return config.get(self.name, self.default)


@dataclass(frozen=True)
class Window:
    """Which config keys say what each layer sees."""

    size: Key
    when: Key | None = None
    kinds: Key | None = None
    first: Key | None = None  # `from` in the file

    @property
    def keys(self) -> tuple[str, ...]:
        found = (self.size, self.when, self.kinds, self.first)
        return tuple(key.name for key in found if key is not None)


class WindowError(ValueError):
    """A window that transformers could not build; `key` says which config key holds it."""

    def __init__(self, key: str, message: str, help: str) -> None:
        super().__init__(message)
        self.key, self.help = key, help


def window_size(window: Window, config: Mapping[str, Any]) -> int | None:
    """Tokens a sliding layer sees; None where no layer has a window. Raises `WindowError`."""
    if window.when is not None:
        on = window.when.of(config)
        if on not in (None, False, True) or (isinstance(on, int) and not isinstance(on, bool)):
            raise WindowError(window.when.name, f"{on!r:.40} is not true or false", "write true or false")
        if not on:
            return None
    size = window.size.of(config)
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST):
        message = f"a window of {size!r:.40} tokens is none"
        raise WindowError(window.size.name, message, "a whole number of at least 1, or null for no window")
    return size


def layer_kinds(window: Window, config: Mapping[str, Any], depth: int) -> list[str]:
    """SLIDING or FULL for each layer. Raises `WindowError`."""
    size = window_size(window, config)
    given = None if window.kinds is None else window.kinds.of(config)
    if given is None:
        first = _first(window, config)
        return [SLIDING if size is not None and layer >= first else FULL for layer in range(depth)]
    assert window.kinds is not None
    key = window.kinds.name
    if not isinstance(given, list) or any(kind not in (SLIDING, FULL) for kind in given):
        raise WindowError(key, f"it is no list of `{FULL}` and `{SLIDING}`", "write one of them per layer")
    if len(given) != depth:
        raise WindowError(key, f"it has {len(given)} entries for {depth} layers", "write one per layer")
    if SLIDING in given and size is None:
        way = f"set `{window.size.name}`" + (f" and `{window.when.name}`" if window.when else "")
        raise WindowError(key, "layers slide, and there is no window", f"{way}, or list `{FULL}` only")
    return given


def _first(window: Window, config: Mapping[str, Any]) -> int:
    if window.first is None:
        return 0
    first = window.first.of(config)
    if isinstance(first, bool) or not isinstance(first, int) or first < 0:
        raise WindowError(window.first.name, f"{first!r:.40} is no layer", "a whole number of at least 0")
    return first


def layer_windows(window: Window | None, config: Mapping[str, Any], depth: int) -> tuple[int | None, ...]:
    """Tokens that each layer sees, its own included; None: all before it. Raises `WindowError`."""
    if window is None:
        return (None,) * depth
    size = window_size(window, config)
    return tuple(size if kind == SLIDING else None for kind in layer_kinds(window, config, depth))


def deeper(window: Window | None, config: Mapping[str, Any], layers: Sequence[int]) -> dict[str, Any]:
    """The window keys of a deeper model, whose layer i is made from `layers[i]` of this one.

    Every layer keeps its kind, listed one by one. `from` no longer decides then, and is moved to
    where the sliding layers begin, if they are the last ones, for readers that know no list.
    """
    if window is None or window.kinds is None:
        return {}
    old = layer_kinds(window, config, len(config[window.kinds.name]))
    kinds = [old[layer] for layer in layers]
    first = kinds.count(FULL)
    if window.first is None or window_size(window, config) is None or SLIDING in kinds[:first]:
        return {window.kinds.name: kinds}
    return {window.kinds.name: kinds, window.first.name: first}
