"""One interface for every result: the same value for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, ClassVar, Protocol

from growplan.views.style import Style

FORMAT_VERSION = 1


class Report(Protocol):
    """What a command found. `human` is text (no trailing newline), `data` plain JSON values."""

    kind: ClassVar[str]

    def human(self, style: Style) -> str: ...

    def data(self) -> Mapping[str, Any]: ...


def document(kind: str, data: Mapping[str, Any], *, ok: bool = True) -> str:
    """The one JSON document of a command, with the version that scripts check."""
    head = {"format_version": FORMAT_VERSION, "kind": kind, "ok": ok}
    return json.dumps({**head, **data}, indent=2, ensure_ascii=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Fraction):
        return value.numerator if value.denominator == 1 else str(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return str(value)
