"""Progress on a terminal by rich, which is imported for nothing else; silence in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from growplan.cli.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

ByteProgress = Callable[[int, int], None]  # bytes done, bytes in all


def wanted(console: Console) -> bool:
    """A bar is drawn on a terminal, and only where there is someone to see it."""
    return sys.stderr.isatty() and not console.quiet


@contextmanager
def byte_progress(console: Console, title: str) -> Iterator[ByteProgress | None]:
    """A bar with bytes, bytes a second and time left; None where nobody watches."""
    if not wanted(console):
        yield None
        return
    with bar() as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def bar() -> Progress:
    """The bar itself, on stderr."""
    from rich.console import Console as Terminal
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    shown: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    ]
    return Progress(*shown, console=Terminal(stderr=True), transient=True)
