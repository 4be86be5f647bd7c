"""A family bound to a checkpoint that lies on disk."""

from __future__ import annotations

from growplan.checkpoint.config import Config
from growplan.checkpoint.headers import Headers
from growplan.checkpoint.reader import open_reader
from growplan.families.bind import bind
from growplan.families.model import Family, Model


def bind_stored(family: Family, config: Config, headers: Headers | None) -> Model:
    """The model of a config and, where there are weights, of their headers. Raises as `bind`."""
    if headers is None:
        return bind(family, config)

    def same(a: str, b: str) -> bool:
        with open_reader(headers) as reader:
            return reader.bytes_of(a) == reader.bytes_of(b)

    return bind(family, config, headers.tensors, same)
