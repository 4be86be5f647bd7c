"""The JSON Schema (draft-07) of YAML plans, from the pydantic models and the vocabulary.

`python -m growplan.language.schema` writes grammar/plan.schema.json.
"""

from __future__ import annotations

import json
from typing import Any

from growplan.language.plan import Plan, Step
from growplan.language.words import AXES, EXPECTS, PARTS

Json = dict[str, Any]
REFERENCE: Json = {"type": "string", "pattern": r"^\$\{[A-Za-z_][\w-]*\}$"}
WORD: Json = {"type": ["string", "number", "boolean"]}
AXIS: Json = {"type": "string", "examples": list(AXES)}
NAME: Json = {"type": "string", "pattern": r"^[A-Za-z_][\w-]*$"}
LENGTH = r"^\s*(\d+(\.\d+)?[kKMGB]?\s+(steps|tokens)\s*$|.*\$\{)"
COUNT: Json = {"type": "string", "pattern": r"^\d+(\.\d+)?[kKMGB]$"}
ALSO_REQUIRED = {"upcycle": ["experts"], "grow": ["via"]}
PROSE = {
    "growplan": "Version of the plan language.",
    "source": "The model to grow: a Hugging Face directory with safetensors, relative to this file.",
    "target": "Where the grown model goes, relative to this file; `--out` overrides.",
    "seed": "Seed of everything that is drawn.",
    "family": "A family file of your own, relative to this file.",
    "extends": "A plan whose keys and steps come first, relative to this file.",
    "vars": "Values for `${name}`.",
    "steps": "What to grow, in order.",
    "stages": "Sizes of the model one after the other, each with its steps and its training.",
    "train": "What the training of every stage begins with.",
    "name": "The stage's name, for `--stage`, `--set NAME.KEY=VALUE` and `growplan diff`.",
    "steps of a stage": "What to grow before it is trained, in order.",
    "train of a stage": "How long and how it is trained; `{}` for what the plan's own `train` says.",
    "freeze": "Parts of the model that are not trained.",
    "train-only": "Parts of the model that are trained, and no others.",
    "for": "How long: `300 steps`, `20k steps`, `2.5M tokens`.",
    "steps of train": "How many steps; short for `for: N steps`.",
    "on of train": "Training data.",
    "via": "The growth method.",
    "id": "The step's name, for `--set ID.KEY=VALUE` and `growplan diff`.",
    "expect": "The claim that the checker must prove.",
    "over": "Steps of the mask's ramp.",
    "on": "Training data of a learned operator.",
    "steps of grow": "Fitting steps of a learned operator.",
    "to": "The new size.",
    "from": "The size in the source, checked.",
    "by": "The factor.",
}


def whole(least: int, **more: Any) -> Json:
    """A whole number, or a variable that holds one."""
    return {"anyOf": [{"type": "integer", "minimum": least}, REFERENCE], **more}


def plan_schema() -> Json:
    """The schema of a whole plan. Fields come from `Plan`; a new one appears by itself."""
    fields = Plan.model_json_schema()["properties"]
    own = {
        name: _described(name, value)
        for name, value in fields.items()
        if name not in ("steps", "stages", "train", "extra", "seed")
    }
    properties = {
        **own,
        "seed": whole(0, description=PROSE["seed"], default=fields["seed"]["default"]),
        "extends": {"type": "string", "description": PROSE["extends"]},
        "vars": {
            "type": "object",
            "description": PROSE["vars"],
            "propertyNames": NAME,
            "additionalProperties": WORD,
        },
        "steps": _list("step", description=PROSE["steps"]),
        "train": _train(PROSE["train"]),
        "stages": _list("stage", description=PROSE["stages"]),
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "growplan plan",
        "type": "object",
        "properties": properties,
        "patternProperties": {"^x-": {}},
        "additionalProperties": False,
        "not": {"required": ["steps", "stages"]},
        "definitions": {"step": _step(), "stage": _stage(), **_mappings()},
    }


def _list(item: str, **more: Any) -> Json:
    return {"type": "array", "items": {"$ref": f"#/definitions/{item}"}, **more}


