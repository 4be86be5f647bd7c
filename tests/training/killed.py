"""Runs in a process of their own that is killed, by SIGKILL, at a certain one of its moves on the disk."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

MOVES = (
    (os, "fsync"),
    (os, "rename"),
    (os, "replace"),
    (os, "unlink"),
    (os, "rmdir"),
    (os, "mkdir"),
    (os, "pwrite"),
    (os, "copy_file_range"),
    (Path, "rename"),
    (Path, "replace"),
    (Path, "unlink"),
    (Path, "mkdir"),
    (shutil, "copyfile"),
    (shutil, "rmtree"),
    (torch, "save"),
    (torch.optim.AdamW, "step"),
)


def alone(run: Callable[[], object], moves: int | None = None) -> bool:
    """Call `run` in a child process, which dies before move number `moves`; whether it came to its end."""
    sys.stdout.flush()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        code = 1
        try:
            torch.set_num_threads(1)
            if moves is not None:
                _die_at(moves)
            run()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return False
    assert os.WEXITSTATUS(status) == 0
    return True


def counted(run: Callable[[], object]) -> int:
    """How many moves a whole run makes."""
    reader, writer = os.pipe()

    def count() -> None:
        seen = _die_at(-1)
        run()
        os.write(writer, str(seen[0]).encode())

    assert alone(count)
    os.close(writer)
    with os.fdopen(reader) as file:
        return int(file.read())


def _die_at(moves: int) -> list[int]:
    """Patch what moves something on the disk; the count of moves so far."""
    seen = [0]

    def watched(move: Callable[..., Any]) -> Callable[..., Any]:
        def then(*args: Any, **kwargs: Any) -> Any:
            seen[0] += 1
            if seen[0] == moves:
                os.kill(os.getpid(), signal.SIGKILL)
            return move(*args, **kwargs)

        return then

    for owner, name in MOVES:
        setattr(owner, name, watched(getattr(owner, name)))
    return seen
