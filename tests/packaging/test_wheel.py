"""The wheel, not the working tree: what it holds, and that it runs from elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the working tree, built with the installed hatchling."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel installed, without its dependencies."""
    target = tmp_path_factory.mktemp("site")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", str(target)]
    subprocess.run([*install, str(wheel)], check=True, capture_output=True)
    return target


def run(site: Path, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(site)}
    return subprocess.run([sys.executable, *arguments], cwd=cwd, env=env, capture_output=True, text=True)


def growplan(site: Path, *arguments: str, cwd: Path) -> str:
    done = run(site, "-m", "growplan", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_installed_package_is_the_one_that_runs(site: Path, tmp_path: Path) -> None:
    where = run(site, "-c", "import growplan; print(growplan.__file__)", cwd=tmp_path).stdout
    assert Path(where.strip()).is_relative_to(site)


@pytest.mark.parametrize(
    ("installed", "source"),
    [
        ("growplan/_grammar", "grammar"),
        ("growplan/_plans", "plans"),
        ("growplan/families/data", "growplan/families/data"),
    ],
)
def test_data_ships(site: Path, installed: str, source: str) -> None:
    want = {p.relative_to(ROOT / source) for p in (ROOT / source).rglob("*") if p.is_file()}
    want = {p for p in want if "__pycache__" not in p.parts}
    assert want
    assert want <= {p.relative_to(site / installed) for p in (site / installed).rglob("*")}


def test_examples_ship_without_models(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert "growplan/_examples/minilm/minilm-768.grow.yaml" in names
    assert not [name for name in names if name.endswith(".safetensors") or "/out/" in name]
    assert wheel.stat().st_size < 1_000_000


def test_py_typed_and_the_console_script_ship(site: Path) -> None:
    assert (site / "growplan" / "py.typed").exists()
    scripts = next(site.glob("growplan-*.dist-info")) / "entry_points.txt"
    assert "growplan = growplan.cli:main" in scripts.read_text(encoding="utf-8")


def test_check_runs_from_the_wheel(site: Path, tmp_path: Path) -> None:
    line = "widen hidden 768→1024 via fpi; stack depth x2; mask-in heads"
    model = site / "growplan" / "_plans" / "configs" / "gpt2"
    report = growplan(site, "check", "-e", line, "--model", str(model), cwd=tmp_path)
    assert "1024" in report


def test_every_plan_of_the_wheel_checks(site: Path, tmp_path: Path) -> None:
    plans = sorted((site / "growplan" / "_plans").glob("*.grow*"))
    assert plans
    for plan in plans:
        growplan(site, "check", str(plan), cwd=tmp_path)


@pytest.mark.parametrize("command", ["families", "methods", "schema"])
def test_listings_run_from_the_wheel(site: Path, tmp_path: Path, command: str) -> None:
    assert growplan(site, command, cwd=tmp_path).strip()
