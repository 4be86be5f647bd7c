"""One of the processes that torchrun started. Those beside the first print nothing but their own failures."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO
from time import sleep

from growplan.learn.ranks import leave, place

GRACE = 10.0  # seconds for the first process to say the same, after which torchrun ends this one


@contextmanager
def beside_the_first() -> Iterator[None]:
    """Keeps what this process prints; where it fails, and is not ended meanwhile, errors come later."""
    rank, _ = place()
    if rank == 0:
        yield
        return
    said = StringIO()
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(said):  # noqa: PTH123
            yield
    except SystemExit as end:
        if end.code:
            sleep(GRACE)
            sys.stderr.write(f"process {rank}:\n{said.getvalue()}\n")
        raise


@contextmanager
def as_one_of_several() -> Iterator[None]:
    """Where torchrun started this process, it ends without the interpreter's own end (`leave`)."""
    try:
        yield
    except SystemExit as end:
        if place()[1] > 1:
            leave(end.code if isinstance(end.code, int) else int(end.code is not None))
        raise
