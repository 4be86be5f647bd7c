"""Two data sets that Debian packages: Jane Austen's six novels, and Fashion-MNIST. Nothing is fetched.

Install `r-cran-janeaustenr` and `dataset-fashion-mnist`, or unpack them into any folder and name that:

    apt-get download r-cran-janeaustenr dataset-fashion-mnist
    for package in *.deb; do dpkg-deb -x $package data; done
    export GROWPLAN_DATA=$PWD/data
"""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

NOVELS = Path("usr/lib/R/site-library/janeaustenr/data/Rdata.rdb")
IMAGES = Path("usr/share/datasets/fashion-mnist")
TEST_SHARE = 10  # one part in so many of the text is for testing
STRINGS, STRING = 16, 9  # types of R's serialisation: a vector of strings, one string


class Missing(FileNotFoundError):
    """A data set that is not on this machine; the message says how to get it."""


def _found(path: Path, package: str) -> Path:
    """The file or folder of a package, below $GROWPLAN_DATA or where Debian installs it. Raises Missing."""
    whole = Path(os.environ.get("GROWPLAN_DATA", "/")) / path
    if not whole.exists():
        how = f"install Debian's {package}, or unpack it and set GROWPLAN_DATA"
        raise Missing(f"{whole} is not there: {how} (see benchmarks/datasets.py)")
    return whole


# text ----------------------------------------------------------------------------------------------


def austen() -> tuple[bytes, bytes]:
    """(text to train on, text to test on) as UTF-8: the novels, the last tenth kept apart. Raises Missing."""
    novels = _novels(_found(NOVELS, "r-cran-janeaustenr").read_bytes())
    text = "\n\n\n".join(novels).encode()
    cut = len(text) - len(text) // TEST_SHARE
    return text[:cut], text[cut:]


def _novels(raw: bytes) -> Iterator[str]:
    """The values of an R package's data file: one zlib stream after another, each behind its length."""
    while raw:
        stream = zlib.decompressobj()
        yield "\n".join(_strings(stream.decompress(raw[4:])))
        raw = stream.unused_data


def _strings(raw: bytes) -> Iterator[str]:
    """The lines of a serialised character vector (R's XDR format, version 3; big-endian words)."""

    def word(at: int) -> int:
        return int.from_bytes(raw[at : at + 4], "big")

    if raw[:2] != b"X\n" or word(2) != 3:
        raise ValueError("not R's XDR serialisation, version 3")
    at = 18 + word(14)  # behind the name of the encoding
    if word(at) & 0xFF != STRINGS:
        raise ValueError("not a character vector")
    count, at = word(at + 4), at + 8
    for _ in range(count):
        if word(at) & 0xFF != STRING:
            raise ValueError("not a string")
        size, at = word(at + 4), at + 8
        yield raw[at : at + size].decode("utf-8")
        at += size


# images --------------------------------------------------------------------------------------------


def fashion_mnist(part: str) -> tuple[Any, Any]:
    """(images uint8 [N, 28, 28], labels uint8 [N]); `part` is "train" or "t10k". Raises Missing."""
    folder = _found(IMAGES, "dataset-fashion-mnist")
    return _idx(folder / f"{part}-images-idx3-ubyte.gz"), _idx(folder / f"{part}-labels-idx1-ubyte.gz")


def _idx(path: Path) -> Any:
    """An array of bytes in the IDX format: a magic word, its dimensions, its values."""
    raw = gzip.decompress(path.read_bytes())
    if raw[:3] != b"\0\0\x08":
        raise ValueError(f"{path} holds no bytes in IDX format")
    shape = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(raw[3])]
    return np.frombuffer(raw, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
