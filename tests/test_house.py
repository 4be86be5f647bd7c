"""The repository as a whole: imports of the check path, codes, file sizes, machine paths."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.check_time import write_plan
from growplan.diagnostics.codes import CODES

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "growplan"
TABLE = PACKAGE / "diagnostics" / "table"
CODE = re.compile(r"\bGP\d{3}\b")
LONGEST = 400  # lines; more is two ideas

HEAVY = {"torch", "transformers", "safetensors", "numpy", "scipy", "matplotlib"}
IMPORTS = """
import sys
from growplan.cli import main
try:
    main(sys.argv[1:])
except SystemExit as stop:
    code = stop.code
print(code, *sorted({name.partition(".")[0] for name in sys.modules}), file=sys.stderr)
"""


def imported_by(*arguments: str) -> tuple[str, set[str]]:
    """(exit code, top-level modules) after one run of the command line."""
    command = [sys.executable, "-c", IMPORTS, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    code, *modules = done.stderr.splitlines()[-1].split()
    return code, set(modules)


def test_check_of_a_70b_config_imports_nothing_heavy(tmp_path: Path) -> None:
    code, modules = imported_by("check", str(write_plan(tmp_path)))
    assert code == "0"
    assert not modules & (HEAVY | {"networkx"})


def test_diff_imports_nothing_heavy(tmp_path: Path) -> None:
    plan = write_plan(tmp_path)
    other = tmp_path / "other.grow.yaml"
    other.write_text(plan.read_text(encoding="utf-8").replace("12288", "16384"), encoding="utf-8")
    code, modules = imported_by("diff", str(plan), str(other))
    assert code == "0"
    assert not modules & HEAVY


def python_files() -> list[Path]:
    folders = ("growplan", "tests", "examples", "benchmarks")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def used_codes() -> dict[str, str]:
    """Code -> a file of the package that names it, the table itself left out."""
    used = {}
    for path in PACKAGE.rglob("*"):
        if path.suffix not in {".py", ".yaml"} or path.is_relative_to(TABLE):
            continue
        for code in CODE.findall(path.read_text(encoding="utf-8")):
            used[code] = str(path.relative_to(ROOT))
    return used


def test_every_code_of_the_source_is_in_the_table() -> None:
    assert {code: path for code, path in used_codes().items() if code not in CODES} == {}


def test_every_code_of_the_table_is_used() -> None:
    assert sorted(set(CODES) - set(used_codes())) == []


def test_every_code_says_what_why_and_how_to_fix() -> None:
    empty = [name for name, code in CODES.items() if not (code.what and code.why and code.fix)]
    assert empty == []


def test_no_file_holds_two_ideas() -> None:
    lengths = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8").count("\n") for p in python_files()}
    assert {path: lines for path, lines in lengths.items() if lines > LONGEST} == {}


PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "docs/architecture.md",
    "docs/cli.md",
    "docs/python-api.md",
    "docs/learned-growth.md",
)
FILE = re.compile(r"`((?:growplan|tests|docs|plans|examples)/[\w./-]+\.\w+)`")


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    named = FILE.findall((ROOT / page).read_text(encoding="utf-8"))
    made_up = ("NAME", "LAYER")
    assert [n for n in named if not any(m in n for m in made_up) and not (ROOT / n).exists()] == []


TEXT = {".py", ".md", ".yaml", ".yml", ".toml", ".txt", ".lark", ".grow", ".json", ".cfg", ""}
SKIP = {".git", ".venv", "model", "out", "build", "dist", "__pycache__"}
MACHINE = ["/" + name + "/" for name in ("work", "root", "home", "opt")] + ["file:" + "//"]


def repository_texts() -> list[Path]:
    return [
        path
        for path in ROOT.rglob("*")
        if path.is_file()
        and path.suffix in TEXT
        and not SKIP & set(path.relative_to(ROOT).parts)
        and not any("cache" in part or part == ".hypothesis" for part in path.relative_to(ROOT).parts)
    ]


@pytest.mark.parametrize("needle", MACHINE)
def test_no_path_of_one_machine(needle: str) -> None:
    found = [
        str(path.relative_to(ROOT))
        for path in repository_texts()
        if needle in path.read_text(encoding="utf-8", errors="ignore")
    ]
    assert found == []
