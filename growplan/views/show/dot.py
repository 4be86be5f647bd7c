"""The chain of models as a Graphviz digraph."""

from __future__ import annotations

from growplan.check.typed import TypedPlan
from growplan.views.show.stages import stages

_COLOR = {"exact": "#1a7f37", "approximate": "#9a6700", "none": "#57606a"}


def render(typed: TypedPlan) -> str:
    """`dot -Tsvg` draws it."""
    lines = [
        "digraph plan {",
        "  rankdir=LR;",
        '  node [shape=box, style=rounded, fontname="sans-serif"];',
        '  edge [fontname="sans-serif", fontsize=10];',
    ]
    for index, stage in enumerate(stages(typed)):
        lines.append(f"  m{index} [label={_quoted(stage.lines)}];")
        if stage.step is not None:
            style = ", style=dashed" if stage.step.implied else ""
            color = _COLOR[stage.strength]
            lines.append(f'  m{index - 1} -> m{index} [label={_quoted(stage.edge)}, color="{color}"{style}];')
    return "\n".join([*lines, "}"])


def _quoted(lines: list[str]) -> str:
    escaped = (line.replace("\\", "\\\\").replace('"', '\\"') for line in lines)
    return '"' + "\\n".join(escaped) + '"'
