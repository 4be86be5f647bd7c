"""The rules of moments for every plan that ships: complete, of the right shapes, resets with a reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.check.masks import as_trained
from growplan.ir.lower import lower
from growplan.ir.moment_rules import MomentRules, moment_rules
from growplan.language import parse_file
from growplan.language.plan import Plan
from growplan.pipeline import check_schedule, rules_of_moments

PLANS = sorted(path for path in Path("plans").glob("*.grow*") if path.suffix in (".yaml", ".grow"))


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_every_tensor_of_a_plan_has_a_rule(path: Path) -> None:
    plan = parse_file(path, ())
    for rules in _rules(plan):
        _holds(rules)


def _rules(plan: Plan) -> list[MomentRules]:
    """Of a plan, or of the growth of each of its stages."""
    if not plan.stages:
        return [rules_of_moments(plan)]
    grown = [stage.typed for stage in check_schedule(plan).stages if stage.typed is not None]
    return [moment_rules(lower(typed, {}), typed) for typed in map(as_trained, grown)]


def _holds(rules: MomentRules) -> None:
    shapes = {name: rules.target.shape(param) for name, param, _ in rules.target.tensors()}
    sources = {name: rules.source.shape(param) for name, param, _ in rules.source.tensors()}
    assert set(rules.tensors) == set(shapes)
    for name, moved in rules.tensors.items():
        if moved.source is None:
            assert moved.why, name
            continue
        old = sources[moved.source]
        assert tuple(axis.size for axis in moved.axes) == shapes[name], name
        for axis, size in zip(moved.axes, old, strict=True):
            assert all(p.start >= 0 and p.start + p.count <= size for p in axis.parts if p.kind == "copy")
            assert any(p.kind == "copy" for p in axis.parts)
