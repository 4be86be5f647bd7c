"""Token ids on the disk: made once, and mapped when the same text is read the same way again."""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from growplan.checkpoint.files import file_sha256, guard, is_regular
from growplan.learn.tokenizer import TOKENIZER


@dataclass(frozen=True)
class Kept:
    """Arrays in a folder, each under the facts that it follows from. Without a folder nothing is kept."""

    folder: Path | None = None

    def ids(self, facts: Sequence[object], make: Callable[[], Any]) -> Any:
        """The numpy array of some facts, mapped into memory; made by `make` where it does not lie there.

        Raises GP430 to GP432 where it cannot be written.
        """
        if self.folder is None:
            return make()
        name = hashlib.sha256(repr(tuple(facts)).encode()).hexdigest()[:32]
        path = self.folder / f"{name}.npy"
        found = _mapped(path)
        if found is not None:
            return found
        made = make()
        _write(path, made)
        found = _mapped(path)  # what is empty cannot be mapped
        return made if found is None else found


def _mapped(path: Path) -> Any:
    """The array in a file; None where there is none, or not a whole one."""
    import numpy as np

    if not is_regular(path):
        return None
    try:
        return np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None


def _write(path: Path, array: Any) -> None:
    import numpy as np

    new = path.with_name(f".{path.name}.new")
    with guard(path, "write"):
        path.parent.mkdir(exist_ok=True)
        with new.open("wb") as file:
            np.save(file, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)


def tokenizer_facts(source: Path) -> tuple[str, ...]:
    """The hashes of a tokenizer's files."""
    there = [name for name in TOKENIZER if (source / name).is_file()]
    return tuple(f"{name} {file_sha256(source / name)}" for name in there)


def packed(sequences: Iterable[Sequence[int]]) -> Any:
    """uint32: how many sequences there are, their lengths, their ids. Ids must lie in its range."""
    import numpy as np

    lengths, ids = array("Q"), array("I")
    for each in sequences:
        lengths.append(len(each))
        ids.extend(each)
    parts = ([len(lengths)], np.frombuffer(lengths, np.uint64), np.frombuffer(ids, np.uintc))
    return np.concatenate([np.asarray(part).astype(np.uint32) for part in parts])


def unpacked(flat: Any) -> Iterator[Any]:
    """The sequences of `packed`, as pieces of it."""
    count = int(flat[0])
    at = count + 1
    for length in flat[1 : count + 1].tolist():
        yield flat[at : at + length]
        at += length
