"""The training of a stage: what its plan and it say together, and whether that makes sense."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from growplan.check.learned import as_read
from growplan.check.options import check_value
from growplan.check.training_cost import tokens_of_a_step
from growplan.diagnostics import Diagnostic, Span
from growplan.families.model import Model
from growplan.language.plan import ANY, Plan, Scalar, Stage, Train
from growplan.methods.training import TRAINING, Training, training_of

KNOWN = {option.name: option for option in TRAINING}
ON = "say on what: `on corpus.txt`, a text, token ids, or images"
LENGTH = "say how long: `for 1000 steps`, or `for 2M tokens`"


def place(plan: Plan, stage: Stage, part: str) -> Span | None:
    """Where a part of a stage's training (`on`, an option, `for`: its length) is written."""
    for train in (stage.train, plan.train):
        if train is not None and _says(train, part):
            return _place(train, part)
    written = stage.train or plan.train
    return stage.span if written is None else written.span


def words_of(train: Train) -> Iterator[Diagnostic]:
    """Options that a training does not know, or values that it does not take: GP115, GP116."""
    for key, value in train.options.items():
        if key not in KNOWN:
            ways = f"its options: {', '.join(KNOWN)}"
            yield Diagnostic("GP115", f"`train` has no option `{key}`", train.place(key), help=(ways,))
        else:
            yield from check_value(KNOWN[key], value, train.place(key))


def _fits(key: str, value: Scalar) -> bool:
    return key in KNOWN and not any(check_value(KNOWN[key], value, None))


def in_doubt(plan: Plan, stage: Stage) -> frozenset[str]:
    """What is not known of a stage's training: keys that could not be read, options that are wrong."""
    train = plan.training(stage) or stage.train or plan.train
    if train is None:
        return frozenset()
    return train.unread.union(key for key, value in train.options.items() if not _fits(key, value))


def training(plan: Plan, stage: Stage, model: Model) -> Training | None:
    """The training of a stage; None where it trains by no steps. Options that are wrong are left out.

    A length in tokens is made whole steps of the batch, as the model reads it, rounded up.
    """
    train = plan.training(stage)
    if train is None or not (train.steps or train.tokens):
        return None
    options = {key: value for key, value in train.options.items() if _fits(key, value)}
    found = training_of(options, train.steps or 0, train.on or "")
    if train.tokens is None:
        return found
    steps = -(-train.tokens // tokens_of_a_step(model, found))
    return replace(found, recipe=replace(found.recipe, steps=steps))


def lacking(plan: Plan, stage: Stage) -> Iterator[Diagnostic]:
    """GP595 where a training has no length or no data, GP599 where a stage neither grows nor trains."""
    train, unread = plan.training(stage), in_doubt(plan, stage)
    length = None if train is None else train.steps if train.tokens is None else train.tokens
    if ANY in unread:
        return
    if train is None or length == 0:
        if "for" in unread:
            return
        if not stage.steps:
            ways = ("train it: `train on corpus.txt for 1000 steps`", "or grow something", "or take it out")
            yield Diagnostic("GP599", f"stage `{stage.name}` neither grows nor trains", stage.span, help=ways)
        return
    if length is None and "for" not in unread:
        what = f"stage `{stage.name}` trains, and nothing says how long"
        yield Diagnostic("GP595", what, place(plan, stage, "for"), help=(LENGTH,))
    if train.on is None and "on" not in unread:
        what = f"stage `{stage.name}` trains, and nothing says on what"
        yield Diagnostic("GP595", what, place(plan, stage, "for"), help=(ON,))


def findings(plan: Plan, stage: Stage, model: Model, found: Training) -> Iterator[Diagnostic]:
    """What does not fit (GP593, GP117), and notes: sequences that are cut (GP554), a rate that is never
    reached (GP538).
    """
    recipe, depth = found.recipe, model.depth
    if found.sub_models and (found.sub_models > depth or depth % found.sub_models):
        ways = ", ".join(str(n) for n in range(1, depth + 1) if depth % n == 0)
        where = place(plan, stage, "sub-models")
        what = f"{depth} layers are no whole number of {found.sub_models}"
        yield Diagnostic("GP593", what, where, help=(f"one of {ways}",))
    if found.sub_models and stage.freeze:
        what = "`freeze` says nothing beside `sub-models`: the top layers of a prefix train, and no others"
        help = ("take it out", "name by `train-only` what every sub-model trains too")
        yield Diagnostic("GP117", what, stage.place("freeze"), help=help)
    read = as_read(recipe, model)
    if read != recipe:
        message = f"sequences of {recipe.tokens} tokens are cut to the {read.tokens} that the model reads"
        ways = f"`tokens {read.tokens}` says so"
        yield Diagnostic("GP554", message, place(plan, stage, "tokens"), help=(ways,), severity="note")
    if recipe.warmup >= recipe.steps:
        what = (
            f"the rate of stage `{stage.name}` rises over {recipe.warmup} steps, and it trains {recipe.steps}"
        )
        ways = f"`warmup {recipe.steps // 10}`, or train longer"
        where = place(plan, stage, "warmup")
        yield Diagnostic("GP538", what, where, help=(ways,), severity="warning")


def _says(train: Train, part: str) -> bool:
    if part == "for":
        return train.steps is not None or train.tokens is not None
    return train.on is not None if part == "on" else part in train.options


def _place(train: Train, part: str) -> Span | None:
    there = train.place(part)
    return train.place("steps") if part == "for" and there == train.span else there
