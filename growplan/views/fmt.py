"""What `growplan fmt` found and did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from growplan.views.numbers import plural
from growplan.views.style import Style


@dataclass(frozen=True)
class Formatted:
    """One file before and after; `to_stdout` where the result is printed, not written."""

    path: str
    before: str
    text: str
    to_stdout: bool = False

    @property
    def changed(self) -> bool:
        return self.before != self.text


@dataclass(frozen=True)
class FmtReport:
    """All files of one run; `diff` shows what changes line by line."""

    files: Sequence[Formatted]
    only_check: bool
    diff: bool = False
    kind: ClassVar[str] = "fmt"

    def human(self, style: Style) -> str:
        word = "would reformat" if self.only_check else "reformatted"
        changed = [f for f in self.files if f.changed and not (f.to_stdout and not self.only_check)]
        lines = []
        for file in changed:
            lines.append(f"{word} {file.path}")
            if self.diff:
                lines += _difference(file, style)
        rest = len(self.files) - len(changed)
        tail = [f"{plural(len(changed), 'file')} {word}"] * bool(changed)
        tail += [f"{plural(rest, 'file')} already formatted"] * bool(rest)
        return "\n".join([*lines, ", ".join(tail)])

    def data(self) -> dict[str, Any]:
        return {
            "files": [
                {"file": f.path, "changed": f.changed, **({"text": f.text} if f.to_stdout else {})}
                for f in self.files
            ]
        }


def _difference(file: Formatted, style: Style) -> list[str]:
    from difflib import unified_diff

    old, new = file.before.splitlines(), file.text.splitlines()
    color = {"+": "green", "-": "red", "@": "cyan"}
    lines = unified_diff(old, new, file.path, file.path, lineterm="", n=1)
    return [style.paint(line, color[line[0]]) if line[0] in color else line for line in lines]
