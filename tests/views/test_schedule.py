"""The schedule of a plan with stages, as `growplan check` prints it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from growplan.language.plan import Plan, Stage, Train
from growplan.pipeline import check_schedule, schedule_moments
from growplan.views.checks import ChecksReport
from growplan.views.schedule import ScheduleReport
from growplan.views.style import PLAIN
from tests.check.test_stages import steps
from tests.cli.made import run
from tests.conftest import Golden

PLANS = Path(__file__).parents[2] / "plans"


def schedule(here: Path) -> ScheduleReport:
    """An MSG stage, an MSLT stage, bert2BERT's sub-models, a growth alone."""
    Path("corpus.txt").write_text("a text of some words, " * 400)
    stages = (
        Stage(name="small", train=Train(steps=10)),
        Stage(
            name="wide",
            steps=steps("mask-in hidden to 96 over 20 steps; mask-in heads over 10 steps, delay 20", "wide"),
            train=Train(tokens=25_000, options={"lr": 1e-4}),
        ),
        Stage(
            name="deep",
            steps=steps("stack depth x2 via mslt", "deep"),
            train=Train(steps=40),
            train_only=("new-layers", "head"),
        ),
        Stage(name="prefixes", train=Train(steps=10, options={"sub-models": 2})),
        Stage(name="ffn", steps=steps("widen ffn x2 via fpi", "ffn")),
    )
    options = {"batch": 16, "tokens": 16, "tied": "freeze"}
    plan = Plan(source="gpt2", target="grown", train=Train(on="corpus.txt", options=options), stages=stages)
    found = check_schedule(plan, model_dir=here / "gpt2", family="gpt2")
    return ScheduleReport(found, "p.grow.yaml", moments=schedule_moments(found))


def test_the_schedule_as_text(here: Path, golden: Golden) -> None:
    golden(schedule(here).human(PLAIN))


def test_the_schedule_as_data(here: Path) -> None:
    report = schedule(here)
    data, found = report.data(), report.schedule
    assert [each["name"] for each in data["stages"]] == ["small", "wide", "deep", "prefixes", "ffn"]
    assert sum(each["cost"]["flops"] for each in data["stages"]) == data["flops"] == found.flops
    assert data["flops_from_scratch"] == 3 * data["cost"]["after"]["flops_per_token"] * data["tokens"]
    assert data["stages"][1]["train"]["recipe"]["steps"] == -(-25_000 // 256)
    assert [len(each["optimizer"]) for each in data["stages"]] == [0, 2, 1, 0, 1]


def test_a_schedule_beside_other_plans_is_a_line(here: Path) -> None:
    text = ChecksReport({"p.grow.yaml": schedule(here)}).human(PLAIN)
    assert "exact" not in text and "5 stages" in text


STAGED = ("mslt-bert-base", "stackbert-bert-base", "msg-bert-base", "msg-flm-101b")


@pytest.mark.parametrize("name", STAGED)
def test_the_schedules_that_ship(name: str, monkeypatch: pytest.MonkeyPatch, golden: Golden) -> None:
    monkeypatch.chdir(PLANS)
    golden(run("check", f"{name}.grow.yaml").stdout)


def test_each_stage_says_what_becomes_of_moments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PLANS)
    arguments = ("check", "msg-bert-base.grow.yaml", "--optimizer")
    text, data = run(*arguments).stdout, json.loads(run(*arguments, "--json").stdout)
    assert text.count("    adam   ") == sum(len(s["optimizer"]) for s in data["stages"]) == 5
