"""`growplan new`: a plan that checks as it stands, and never over a file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.made import document, run


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_the_starter_checks(family: str, here: Path) -> None:
    written = run("new", family)
    assert written.exit_code == 0, written.output
    assert f"wrote {family}-grown.grow.yaml" in written.stdout
    data = document("check", f"{family}-grown.grow.yaml")
    assert data["claim"]["strength"] == "exact"
    assert data["target"]["path"] == f"./{family}-grown"
    assert run("fmt", "--check", f"{family}-grown.grow.yaml").exit_code == 0


def test_it_never_overwrites(here: Path) -> None:
    assert run("new", "bert", "--out", "mine.grow.yaml").exit_code == 0
    Path("mine.grow.yaml").write_text("precious")
    refused = run("new", "bert", "--out", "mine.grow.yaml")
    assert refused.exit_code == 1
    assert "error[GP604]" in refused.stderr
    assert Path("mine.grow.yaml").read_text() == "precious"


def test_paths_are_relative_to_the_plan(here: Path) -> None:
    Path("plans").mkdir()
    assert run("new", "gpt2", "--out", "plans/wide.grow.yaml").exit_code == 0
    assert "source: ../gpt2\n" in Path("plans/wide.grow.yaml").read_text(encoding="utf-8")
    assert run("check", "plans/wide.grow.yaml").exit_code == 0


def test_dash_prints_it(here: Path) -> None:
    assert "widen hidden 48→96 via fpi" in run("new", "gpt2", "--out", "-").stdout
