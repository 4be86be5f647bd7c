"""Every diagnostic names a way out."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import growplan

PACKAGE = Path(growplan.__file__).parent
CODE = re.compile(r"GP\d{3}")
COLLECTORS = {"core.py", "errors.py", "problems.py"}  # they pass on the help they are given
MAKERS = {"fail": 6, "add": 6, "Diagnostic": 4}  # name -> position of `help`; 6: by keyword only


def sources() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p.name not in COLLECTORS and "table" not in p.parts)


def raised(tree: ast.AST) -> Iterator[tuple[ast.Call, ast.expr | None]]:
    """Calls that make a diagnostic, with their help."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "id", getattr(node.func, "attr", ""))
        first = node.args[0] if node.args else None
        coded = isinstance(first, ast.Constant) and CODE.fullmatch(str(first.value))
        if name in ("fail", "Diagnostic") or (name == "add" and coded):
            at = MAKERS[name]
            help = next((k.value for k in node.keywords if k.arg == "help"), None)
            yield node, help if help is not None or len(node.args) <= at else node.args[at]


def is_empty(help: ast.expr | None) -> bool:
    return (
        help is None
        or (isinstance(help, ast.Constant) and not help.value)
        or (isinstance(help, (ast.Tuple, ast.List)) and not help.elts)
    )


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_diagnostic_goes_without_help(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert [ast.unparse(call)[:120] for call, help in raised(tree) if is_empty(help)] == []


@pytest.mark.parametrize("path", sources(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_function_that_raises_takes_help_as_optional(path: Path) -> None:
    """A wrapper with `help=()` would let its callers leave it out."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and any(raised(node)):
            named = node.args.args[-len(node.args.defaults) :] if node.args.defaults else []
            defaults = [*zip(named, node.args.defaults, strict=True)]
            defaults += [
                (a, d) for a, d in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True) if d
            ]
            found += [node.name for arg, default in defaults if arg.arg == "help" and is_empty(default)]
    assert found == []


def test_the_walk_sees_what_it_should() -> None:
    bad = (
        "fail('GP001', 'x')\nerrors.add('GP002', 'x', span, help=())\nDiagnostic('GP003', 'x', None, (), ())"
    )
    good = "fail('GP001', 'x', help='y')\nnames.add('x')\nDiagnostic('GP003', 'x', None, (), ways)"
    assert [is_empty(help) for _, help in raised(ast.parse(bad))] == [True] * 3
    assert [is_empty(help) for _, help in raised(ast.parse(good))] == [False] * 2
