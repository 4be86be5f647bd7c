"""Layer numbers in tensor names: the first number that stands as a word, `h.<3>.ln_1.weight`."""

from __future__ import annotations

import re

NUMBER = re.compile(r"(?<!\w)\d+(?!\w)")


def layer_of(name: str) -> int | None:
    """The layer that a tensor's name speaks of, None where it has no number."""
    number = NUMBER.search(name)
    return None if number is None else int(number[0])


def layers_between(source: str | None, tensor: str) -> tuple[int, int] | None:
    """(from, to) of two names; what `copy_layer` means between them. None where one has no number."""
    old, new = layer_of(source or ""), layer_of(tensor)
    return None if old is None or new is None else (old, new)


def in_layer(name: str, source: int, target: int) -> str:
    """`name` with its first number `source` turned into `target`."""
    return re.sub(rf"(?<!\w){source}(?!\w)", str(target), name, count=1)
