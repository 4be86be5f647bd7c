"""`--json` on every command: one versioned document on stdout, everything else on stderr."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from growplan.cli import cli
from tests.cli.made import document, run

pytestmark = pytest.mark.usefixtures("here")

CALLS = {
    "check": ["a.grow.yaml"],
    "diff": ["a.grow.yaml", "b.grow.yaml"],
    "explain": ["GP204"],
    "families": [],
    "fmt": ["--check", "a.grow.yaml"],
    "methods": [],
    "new": ["bert"],
    "schema": [],
    "show": ["a.grow.yaml"],
    "textconv": ["a.grow.yaml"],
    "toy": ["a.grow.yaml"],
}
NEEDS_WEIGHTS = {"apply": ["a.grow.yaml", "--out", "grown"], "verify": ["gpt2"], "log": ["gpt2"]}
NEEDS_WEIGHTS["train"] = ["a.grow.yaml", "--out", "run"]
NEEDS_WEIGHTS["runtime"] = ["export", "gpt2", "out"]


def test_every_command_is_covered() -> None:
    assert set(cli.list_commands(None)) == {*CALLS, *NEEDS_WEIGHTS}  # type: ignore[arg-type]


@pytest.mark.parametrize("command", CALLS)
def test_a_document(command: str) -> None:
    data = document(command, *CALLS[command])
    assert data["ok"] is True
    assert isinstance(data["kind"], str)


@pytest.mark.parametrize("command", NEEDS_WEIGHTS)
def test_a_refusal_is_a_document_too(command: str) -> None:
    result = run(command, *NEEDS_WEIGHTS[command], "--json")
    data = json.loads(result.stdout)
    assert (result.exit_code, data["ok"], data["format_version"]) == (1, False, 1)
    assert {d["severity"] for d in data["diagnostics"]} >= {"error"}
    assert data["diagnostics"][0]["code"] in result.stderr


def test_places_in_diagnostics() -> None:
    Path("bad.grow.yaml").write_text("growplan: 1\nsource: ./gpt2\nsteps:\n  - widen hiden x2\n")
    (found,) = document("check", "bad.grow.yaml")["diagnostics"]
    assert found["code"] == "GP101"
    assert (found["place"]["file"], found["place"]["line"]) == ("bad.grow.yaml", 4)
    assert "bad.grow.yaml:4:" in run("check", "bad.grow.yaml").stderr


def test_usage_and_internal_errors_are_documents(monkeypatch: pytest.MonkeyPatch) -> None:
    result = run("check", "--json")
    assert json.loads(result.stdout)["error"]["kind"] == "usage"
    monkeypatch.setattr("growplan.pipeline.check", lambda *_, **__: 1 / 0)
    result = run("check", "a.grow.yaml", "--json")
    assert json.loads(result.stdout)["error"]["kind"] == "internal"


def test_a_plan_with_stages_is_a_schedule() -> None:
    data = document("check", "c.grow.yaml")
    assert [stage["name"] for stage in data["stages"]] == ["small", "wide", "deep"]
    assert [stage["sizes"]["depth"] for stage in data["stages"]] == [3, 3, 6]
    assert data["stages"][1]["steps"][0]["mask"]["steps"] == 20
    assert data["stages"][2]["train_only"] == ["new-layers"]
    assert data["flops"] == sum(stage["cost"]["flops"] for stage in data["stages"]) > 0
    assert list(document("toy", "c.grow.yaml")["stages"]) == ["wide", "deep"]


def test_check_says_everything_that_is_printed() -> None:
    data = document("check", "a.grow.yaml")
    assert data["steps"][0]["text"] == "widen hidden 48→96 via fpi"
    assert data["source"]["sizes"]["hidden"] == 48
    assert data["target"]["sizes"]["heads"] == 12
    assert data["claim"] == {"strength": "none", "domain": "all", "where": "stock"}
    assert data["cost"]["after"]["parameters"] > data["cost"]["before"]["parameters"]
    assert data["peak_memory"] > 0
    assert len(data["hash"]) == 64


def test_several_plans_are_one_document() -> None:
    Path("bad.grow").write_text("source ./gpt2; widen hiden x2")
    data = document("check", "a.grow.yaml", "bad.grow")
    assert [plan["ok"] for plan in data["plans"]] == [True, False]
    assert data["ok"] is False
    assert run("check", "a.grow.yaml", "bad.grow").exit_code == 1
    assert run("check", "a.grow.yaml", "a.grow.yaml").exit_code == 0


def test_diagnostics_as_json_lines_and_annotations() -> None:
    Path("bad.grow").write_text("source ./gpt2; widen hiden x2")
    lines = run("check", "bad.grow", "--diagnostics", "json").stderr.splitlines()
    assert json.loads(lines[0])["code"] == "GP101"
    annotation = run("check", "bad.grow", "--diagnostics", "github").stderr
    assert annotation.startswith("::error file=bad.grow,line=1,col=")
