"""The code table is complete, has no dead rows, and every row says something."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import growplan
from growplan.diagnostics import codes as module
from growplan.diagnostics import table
from growplan.diagnostics.codes import Code, codes

PACKAGE = Path(growplan.__file__).parent
CODE = re.compile(r"\bGP\d{3}\b")


def used() -> dict[str, set[str]]:
    """Codes in the sources (the table itself apart), with the files that use them."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if "table" not in path.parts:
            for code in CODE.findall(path.read_text(encoding="utf-8")):
                found.setdefault(code, set()).add(str(path.relative_to(PACKAGE)))
    return found


def test_every_code_in_the_sources_is_in_the_table() -> None:
    missing = {code: files for code, files in used().items() if code not in codes()}
    assert not missing


def test_every_row_is_used() -> None:
    assert sorted(codes().keys() - used().keys()) == []


@pytest.mark.parametrize("code", codes())
def test_row_is_complete(code: str) -> None:
    row = codes()[code]
    assert re.fullmatch(r"GP\d{3}", code)
    for text in (row.what, row.why, row.fix):
        assert text.strip() == text and text.endswith((".", ":", "?")) and len(text) > 10


def test_table_is_sorted_and_lazy() -> None:
    assert list(codes()) == sorted(codes())
    assert module.CODES is codes()
    with pytest.raises(AttributeError, match="no attribute 'NOTHING'"):
        _ = module.NOTHING


def test_a_code_defined_twice_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    twice = tmp_path / "zz_twice.py"
    twice.write_text("from growplan.diagnostics.codes import Code\nCODES = {'GP001': Code('a', 'b', 'c')}\n")
    monkeypatch.setattr(table, "__path__", [*table.__path__, str(tmp_path)])
    with pytest.raises(ValueError, match=r"zz_twice\.py defines again: GP001"):
        codes.__wrapped__()


def test_code_is_a_value() -> None:
    assert Code("a", "b", "c") == Code("a", "b", "c")
