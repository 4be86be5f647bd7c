"""The JSON Schema is current, accepts the plans that the parser accepts, and refuses its mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from jsonschema import Draft7Validator

from growplan.language import json_schema, parse_text
from growplan.language.plan import Plan, Stage, Step
from growplan.language.schema import schema_text
from growplan.language.words import FIELDS, VERBS
from tests.language import strategies as make

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "grammar" / "plan.schema.json"
VALIDATOR = Draft7Validator(json_schema())
SHIPPED = sorted([*ROOT.glob("plans/*.yaml"), *ROOT.glob("examples/**/*.grow.yaml")])


def test_checked_in_schema_is_current() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run `python -m growplan.language.schema`"
    Draft7Validator.check_schema(json.loads(SCHEMA.read_text(encoding="utf-8")))
    assert json_schema()["$schema"] == "http://json-schema.org/draft-07/schema#"


def test_vocabulary_and_models_agree() -> None:
    properties = json_schema()["properties"]
    assert set(Plan.model_fields) - {"extra"} <= set(properties)
    assert set(json_schema()["definitions"]) == {"step", "stage", *VERBS}
    stage = {name.replace("_", "-") for name in Stage.model_fields}
    assert set(json_schema()["definitions"]["stage"]["properties"]) == stage
    for train in (properties["train"], json_schema()["definitions"]["stage"]["properties"]["train"]):
        assert set(train["properties"]) == {"on", "data", "for", "steps"}
    assert set(Step.model_fields) - {"verb", "growths", "options"} == set(FIELDS)
    assert all("description" in value for value in properties.values())


def accepts(text: str) -> bool:
    return not any(VALIDATOR.iter_errors(yaml.safe_load(text)))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_shipped_plans_validate(path: Path) -> None:
    assert list(VALIDATOR.iter_errors(yaml.safe_load(path.read_text(encoding="utf-8")))) == []


def test_there_are_shipped_plans() -> None:
    assert len(SHIPPED) > 3


GOOD = [
    "{growplan: 1, source: a, target: b, seed: 3, family: f, extends: e, steps: [widen b x2]}",
    "{vars: {a: 1, b: c}, x-y: [1], steps: [widen b x2]}",
    "steps: ['wide: widen hidden 384→768 via fpi', {named: 'stack depth x2'}]",
    "steps: [{widen: hidden, from: 384, to: 768, via: fpi, id: w, expect: exact, split: even, t: true}]",
    "steps: [{stack: depth, by: 2}, {deepen: depth}, {mask-in: heads, over: 5}]",
    "steps: [{grow: {hidden: 1024, depth: x2}, via: ligo, data: c, steps: 3}, {upcycle: ffn, experts: 8}]",
    "{train: {on: c, lr: 1e-3, tokens: 64}, stages: [{name: a, train: {for: 2.5M tokens}}]}",
    "stages: [{name: a, steps: [widen b x2], train: {steps: 3}, freeze: 'top 3, head', train-only: [all]}]",
    "{vars: {n: 5}, stages: [{name: a, steps: [widen b x2]}, {name: c, train: {for: '${n} steps'}}]}",
    "{vars: {n: 5}, seed: '${n}', steps: [{widen: hidden, to: '${n}'}]}",
]
BAD = [
    "steps: [widn hidden x2]",
    "steps: [{widenn: hidden}]",
    "steps: [{widen: hidden, stack: depth}]",
    "steps: [{widen: hidden, to: 5, by: 2}]",
    "steps: [{widen: hidden, to: 0}]",
    "steps: [{widen: hidden, to: '5'}]",
    "steps: [{widen: hidden, by: 1}]",
    "steps: [{widen: hidden, over: 5}]",
    "steps: [{widen: hidden, expect: exakt}]",
    "steps: [{widen: hidden, key: [1]}]",
    "steps: [{grow: hidden}]",
    "steps: [{grow: {}, via: l}]",
    "steps: [{grow: {hidden: 5}}]",
    "steps: [{grow: {hidden: 5}, via: l, 'on': a, data: b}]",
    "steps: [{upcycle: ffn}]",
    "steps: [{upcycle: heads, experts: 2}]",
    "steps: [[widen hidden]]",
    "steps: {widen: hidden}",
    "{growplan: 2, steps: [widen hidden]}",
    "{seed: -1, steps: [widen hidden]}",
    "{sead: 1, steps: [widen hidden]}",
    "{vars: {a: [1]}, steps: [widen hidden]}",
    "{steps: [widen b], stages: [{name: a, steps: [widen b]}]}",
    "stages: {name: a, train: {steps: 3}}",
    "stages: [a]",
    "stages: [{train: {steps: 3}}]",
    "stages: [{name: 3a, train: {steps: 3}}]",
    "stages: [{name: a, steps: [widn b]}]",
    "stages: [{name: a, train: 300}]",
    "stages: [{name: a, train: {steps: 0}}]",
    "stages: [{name: a, train: {for: 300}}]",
    "stages: [{name: a, train: {for: 300 steps, steps: 300}}]",
    "stages: [{name: a, train: {for: 300 steps, lr: [1]}}]",
    "stages: [{name: a, train: {for: 300 steps, 'on': c, data: c}}]",
    "stages: [{name: a, train: {steps: 3}, freeze: []}]",
    "stages: [{name: a, train: {steps: 3}, frieze: head}]",
]


@pytest.mark.parametrize("text", GOOD)
def test_schema_and_parser_accept(text: str, tmp_path: Path) -> None:
    assert accepts(text)
    (tmp_path / "e").write_text("widen ffn")
    parse_text(text, path=str(tmp_path / "plan.yaml"))


@pytest.mark.parametrize("text", BAD)
def test_schema_and_parser_refuse(text: str) -> None:
    assert not accepts(text)
    with pytest.raises(Exception, match="GP0"):
        parse_text(text)


@settings(max_examples=60)
@given(make.plans())
def test_schema_accepts_every_plan(drawn: make.PlanSpec) -> None:
    assert accepts(make.yaml(drawn))


def test_schema_is_plain_json() -> None:
    schema: dict[str, Any] = json_schema()
    assert json.loads(json.dumps(schema)) == schema
