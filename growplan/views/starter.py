"""What `growplan new` wrote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from growplan.views.style import Style


@dataclass(frozen=True)
class StarterReport:
    """The plan's path and text."""

    path: str
    text: str
    kind: ClassVar[str] = "new"

    def human(self, style: Style) -> str:
        return f"wrote {style.bold(self.path)}; next: growplan check {self.path}"

    def data(self) -> dict[str, Any]:
        return {"path": self.path, "text": self.text}
