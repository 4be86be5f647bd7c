"""Stages behind an upcycling, of a model that a family file of the user's own describes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from growplan.apply import ApplyResult, apply
from growplan.checkpoint.growth_reader import read_growth
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_file
from growplan.language.plan import Plan
from growplan.toy.run import run_toys
from growplan.training.grow import grow
from growplan.views import numbers
from growplan.views.record import LogReport
from growplan.views.style import PLAIN
from tests.training.runs import read, run, write_plan, write_source

STAGES = """
{name: small, train: {for: 2 steps}}
{name: moe, steps: [upcycle ffn to 4 experts], train: {for: 2 steps}}
{name: deep, steps: [stack depth x2], train-only: new-layers, train: {for: 2 steps}}
{name: wide, steps: [widen hidden 48→96, widen experts 4→8]}
"""
OWN = "extends: mistral\nfamily: mistral\n"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mixture")
    write_source(folder, "mistral")
    (folder / "own.yaml").write_text(OWN)
    return folder


@pytest.fixture(scope="module")
def trained(here: Path) -> Path:
    """The run of a plan, its family given as `--family FILE`."""
    run(write_plan(here, STAGES), here / "run", family=here / "own.yaml")
    return here / "run"


def plan_of(here: Path, family: bool = False) -> Plan:
    """The plan; with the family as a header of its own."""
    path = write_plan(here, STAGES, "own" if family else "plan")
    if family:
        path.write_text("family: own.yaml\n" + path.read_text())
    return read(path)


def grown(here: Path, stage: str, begin: Path, out: Path, *, header: bool) -> ApplyResult:
    family = None if header else here / "own.yaml"
    return apply(plan_of(here, header), out, stage=stage, begin=begin, family=family, stock=False)


@pytest.mark.parametrize("header", [True, False])
def test_every_stage_is_what_the_run_made_of_it(
    here: Path, trained: Path, header: bool, tmp_path: Path
) -> None:
    made = {"moe": ("01-small", "02-moe"), "deep": ("02-moe", "03-deep"), "wide": ("03-deep", "04-wide")}
    for stage, (before, folder) in made.items():
        out = tmp_path / stage
        result = grown(here, stage, trained / before / "trained", out, header=header)
        weights = (trained / folder / "grown" / "model.safetensors").read_bytes()
        assert (out / "model.safetensors").read_bytes() == weights
        assert result.typed.target.family.name == "mixtral" and not verify(out)


def test_lineage_names_every_stage(here: Path, trained: Path) -> None:
    for directory in (trained / "04-wide" / "grown", trained / "model"):
        assert not verify(directory)
    growth = read_growth(trained / "model")
    assert growth is not None
    text = LogReport("model", growth).human(PLAIN)
    places = [text.index(f"stage {name}") for name in ("wide", "deep", "moe", "small")]
    assert places == sorted(places)
    assert "upcycle ffn to 4 experts" in text
    lines = [json.loads(line) for line in (trained / "history.jsonl").read_text().splitlines()]
    ends = {line["stage"]: line["held_out"] for line in lines if line["kind"] == "end"}
    assert list(ends) == ["small", "moe", "deep"]
    for stage, loss in ends.items():  # each stage has its own numbers below it
        said = text[text.index(f"trained  stage {stage}") :].splitlines()[1]
        assert said.startswith("      2 steps on data.npy, 96 tokens, ") and said.endswith(f"loss {loss:.4g}")
    flops = [line["flops"] for line in lines if line["kind"] == "end"][-1]
    assert f"trained in all: 6 steps, 288 tokens, {numbers.flops(flops)} FLOPs" in text
    for folder in ("02-moe", "03-deep"):  # `family` is that of the dense model
        plan = (read_growth(trained / folder / "grown") or growth).plan
        assert "family" not in plan


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize(("stage", "wrong"), [("moe", "02-moe"), ("deep", "01-small"), ("wide", "02-moe")])
def test_the_model_of_another_stage_is_refused_by_what_differs(
    here: Path, trained: Path, stage: str, wrong: str, header: bool, tmp_path: Path
) -> None:
    with pytest.raises(DiagnosticError) as error:
        grown(here, stage, trained / wrong / "trained", tmp_path / "out", header=header)
    (found,) = error.value.diagnostics
    assert found.code == "GP598" and found.help and not (tmp_path / "out").exists()


def test_what_no_family_describes_keeps_its_own_mistakes(here: Path, trained: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "mamba"}')
    for stage in ("moe", "deep"):
        with pytest.raises(DiagnosticError) as error:
            grown(here, stage, tmp_path, tmp_path / "out", header=False)
        assert error.value.diagnostics[0].code.startswith("GP3")


def test_toys_of_every_stage_run_and_can_be_run_again(here: Path, tmp_path: Path) -> None:
    found = run_toys(plan_of(here), tmp_path / "toys", model_dir=here / "source", family=here / "own.yaml")
    assert list(found.toys) == ["moe", "deep", "wide"]
    for folder in ("02-moe", "03-deep", "04-wide"):
        again = apply(parse_file(tmp_path / "toys" / folder / "plan.grow"), tmp_path / folder, stock=False)
        assert again.typed.target.family.name == "mixtral"


def test_a_loop_grows_by_a_stage_behind_the_upcycling(here: Path, trained: Path) -> None:
    import transformers

    model = transformers.MixtralForCausalLM.from_pretrained(trained / "02-moe" / "trained")
    result = grow(plan_of(here, True), model, stage="deep", stock=False)
    assert result.model.config.num_hidden_layers == 4
    assert (model.config.num_hidden_layers, result.model.config.model_type) == (2, "mixtral")
