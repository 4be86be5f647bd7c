"""`--set ID.to=1024`, `--set STAGE.lr=1e-3`, `--set vars.width=768`: changes to a parsed plan."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from growplan.diagnostics import Source
from growplan.language.draft import (
    Entry,
    FileDraft,
    GrowthDraft,
    PartsDraft,
    StageDraft,
    StepDraft,
    TrainDraft,
)
from growplan.language.errors import Errors
from growplan.language.stages import enter_setting, split_parts
from growplan.language.words import PARTS, Text, Word, did_you_mean
from growplan.language.yamlsteps import IDENTIFIER, size_parts

NAME = "--set"
SETTABLE = ("source", "target", "seed", "family")
FORM = re.compile(r"\s*(?:(?P<owner>[^.=\s]+)\.)?(?P<key>[^.=\s]+)\s*=\s*(?P<value>.*?)\s*", re.DOTALL)


@dataclass(frozen=True)
class Override:
    """OWNER.KEY=VALUE; the owner is a step's id, a stage's name, `train`, `vars`, or empty for the plan."""

    owner: Word
    key: Word
    value: Word
    text: Text  # of the value


def parse_overrides(texts: Sequence[str], errors: Errors) -> list[Override]:
    """Read every `--set`. Those that make no sense on any plan are reported."""
    return [override for text in texts if (override := _parse(text, errors)) is not None]


def _parse(text: str, errors: Errors) -> Override | None:
    whole = Text(text, Source(NAME, text))
    form = FORM.fullmatch(text)
    if form is None or not form["value"] or "\n" in text:
        help = "write `--set ID.to=1024`, `--set seed=3` or `--set vars.NAME=VALUE`"
        errors.add("GP036", f"`{text}` is not KEY=VALUE", whole.span(0, len(text)), help=help)
        return None
    owner, key = (
        Word(form[g] or "", whole.span(*form.span(g if form[g] else "key"))) for g in ("owner", "key")
    )
    raw = form["value"]
    quoted = len(raw) >= 2 and raw[0] == raw[-1] == '"'
    value = Word(raw[1:-1] if quoted else raw, whole.span(*form.span("value")), quoted)
    if not owner.text and key.text not in SETTABLE:
        known = "settable: " + ", ".join(SETTABLE) + ", vars.NAME, train.KEY, ID.KEY, STAGE.KEY"
        message = f"`{key.text}` is not a key that can be set"
        errors.add("GP037", message, key.span, help=did_you_mean(key.text, SETTABLE, known))
        return None
    text_of_value = Text(raw, whole.source, form.start("value"))
    return Override(owner, key, value, text_of_value)


def set_variables(values: dict[str, Word], overrides: Sequence[Override], errors: Errors) -> None:
    """Apply `--set vars.NAME=VALUE`; the variable must exist."""
    for override in overrides:
        if override.owner.text != "vars":
            continue
        if override.key.text not in values:
            help = did_you_mean(
                override.key.text, list(values), "the plan has no such variable under `vars:`"
            )
            errors.add("GP033", f"no variable `{override.key.text}`", override.key.span, help=help)
        else:
            values[override.key.text] = override.value


def set_headers(headers: dict[str, Entry], overrides: Sequence[Override]) -> None:
    """Apply `--set seed=3` and its like."""
    for override in overrides:
        if not override.owner.text:
            headers[override.key.text] = Entry(override.key, override.value)


def set_steps(plan: FileDraft, overrides: Sequence[Override], errors: Errors) -> None:
    """Apply `--set ID.KEY=VALUE` to the steps of a plan, its stages, and their training."""
    steps = {step.name: step for step in plan.every_step}
    stages = {stage.name.text: stage for stage in plan.stages}
    for override in overrides:
        owner = override.owner.text
        if owner in ("", "vars"):
            continue
        if owner in steps:
            _set(steps[owner], override, errors)
        elif owner in stages:
            _set_stage(stages[owner], override, errors)
        elif owner == "train" and plan.stages:
            plan.train = plan.train or TrainDraft(override.owner, override.owner.span)
            _set_training(plan.train, override, errors)
        else:
            known = [*stages, *(["train"] if stages else []), *steps]
            what = "step or stage" if stages else "step"
            otherwise = f"its {'stages and steps' if stages else 'steps'}: " + ", ".join(known)
            help = did_you_mean(owner, known, otherwise if known else "it has no steps")
            errors.add("GP037", f"the plan has no {what} `{owner}`", override.owner.span, help=help)


def _set_stage(stage: StageDraft, override: Override, errors: Errors) -> None:
    """Set what a stage trains, or an option of its training."""
    key, name = override.key, stage.name.text
    if key.text in ("name", "train", "stages"):
        message = f"`{key.text}` of a stage cannot be set"
        help = f"set an option of its training: `--set {name}.lr=1e-3`, `--set {name}.steps=300`"
        errors.add("GP037", message, key.span, help=help)
    elif key.text in PARTS:
        stage.parts[key.text] = PartsDraft(key, split_parts(override.text))
    else:
        stage.train = stage.train or TrainDraft(key, key.span)
        _set_training(stage.train, override, errors)


def _set_training(train: TrainDraft, override: Override, errors: Errors) -> None:
    """Set an option, the data or the length (`steps=300`, `for=2M tokens`) of a training."""
    if not IDENTIFIER.fullmatch(override.key.text):
        message = f"`{override.key.text}` is no name for an option"
        errors.add("GP037", message, override.key.span, help="such as `lr`, `steps`, `for` or `batch`")
        return
    new = TrainDraft(train.key, train.span)
    enter_setting(new, override.key, override.value, errors)
    train.entries.update(new.entries)


def _set(step: StepDraft, override: Override, errors: Errors) -> None:
    key = override.key.text
    growth = _growth(step, key)
    if growth is not None:
        _resize(growth, override, errors)
    elif key in ("to", "by", "from"):
        help = "name the axis: " + ", ".join(f"{step.name}.{g.axis.text}" for g in step.growths)
        errors.add("GP037", f"`{step.name}` has several sizes", override.key.span, help=help)
    elif key == "id" or not IDENTIFIER.fullmatch(key):
        errors.add(
            "GP037", f"`{key}` of a step cannot be set", override.key.span, help="edit the plan instead"
        )
    else:
        name = "on" if key == "data" and step.verb.text == "grow" else key
        step.entries[name] = Entry(override.key, override.value)


def _growth(step: StepDraft, key: str) -> GrowthDraft | None:
    if key in ("to", "by", "from") and len(step.growths) == 1:
        return step.growths[0]
    return next((g for g in step.growths if g.axis.text == key), None)


def _resize(growth: GrowthDraft, override: Override, errors: Errors) -> None:
    if override.key.text == "from":
        growth.source = override.value
    elif override.key.text == "to":
        growth.to, growth.by = override.value, None
    elif override.key.text == "by":
        growth.to, growth.by = None, override.value
    else:
        parts = size_parts(override.text)
        if parts is None:
            errors.add(
                "GP036", f"`{override.value.text}` is not a size", override.value.span, help="write a number"
            )
            return
        source, growth.to, growth.by = parts
        growth.source = source or growth.source
