"""What type rules are made of: the types of inputs, and the reason why a primitive does not fit them."""

from __future__ import annotations

from growplan.ir.graph import TensorType

Types = tuple[TensorType, ...]


class Mistype(Exception):
    """A primitive that does not fit its inputs; the message is the reason."""
