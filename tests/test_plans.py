"""Every plan that ships compiles, is what plans/README.md says of it, and runs at toy scale."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from growplan.check.stages import Schedule
from growplan.check.typed import TypedPlan
from growplan.language import parse_file
from growplan.language.plan import Plan
from growplan.methods import method_names
from growplan.pipeline import bind_source, check, check_schedule
from growplan.toy import run_toy, run_toys
from growplan.views.numbers import count

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "plans"
PLANS = sorted(FOLDER.glob("*.grow*"))
EXAMPLES = sorted((ROOT / "examples").glob("*/*.grow*"))
DEEP = {"fpi-smollm2-360m.grow.yaml"}  # depths that share no large divisor
ROW = re.compile(r"^\| \[[^]]+\]\((?P<file>[^)]+)\) \|(?P<rest>.*)\|$", re.MULTILINE)


@dataclass(frozen=True)
class Row:
    """A row of the table: what it says of a plan."""

    methods: str
    source: str
    target: str
    claim: str
    before: str
    after: str


@cache
def rows() -> dict[str, Row]:
    found = {}
    for match in ROW.finditer((FOLDER / "README.md").read_text(encoding="utf-8")):
        methods, sizes, claim, parameters, _ = (cell.strip() for cell in match["rest"].split("|"))
        (source, target), (before, after) = sizes.split(" → ", 1), parameters.split(" → ", 1)
        found[match["file"]] = Row(methods, source, target, claim, before, after)
    return found


def checked(path: Path) -> TypedPlan | Schedule:
    plan = parse_file(str(path))
    return check_schedule(plan) if plan.stages else check(plan)


def growths(found: TypedPlan | Schedule) -> list[TypedPlan]:
    """The growth of a plan, or that of each stage."""
    if isinstance(found, TypedPlan):
        return [found]
    return [stage.typed for stage in found.stages if stage.typed is not None]


def test_the_table_has_every_plan() -> None:
    assert sorted(rows()) == [path.name for path in PLANS]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_plan_is_what_the_table_says(path: Path) -> None:
    typed, row = checked(path), rows()[path.name]
    assert str(typed.claim) == row.claim
    assert (typed.plan.source or "").rpartition("/")[2] == row.source
    costs = (typed.cost_before.parameters, typed.cost_after.parameters)
    assert [count(each) for each in costs] == [row.before, row.after]


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_target_has_the_sizes_of_the_published_config(path: Path) -> None:
    """Where the table names a config as the target, every size of it; else the sizes it names in words."""
    typed, row = checked(path), rows()[path.name]
    published = FOLDER / "configs" / row.target
    if published.is_dir():
        target = bind_source(Plan(), published)[2]
        axes = {
            axis for m in target.modules.values() for expr in (m.ins, m.outs) if expr for axis in expr.axes
        }
        for axis in axes | {"depth"}:
            assert typed.target.sizes[axis] == target.sizes[axis], axis
        assert typed.target.family.name == target.family.name
    else:
        named = {int(number) for number in re.findall(r"\b\d+\b", row.target)}
        assert named
        assert named <= set(typed.target.sizes.values())


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_lints_do_not_drown_a_plan(path: Path) -> None:
    codes = [d.code for d in checked(path).lints]
    assert len(codes) == len(set(codes)) <= 3


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_a_comment_says_what_it_is(path: Path) -> None:
    assert path.read_text(encoding="utf-8").startswith("# ")


def toys() -> list[object]:
    return [
        pytest.param(path, id=path.name, marks=[pytest.mark.full] * (path.name in DEEP)) for path in PLANS
    ]


@pytest.mark.parametrize("path", toys())
def test_toy_of_every_plan(path: Path) -> None:
    """Every plan runs on a random source of its own family, with every assertion of `apply`."""
    plan = parse_file(str(path))
    for result in run_toys(plan).toys.values() if plan.stages else [run_toy(plan)]:
        assert str(result.toy.claim) == str(result.full.claim)
        for step, measured in result.applied.steps:
            if step.proof.claim.strength == "exact":
                assert measured.relative < 1e-9, step.text


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_parses(path: Path) -> None:
    plan = parse_file(str(path))
    assert plan.every_step or [plan.training(stage) for stage in plan.stages]


def test_every_method_has_a_plan() -> None:
    used = {step.method for path in PLANS for typed in growths(checked(path)) for step in typed.steps}
    assert set(method_names()) <= used


def test_every_config_is_used() -> None:
    used = {name for row in rows().values() for name in (row.source, row.target)}
    assert {path.name for path in (FOLDER / "configs").iterdir()} <= used
