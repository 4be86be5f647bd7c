"""What is held out and is drawn as well: text that repeats itself, rows that are there twice."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

SHORTEST = 16  # tokens: shorter windows are the same by chance
SEARCHED = 1 << 26  # tokens, or bytes of images, past which nothing is searched


def windows_repeated(ids: Any, drawn: int, starts: Sequence[int], length: int) -> int:
    """How many windows of `ids` (numpy) that begin at `starts` stand whole in its first `drawn` tokens."""
    if length < SHORTEST or drawn > SEARCHED:
        return 0
    width = ids.dtype.itemsize
    text = ids[:drawn].tobytes()
    return sum(_stands(ids[at : at + length].tobytes(), text, width) for at in starts)


def rows_repeated(held: Iterable[bytes], drawn: Iterable[bytes]) -> int:
    """How many rows of `held` are among `drawn`."""
    known = set(drawn)
    return sum(row in known for row in held)


def _stands(window: bytes, text: bytes, width: int) -> bool:
    at = text.find(window)
    while at > 0 and at % width:  # it begins inside of a token
        at = text.find(window, at + 1)
    return at >= 0
