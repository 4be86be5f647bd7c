"""What every primitive is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

Ranges = tuple[tuple[int, int], ...]  # half-open


@dataclass(frozen=True)
class Primitive:
    """Base of all primitives; `name` is the word of the textual form."""

    name: ClassVar[str] = ""
    arity: ClassVar[int] = 1
