"""What every primitive is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

Ranges = tuple[tuple[int, int], ...]  # half-open


@dataclass(frozen=True)
class Primitive:
    """Base of all primitives; `name` is the word of the textual form.

    `arity` is the number of inputs, None where it takes any number.
    """

    name: ClassVar[str] = ""
    arity: ClassVar[int | None] = 1
