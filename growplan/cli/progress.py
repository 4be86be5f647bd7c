"""Progress: a bar by rich on a terminal (rich is imported for nothing else), lines in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from growplan.cli.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from growplan.publish import Event
    from growplan.training.stage import Step

ByteProgress = Callable[[int, int], None]  # bytes done, bytes in all

_PHASES = {
    "write": "writing",
    "compare": "comparing what was written",
    "segments": "measuring what is stored",
    "stock": "loading by transformers",
    "publish": "publishing",
}


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
        task = progress.add_task(title, total=None, bytes=True)
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def apply_progress(console: Console) -> Iterator[Callable[[Event], None]]:
    """What `apply` tells on its way: a line as each step is asserted, a bar for the phase it is in."""
    if not wanted(console):
        yield lambda event: _line(console.note, event)
        return
    with _bar() as progress:
        phases: dict[str, TaskID] = {}

        def show(event: Event) -> None:
            _line(
                lambda text: progress.console.print(text, markup=False, highlight=False, soft_wrap=True),
                event,
            )
            words = phase(event)
            if words is None:
                return
            total = event.total or None
            if event.kind not in phases:
                for task in phases.values():
                    progress.update(task, visible=False)
                phases[event.kind] = progress.add_task(words, total=total, bytes=event.kind == "write")
            progress.update(phases[event.kind], description=words, completed=event.done, total=total)

        yield show


@contextmanager
def train_progress(console: Console) -> Iterator[Callable[[Step], None]]:
    """What `train` tells on its way: a line as a stage begins, ends, and ten times on its way; or a bar."""
    from growplan.views.train import progress_line

    def line(step: Step, say: Callable[[str], None]) -> None:
        text = progress_line(step)
        if text is not None:
            say(text)
        elif step.growing is not None:
            _line(say, step.growing)

    if not wanted(console):
        yield lambda step: line(step, console.note)
        return
    with _bar() as progress:
        task = progress.add_task("checking", total=None)

        def say(text: str) -> None:
            progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

        def show(step: Step) -> None:
            if step.kind != "step":
                line(step, say)
            if step.growing is not None:
                words = phase(step.growing)
                if words is not None:
                    total = step.growing.total or None
                    progress.update(task, description=words, total=total, completed=step.growing.done)
            elif step.stage.training is not None:
                loss = "" if step.loss is None else f": loss {step.loss:.3f}"
                total = step.stage.training.recipe.steps
                words = f"training {step.stage.name}{loss}"
                progress.update(task, description=words, total=total, completed=step.done)

        yield show


def phase(event: Event) -> str | None:
    """What a run is doing, for the bar; None where the event begins nothing."""
    if event.kind == "learn" and event.step is not None and event.loss is not None:
        return f"fitting step {event.step.index}: loss {event.loss:.3f}"
    if event.kind == "learn" and event.step is not None:
        what = "measuring on data" if event.step.predictor is None else "learning from layers"
        return f"{what} for step {event.step.index}"
    if event.kind == "assert" and event.step is not None:
        return f"asserting step {event.step.index} of {event.steps}"
    return _PHASES.get(event.kind)


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
        ProgressColumn,
        Task,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    class OfBytes(ProgressColumn):
        """A column that only a task counted in bytes has."""

        def __init__(self, column: ProgressColumn) -> None:
            super().__init__()
            self.column = column

        def render(self, task: Task) -> Any:
            return self.column.render(task) if task.fields.get("bytes") else ""

    shown: list[Any] = [
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        OfBytes(DownloadColumn()),
        OfBytes(TransferSpeedColumn()),
        TimeRemainingColumn(),
    ]
    return Progress(*shown, console=Terminal(stderr=True), transient=True)
