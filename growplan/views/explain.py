"""What a diagnostic code means, and the list of all codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from growplan.diagnostics.codes import Code
from growplan.views.layout import labelled
from growplan.views.style import Style

GROUPS = (
    ("GP0", "files and syntax"),
    ("GP1", "what a plan asks for"),
    ("GP2", "type rules and claims"),
    ("GP3", "families and configs"),
    ("GP4", "checkpoints on disk"),
    ("GP5", "assertions while applying"),
    ("GP6", "command line, diff and git"),
    ("GP9", "lints"),
)


@dataclass(frozen=True)
class CodeReport:
    """One code in full."""

    name: str
    code: Code
    kind: ClassVar[str] = "explain"

    def human(self, style: Style) -> str:
        parts = [("what", self.code.what), ("why", self.code.why), ("fix", self.code.fix)]
        lines = [style.bold(self.name)]
        for pair in parts:
            lines += ["", *labelled([pair], label_width=4)]
        return "\n".join(lines)

    def data(self) -> dict[str, Any]:
        return {"code": self.name, **asdict(self.code)}


@dataclass(frozen=True)
class CodesReport:
    """All codes, one line each."""

    codes: Mapping[str, Code]
    kind: ClassVar[str] = "codes"

    def human(self, style: Style) -> str:
        blocks = []
        for prefix, title in GROUPS:
            rows = [(name, code.what) for name, code in self.codes.items() if name.startswith(prefix)]
            if rows:
                blocks.append("\n".join([style.bold(title), *labelled(rows, indent=2)]))
        return "\n\n".join(blocks)

    def data(self) -> dict[str, Any]:
        return {"codes": {name: asdict(code) for name, code in self.codes.items()}}
