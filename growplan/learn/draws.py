"""Whole numbers drawn as a pure function of a key and a step, however a run came to the step."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from growplan.backend.philox import key_of, words

_ALL = 1 << 32


def below(limit: int, key: str, step: int, count: int) -> list[int]:
    """`count` integers in 0 : limit, for one step."""
    return [word * limit // _ALL for word in words(key_of(key), step * count, count).tolist()]


def chosen(share: float, key: str, step: int, shape: tuple[int, int]) -> Tensor:
    """True for each element with probability `share`; in every row for one element at least.

    bool [rows, columns]; columns must be 1 or more.
    """
    rows, columns = shape
    drawn = words(key_of(key), step * rows * columns, rows * columns).view(rows, columns)
    picked = drawn < int(share * _ALL)
    picked[torch.arange(rows), drawn.argmin(1)] = True
    return picked


def uniform(key: str, step: int, shape: Sequence[int]) -> Tensor:
    """Numbers of U[0, 1) for one step, float64."""
    count = prod(shape)
    return words(key_of(key), step * count, count).view(*shape).to(torch.float64) / _ALL


def shuffled(count: int, key: str) -> Tensor:
    """The numbers 0 : count in an order that the key gives."""
    return words(key_of(key), 0, count).argsort(stable=True)
