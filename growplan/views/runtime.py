"""What `growplan runtime` did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from growplan.views.style import Style, printable


@dataclass(frozen=True)
class ExportReport:
    """A checkpoint was written with its masks in the weights."""

    directory: str
    out: str
    kind: ClassVar[str] = "runtime-export"

    def human(self, style: Style) -> str:
        return f"{style.paint('wrote', 'green')} {printable(self.out)}: a stock load is the model now"

    def data(self) -> dict[str, Any]:
        return asdict(self)