def _stage() -> Json:
    part = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    properties = {
        "name": {**NAME, "description": PROSE["name"]},
        "steps": _list("step", description=PROSE["steps of a stage"]),
        "train": _train(PROSE["train of a stage"]),
        **{key: {"description": PROSE[key], **part} for key in PARTS},
    }
    return {
        "type": "object",
        "required": ["name"],
        "properties": properties,
        "additionalProperties": False,
    }


def _train(description: str) -> Json:
    data = {"type": "string", "description": PROSE["on of train"]}
    either = [{"required": ["on", "data"]}, {"required": ["for", "steps"]}]
    return {
        "type": "object",
        "description": description,
        "properties": {
            "on": data,
            "data": data,
            "for": {"type": "string", "description": PROSE["for"], "pattern": LENGTH},
            "steps": {"anyOf": [*whole(1)["anyOf"], COUNT], "description": PROSE["steps of train"]},
        },
        "additionalProperties": WORD,
        "not": {"anyOf": either},
    }


def _described(name: str, value: Json) -> Json:
    """A field of the model, without pydantic's titles and without the null of an absent key."""
    kept = {key: inner for key, inner in value.items() if key not in ("title", "default", "anyOf")}
    if "anyOf" in value:
        (kept_type,) = [choice for choice in value["anyOf"] if choice != {"type": "null"}]
        kept |= kept_type
    return {"description": PROSE[name], **kept} if name in PROSE else kept


def _verbs() -> list[str]:
    return list(Step.model_json_schema()["properties"]["verb"]["enum"])


def _step() -> Json:
    verbs = _verbs()
    line = {
        "type": "string",
        "description": "A step as a line: `widen hidden 384→768 via fpi, expect exact`.",
        "pattern": r"^\s*([A-Za-z_][\w-]*\s*:\s+)?(" + "|".join(verbs) + r")\s",
    }
    named = {
        "type": "object",
        "description": "`name: widen hidden x2`: a line with the step's name.",
        "minProperties": 1,
        "maxProperties": 1,
        "propertyNames": {**NAME, "not": {"enum": verbs}},
        "additionalProperties": {"type": "string", "pattern": "^(" + "|".join(verbs) + r")\s"},
    }
    mappings = [{"$ref": f"#/definitions/{verb}"} for verb in verbs]
    return {"anyOf": [line, named, *mappings]}


def _mappings() -> dict[str, Json]:
    return {verb: _mapping(verb) for verb in _verbs()}


def _mapping(verb: str) -> Json:
    """The mapping form of one verb: its own keys, the common ones, and a method's options."""
    properties: Json = {
        verb: {"description": f"The axis to {verb}.", **AXIS},
        "via": {"type": "string", "description": PROSE["via"]},
        "id": {**NAME, "description": PROSE["id"]},
        "expect": {"enum": list(EXPECTS), "description": PROSE["expect"]},
    }
    if verb == "grow":
        size = {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string"}]}
        properties[verb] = {
            "type": "object",
            "description": "Axes and their new sizes.",
            "minProperties": 1,
            "additionalProperties": size,
        }
        data = {"type": "string", "description": PROSE["on"]}
        properties |= {"data": data, "on": data, "steps": whole(1, description=PROSE["steps of grow"])}
    elif verb == "upcycle":
        properties |= {verb: {"const": "ffn"}, "experts": whole(1)}
    else:
        properties |= {
            "from": whole(1, description=PROSE["from"]),
            "to": whole(1, description=PROSE["to"]),
            "by": whole(2, description=PROSE["by"]),
        }
    if verb == "mask-in":
        properties["over"] = whole(1, description=PROSE["over"])
    rule: Json = {
        "type": "object",
        "required": [verb, *ALSO_REQUIRED.get(verb, ())],
        "properties": properties,
        "additionalProperties": WORD,
    }
    others = [{"required": [other]} for other in _verbs() if other != verb]
    forbidden = [{"required": ["to", "by"]}] if "by" in properties else []
    forbidden += [{"required": ["on", "data"]}] if verb == "grow" else []
    forbidden += [{"required": ["over"]}] if verb != "mask-in" else []
    return {**rule, "not": {"anyOf": others + forbidden}}


def schema_text() -> str:
    """The schema as it is checked in."""
    return json.dumps(plan_schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    from growplan.language.build_grammar import grammar_path

    grammar_path().with_name("plan.schema.json").write_text(schema_text(), encoding="utf-8")
