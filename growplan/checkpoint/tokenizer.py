"""How many ids a checkpoint's tokenizer gives out, from its files alone."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LARGEST = 256 << 20  # bytes; a file beyond is no vocabulary


@dataclass(frozen=True)
class Tokenizer:
    """`size`: one past the highest id of a token; None where `file` could not be understood."""

    file: str
    size: int | None


def read_tokenizer(directory: Path) -> Tokenizer | None:
    """The tokenizer beside a checkpoint, added tokens included; None where there is no file of one.

    `tokenizer.json` speaks for all; else `vocab.json` or `vocab.txt`, with `added_tokens.json`.
    """
    for name, ids in (("tokenizer.json", _whole), ("vocab.json", _mapping), ("vocab.txt", _lines)):
        path = directory / name
        if not path.is_file():
            continue
        try:
            found = list(ids(path))
            if name != "tokenizer.json" and (added := directory / "added_tokens.json").is_file():
                found += _mapping(added)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return Tokenizer(name, None)
        return Tokenizer(name, max(found, default=-1) + 1)
    return None


def _whole(path: Path) -> Iterator[int]:
    """Ids in a `tokenizer.json`: the model's vocabulary (a map, or a list of pieces) and added tokens."""
    document = _json(path)
    vocab, added = document["model"]["vocab"], document.get("added_tokens") or ()
    yield from range(len(vocab)) if isinstance(vocab, list) else _whole_numbers(vocab.values())
    yield from _whole_numbers(token["id"] for token in added)


def _mapping(path: Path) -> Iterator[int]:
    """Ids in a JSON map of token -> id."""
    yield from _whole_numbers(_json(path).values())


def _lines(path: Path) -> Iterator[int]:
    """Ids in a text with one token a line."""
    with path.open("rb") as file:
        yield from range(sum(1 for _ in file))


def _json(path: Path) -> Any:
    if path.stat().st_size > LARGEST:
        raise ValueError("too large for a vocabulary")
    return json.loads(path.read_bytes())


def _whole_numbers(values: Iterable[Any]) -> Iterator[int]:
    for value in values:
        if type(value) is not int or value < 0:
            raise ValueError(f"{value!r} is no id")
        yield value
