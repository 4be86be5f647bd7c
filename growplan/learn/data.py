"""A user's data: from a file to token ids. No torch; `look` needs only the standard library.

NAME.json      a list of ids, a list of such lists, or {"ids": ..., "labels": ...}
NAME.npy       whole numbers in one dimension (one long text) or two (sequences)
anything else  a text, read by the tokenizer beside the source, or as bytes where the vocab is 256
"""

from __future__ import annotations

import ast
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from growplan.checkpoint.files import file_sha256, guard, is_regular, path_exists
from growplan.diagnostics import fail
from growplan.learn.tokenizer import has_tokenizer, mask_id, tokenize

FORMS = "a list of ids, a list of lists of ids, or {ids, labels}"
LARGEST = 1 << 30  # bytes; more is no batch
LARGEST_HEADER = 1 << 16
LOOKED_INTO = 1 << 24  # bytes of a .json that `check` reads


@dataclass(frozen=True)
class Data:
    """Sequences of token ids, with a label for each (or for each token) where the file has them."""

    sequences: tuple[tuple[int, ...], ...]
    labels: tuple[int, ...] | tuple[tuple[int, ...], ...] | None
    sha256: str

    @property
    def tokens(self) -> int:
        return sum(map(len, self.sequences))


def inspect(path: Path, source: Path, vocab: int, batch: int, length: int, *, weights: bool) -> None:
    """What `check` can say of a data file, its contents included. Raises GP521, GP522.

    A .json is read as `apply` reads it, up to LOOKED_INTO bytes; of a .npy only the header.
    """
    look(path, source, vocab, weights=weights)
    if path.suffix == ".json" and path.stat().st_size <= LOOKED_INTO:
        _check_ids(_from_json(path, batch, length)[0], path, vocab)
    elif path.suffix == ".npy":
        _check_header(path)


def look(path: Path, source: Path, vocab: int, *, weights: bool) -> None:
    """What can be said of a data file unread. Raises GP521, GP522.

    `weights`: the source has weights; a directory of a config alone cannot be applied, so that its
    tokenizer is not asked for.
    """
    if not path_exists(path):
        fail("GP521", f"there is no file {path}", help="the path is relative to the plan; check it")
    if not is_regular(path):
        fail("GP521", f"{path} is no file", help="give a file: a text, or token ids as .json or .npy")
    with guard(path, "read"), path.open("rb") as file:
        start, size = file.read(8), path.stat().st_size
    if not 0 < size <= LARGEST:
        found = "is empty" if not size else f"has {size} bytes, more than a batch"
        fail("GP521", f"{path} {found}", help="give a file with some thousand tokens")
    if path.suffix == ".npy" and not start.startswith(b"\x93NUMPY"):
        fail("GP522", f"{path} is no numpy file", help="save it by `numpy.save`")
    if weights and path.suffix not in (".json", ".npy") and not has_tokenizer(source) and vocab != 256:
        _no_tokenizer(path, source)


def read_data(path: Path, source: Path, vocab: int, batch: int, length: int) -> Data:
    """The first `batch` sequences of at most `length` tokens. Raises GP521, GP522."""
    look(path, source, vocab, weights=True)
    if path.suffix == ".json":
        sequences, labels = _from_json(path, batch, length)
    elif path.suffix == ".npy":
        sequences, labels = _cut(_from_numpy(path), path, batch, length), None
    else:
        sequences, labels = _cut(_from_text(path, source), path, batch, length), None
    _check_ids(sequences, path, vocab)
    return Data(sequences, labels, file_sha256(path))


def mask_token(source: Path, given: int | None, vocab: int) -> int:
    """The id that hides a token from a masked language model. Raises GP523."""
    found = mask_id(source) if given is None else given
    if found is None:
        way = "add `, mask ID`: the id of the token that the model was trained to fill in"
        fail("GP523", "no file of the source says which token masks another", help=way)
    if found >= vocab:
        fail("GP522", f"the mask token {found} lies outside the vocab of {vocab}", help="give `mask ID`")
    return found


# forms ---------------------------------------------------------------------------------------------


def _from_text(path: Path, source: Path) -> list[int]:
    with guard(path, "read"):
        raw = path.read_bytes()
    if not has_tokenizer(source):
        return list(raw)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail("GP522", f"{path} is no UTF-8 text: byte {error.start}", help="save it as UTF-8")
    return tokenize(source, text)


