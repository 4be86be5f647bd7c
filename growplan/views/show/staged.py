"""The stages of a plan one after the other: how each is trained, then what `table` shows of its growth."""

from __future__ import annotations

from collections.abc import Iterator

from growplan.check.stages import Schedule, TypedStage
from growplan.language.printing import stage_lines
from growplan.views.names import axes_in_order
from growplan.views.show import table
from growplan.views.style import PLAIN, Style, printable


def render(schedule: Schedule, style: Style = PLAIN) -> str:
    """Every stage: its name, its training, its steps, axes and parameters; those without steps its sizes."""
    blocks = [block for stage in schedule.stages for block in _stage(schedule, stage, style)]
    return "\n\n".join(blocks)


def _stage(schedule: Schedule, stage: TypedStage, style: Style) -> Iterator[str]:
    statements = stage_lines(schedule.plan, stage.stage, steps=False)[1:]
    head = style.bold(f"stage {stage.index}, {printable(stage.name)}")
    yield "\n".join([head, *map(printable, statements)])
    if stage.typed is not None:
        yield table.render(stage.typed, style)
        return
    sizes = stage.after.sizes
    yield "no growth: " + ", ".join(f"{axis} {sizes[axis]}" for axis in axes_in_order(sizes))
