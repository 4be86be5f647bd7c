"""`growplan show` of a plan with stages: each in turn, or one of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.ir.graph import Graph
from growplan.ir.text import parse_ir
from tests.cli.made import document, run
from tests.conftest import Golden

PLAN = """\
source: ./gpt2
train: {on: corpus.txt, lr: 1e-3, batch: 4, tokens: 8}
stages:
  - {name: small, train: {for: 20k steps}}
  - name: wide
    steps: [widen hidden x2 via fpi]
    train: {steps: 300}
  - name: deep
    steps: [stack depth x2]
    train-only: new-layers
    train: {steps: 200, lr: 5e-4}
"""


@pytest.fixture
def plan(here: Path) -> Path:
    (here / "corpus.txt").write_text("a text\n" * 99, encoding="utf-8")
    (here / "staged.grow.yaml").write_text(PLAN, encoding="utf-8")
    return here


def types(graph: Graph, model: int) -> dict[str, str]:
    """The types of the tensors of one of a graph's models."""
    return {name: str(graph.nodes[value].type) for name, value in graph.models[model].items()}


def test_table(plan: Path, golden: Golden) -> None:
    golden(run("show", "staged.grow.yaml", "--as", "table").stdout)


def test_one_stage_is_shown_as_the_plan_of_its_steps_on_the_model_before_it(plan: Path) -> None:
    Path("wider.grow").write_text("source ./gpt2; widen hidden x2 via fpi; stack depth x2", encoding="utf-8")
    Path("wide.grow").write_text("source ./gpt2; widen hidden x2 via fpi", encoding="utf-8")
    for form in ("ir", "table", "dot", "mermaid"):
        alone = run("show", "wide.grow", "--as", form).stdout
        staged = run("show", "staged.grow.yaml", "--as", form, "--stage", "wide").stdout
        assert staged.replace("staged.grow.yaml:6:13", "wide.grow:1:16") == alone
    deep = parse_ir(run("show", "staged.grow.yaml", "--stage", "deep").stdout)
    wide, both = (parse_ir(run("show", name).stdout) for name in ("wide.grow", "wider.grow"))
    assert types(deep, 0) == types(wide, -1) and types(deep, -1) == types(both, -1)
    assert run("show", "staged.grow.yaml", "--stage", "deep", "--optimized").exit_code == 0


def test_json(plan: Path) -> None:
    data = document("show", "staged.grow.yaml")
    assert [stage["name"] for stage in data["stages"]] == ["small", "wide", "deep"]
    assert data["stages"][0]["ir"] is None
    for stage in data["stages"][1:]:
        assert stage["ir"] == run("show", "staged.grow.yaml", "--stage", stage["name"]).stdout
    assert document("show", "staged.grow.yaml", "--stage", "deep")["ir"] == data["stages"][2]["ir"]


@pytest.mark.parametrize("form", ["ir", "dot", "mermaid", "html"])
def test_a_picture_is_of_one_stage(plan: Path, form: str) -> None:
    result = run("show", "staged.grow.yaml", "--as", form)
    assert result.exit_code == 1 and "GP594" in result.stderr
    assert f"--as {form} --stage wide" in result.stderr  # the way out works
    assert run("show", "staged.grow.yaml", "--as", form, "--stage", "wide").exit_code == 0
    assert run("show", "staged.grow.yaml", "--as", "table").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["staged.grow.yaml", "--stage", "smal"], "the plan has no stage `smal`"),
        (["staged.grow.yaml", "--stage", "small"], "stage `small` grows nothing"),
        (["a.grow.yaml", "--stage", "wide"], "the plan has no stages"),
    ],
)
def test_a_stage_that_cannot_be_shown(plan: Path, arguments: list[str], message: str) -> None:
    result = run("show", *arguments)
    assert (result.exit_code, "GP597" in result.stderr, message in result.stderr) == (1, True, True)
