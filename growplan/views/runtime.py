"""What `growplan runtime` did."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from growplan.checkpoint.sidecars import Leave
from growplan.views.style import Style, printable


@dataclass(frozen=True)
class ExportReport:
    """A checkpoint was written with its masks in the weights."""

    directory: str
    out: str
    left: tuple[Leave, ...] = ()
    kind: ClassVar[str] = "runtime-export"

    def human(self, style: Style) -> str:
        wrote = f"{style.paint('wrote', 'green')} {printable(self.out)}: a stock load is the model now"
        return "\n".join(
            [wrote, *(printable(f"not carried: {each.path} ({each.why})") for each in self.left)]
        )

    def data(self) -> dict[str, Any]:
        return {
            "directory": self.directory,
            "out": self.out,
            "not_carried": [asdict(each) for each in self.left],
        }
