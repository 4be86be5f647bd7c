"""The chain of models as a Mermaid flowchart, which GitHub draws in Markdown."""

from __future__ import annotations

from growplan.check.typed import TypedPlan
from growplan.views.show.stages import stages


def render(typed: TypedPlan) -> str:
    """One box a model, one arrow a step; implied steps are dotted."""
    lines = ["flowchart LR"]
    for index, stage in enumerate(stages(typed)):
        lines.append(f"  m{index}[{_quoted(stage.lines)}]")
        if stage.step is not None:
            arrow = "-.->" if stage.step.implied else "-->"
            lines.append(f"  m{index - 1} {arrow}|{_quoted(stage.edge)}| m{index}")
    return "\n".join(lines)


def _quoted(lines: list[str]) -> str:
    """Text in double quotes, with what Mermaid would read as markup as entities."""
    marks = {"#": "#35;", '"': "#quot;", "<": "#lt;", ">": "#gt;"}
    text = (("".join(marks.get(ch, ch) for ch in line)) for line in lines)
    return '"' + "<br/>".join(text) + '"'
