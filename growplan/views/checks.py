"""The report of `growplan check` on several plans."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from growplan.diagnostics import Diagnostic
from growplan.views.check import CheckReport
from growplan.views.diagnostics import in_order, summary, to_data
from growplan.views.layout import columns
from growplan.views.schedule import ScheduleReport
from growplan.views.style import Style

Checked = CheckReport | ScheduleReport


@dataclass(frozen=True)
class ChecksReport:
    """Several plans: a report, or the findings that refuse the plan, for each file."""

    reports: Mapping[str, Checked | tuple[Diagnostic, ...]]
    kind: ClassVar[str] = "check"

    def human(self, style: Style) -> str:
        rows = []
        for path, report in self.reports.items():
            line = ("refused", summary(report)) if isinstance(report, tuple) else report.line
            rows.append((path, *line))
        return "\n".join(columns(rows))

    def data(self) -> dict[str, Any]:
        return {
            "plans": [
                {"plan": path, "ok": False, "diagnostics": [to_data(d) for d in in_order(report)]}
                if isinstance(report, tuple)
                else {"ok": True, **report.data()}
                for path, report in self.reports.items()
            ]
        }
