"""Progress: a bar by rich on a terminal (rich is imported for nothing else), lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from growplan.cli.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from growplan.apply import Event

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
    with _bar() as progress:
        task = progress.add_task(title, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def apply_progress(console: Console) -> Iterator[Callable[[Event], None]]:
    """What `apply` tells on its way: a line as each step is asserted, a bar while it writes."""
    if not wanted(console):
        yield lambda event: _line(console.note, event)
        return
    with _bar() as progress:
        task = progress.add_task("asserting", total=None)

        def show(event: Event) -> None:
            _line(lambda text: progress.console.print(text, markup=False, highlight=False), event)
            if event.kind == "stock":
                progress.update(task, description="loading by transformers", total=None)
            if event.kind == "write":
                progress.update(task, description="writing", completed=event.done, total=event.total)

        yield show


def _line(say: Callable[[str], None], event: Event) -> None:
    if event.kind == "step" and event.step is not None and event.measured is not None:
        from growplan.views.apply import step_line

        say(step_line(event.step, event.measured))


def _bar() -> Progress:
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