def _from_numpy(path: Path) -> list[Any]:
    import numpy as np

    try:
        array = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        fail("GP522", f"{path} cannot be read: {error}", help="save it by `numpy.save`")
    if array.ndim not in (1, 2) or array.dtype.kind not in "iu":
        what = f"{array.dtype} in {array.ndim} dimensions"
        fail("GP522", f"{path} holds {what}", help="save whole numbers in one dimension or two")
    found: list[Any] = array.tolist()
    return found


def _check_header(path: Path) -> None:
    """GP522 where a .npy does not hold whole numbers in one dimension or two (numpy's format, 1.0 to 3.0)."""
    with guard(path, "read"), path.open("rb") as file:
        start = file.read(8)
        width = 2 if start[6:7] == b"\x01" else 4
        size = int.from_bytes(file.read(width), "little")
        raw = file.read(min(size, LARGEST_HEADER))
    try:
        header = ast.literal_eval(raw.decode("utf-8" if start[6:7] == b"\x03" else "latin-1"))
        dtype, shape = header["descr"], tuple(header["shape"])
    except (ValueError, SyntaxError, TypeError, KeyError, MemoryError, RecursionError):
        fail("GP522", f"{path} has a header that numpy did not write", help="save it by `numpy.save`")
    if len(shape) not in (1, 2) or not isinstance(dtype, str) or dtype[1:2] not in ("i", "u"):
        what = f"{str(dtype)[:40]} in {len(shape)} dimension{'s' * (len(shape) != 1)}"
        fail("GP522", f"{path} holds {what}", help="save whole numbers in one dimension or two")


def _from_json(path: Path, batch: int, length: int) -> tuple[tuple[tuple[int, ...], ...], Any]:
    with guard(path, "read"):
        raw = path.read_bytes()
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        fail("GP522", f"{path} is no JSON: {error}", help=f"write {FORMS}")
    if not isinstance(found, dict):
        return _cut(_ids(found, path), path, batch, length), None
    ids, labels = _ids(found.get("ids"), path), found.get("labels")
    if labels is None:
        return _cut(ids, path, batch, length), None
    if not ids or not isinstance(ids[0], list) or not isinstance(labels, list) or len(labels) != len(ids):
        fail("GP522", f"{path} does not hold one label for every sequence", help=f"write {FORMS}")
    sequences = _cut(ids, path, batch, length)
    pairs = zip(labels[:batch], ids, strict=False)
    return sequences, tuple(_label(label, len(row), length, path) for label, row in pairs)


def _label(label: Any, tokens: int, length: int, path: Path) -> int | tuple[int, ...]:
    if type(label) is int:
        return label
    if isinstance(label, list) and len(label) == tokens and all(type(x) is int for x in label):
        return tuple(label[:length])
    fail("GP522", f"{path} has a label that is no whole number, nor one a token", help=f"write {FORMS}")


def _ids(found: Any, path: Path) -> list[Any]:
    """A list of ids, or of lists of ids."""
    rows = found if isinstance(found, list) and found and isinstance(found[0], list) else [found]
    for row in rows:
        if not isinstance(row, list) or not all(type(x) is int for x in row):
            fail("GP522", f"{path} does not hold token ids", help=f"write {FORMS}")
    assert isinstance(found, list)
    return found


def _cut(ids: Sequence[Any], path: Path, batch: int, length: int) -> tuple[tuple[int, ...], ...]:
    """Sequences as given, or one long text cut into windows one after the other."""
    if ids and isinstance(ids[0], list):
        rows = [tuple(row[:length]) for row in ids[:batch]]
        if min(map(len, rows)) < 2:
            _too_short(path, "has a sequence of less than 2 tokens")
        return tuple(rows)
    if len(ids) < 2:
        _too_short(path, f"gives {len(ids)} token{'s' * (len(ids) != 1)}")
    length = min(length, len(ids))
    starts = range(0, len(ids) - length + 1, length)[:batch]
    return tuple(tuple(ids[at : at + length]) for at in starts)


def _check_ids(sequences: tuple[tuple[int, ...], ...], path: Path, vocab: int) -> None:
    for row in sequences:
        for token in (min(row), max(row)):
            if not 0 <= token < vocab:
                way = "use the tokenizer that the model was trained with"
                fail("GP522", f"{path} has the id {token}, outside the model's vocab of {vocab}", help=way)


def _too_short(path: Path, how: str) -> NoReturn:
    fail("GP522", f"{path} {how}", help="a loss needs at least 2 tokens; some thousand are useful")


def _no_tokenizer(path: Path, source: Path) -> NoReturn:
    ways = (
        f"put the model's tokenizer.json into {source}",
        "or give token ids: a .json list, or a .npy of whole numbers",
    )
    fail("GP522", f"{path} is a text, and its source has no tokenizer to read it with", help=ways)
