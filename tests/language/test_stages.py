"""Stages: both spellings, what a training begins with, parents, `--set`, hashes."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import Plan, Train, canonical, parse_file, parse_text, plan_hash, step_text

YAML = """\
growplan: 1
source: ./model
train: {on: corpus.txt, lr: 1e-3, batch: 16, tokens: 64}
stages:
  - {name: small, train: {steps: 300}}
  - name: wide
    steps: [mask-in ffn x2 over 100 steps, widen heads to 16]
  - name: deep
    steps:
      - stack depth x2
    train-only: new-layers
    freeze: [layers 0:2, "*.bias"]
    train: {for: 20k steps, lr: 5e-4}
  - {name: all, train: {for: 2.5M tokens}}
"""
DSL = """\
source ./model
train on corpus.txt, lr 1e-3, batch 16, tokens 64
stage small; train for 300 steps
stage wide
mask-in ffn x2 over 100 steps
widen heads to 16
stage deep
stack depth x2
freeze layers 0:2, *.bias
train-only new-layers
train lr 5e-4, for 20k steps
stage all; train for 2.5M tokens
"""


def in_stages(plan: Plan) -> list[list[str]]:
    """The steps of each stage, behind its name."""
    return [[s.name, *(step_text(step, label=True) for step in s.steps)] for s in plan.stages]


def trainings(plan: Plan) -> list[Train | None]:
    return [plan.training(stage) for stage in plan.stages]


def refused(text: str, syntax: str = "yaml", *settings: str) -> list[str]:
    with pytest.raises(DiagnosticError) as caught:
        parse_text(text, "p", syntax, settings)
    assert all(d.help for d in caught.value.diagnostics)
    return [f"{d.span} {d.code}" for d in caught.value.diagnostics]


def test_both_spellings_are_one_plan() -> None:
    yaml, dsl = parse_text(YAML), parse_text(DSL, syntax="dsl")
    assert yaml == dsl and plan_hash(yaml) == plan_hash(dsl)
    assert in_stages(yaml) == [
        ["small"],
        ["wide", "mask-in-ffn: mask-in ffn x2 over 100 steps", "widen-heads: widen heads to 16"],
        ["deep", "stack-depth: stack depth x2"],
        ["all"],
    ]
    assert [(s.freeze, s.train_only) for s in yaml.stages] == [
        ((), ()),
        ((), ()),
        (("layers 0:2", "*.bias"), ("new-layers",)),
        ((), ()),
    ]
    assert yaml.steps == () and len(yaml.every_step) == 3


def test_a_training_begins_with_that_of_the_plan() -> None:
    plan = parse_text(YAML)
    common = {"lr": 1e-3, "batch": 16, "tokens": 64}
    assert trainings(plan) == [
        Train(on="corpus.txt", steps=300, options=common),
        None,
        Train(on="corpus.txt", steps=20_000, options=common | {"lr": 5e-4}),
        Train(on="corpus.txt", tokens=2_500_000, options=common),
    ]
    deep = plan.training(plan.stages[2])
    assert deep is not None
    places = [str(deep.place(part)) for part in ("on", "lr", "for", "batch")]
    assert places == ["<text>:3:13", "<text>:13:33", "<text>:13:18", "<text>:3:42"]


def test_the_length_of_the_plan_is_that_of_every_stage_that_says_no_other() -> None:
    plan = parse_text(
        "train: {for: 5 steps, on: c}\n"
        "stages: [{name: a}, {name: b, train: {}}, {name: c, train: {for: 7 tokens}}]"
    )
    assert [(t.steps, t.tokens) for t in trainings(plan) if t] == [(5, None), (5, None), (None, 7)]


@pytest.mark.parametrize(
    ("length", "steps", "tokens"),
    [
        ("1 steps", 1, None),
        ("20k steps", 20_000, None),
        ("1.5K steps", 1500, None),
        ("245.37B tokens", None, 245_370_000_000),
        ("0.5G tokens", None, 500_000_000),
        ("9007199254740992 tokens", None, 2**53),
    ],
)
def test_lengths(length: str, steps: int | None, tokens: int | None) -> None:
    from_yaml = parse_text(f"stages: [{{name: a, train: {{for: {length}}}}}]")
    from_dsl = parse_text(f"stage a; train for {length}", syntax="dsl")
    assert from_yaml == from_dsl
    train = from_yaml.stages[0].train
    assert train is not None and (train.steps, train.tokens) == (steps, tokens)
    assert parse_text(canonical(from_yaml), syntax="dsl") == from_yaml


def test_words_that_a_file_of_stages_shares_with_steps() -> None:
    """`train`, `on`, `for` are words only where a statement has room for them."""
    plan = parse_text(
        "train on train, note for, for 3 steps; stage mask-; widen train x2, stage for; stage for; train",
        syntax="dsl",
    )
    assert plan.train == Train(on="train", steps=3, options={"note": "for"})
    assert in_stages(plan) == [["mask-", "widen-train: widen train x2, stage for"], ["for"]]


# names ---------------------------------------------------------------------------------------------------


def test_ids_are_counted_over_all_stages_and_keep_clear_of_their_names() -> None:
    plan = parse_text("stage a; widen b; stage widen-c; widen b; widen c", syntax="dsl")
    assert in_stages(plan) == [
        ["a", "widen-b: widen b"],
        ["widen-c", "widen-b-2: widen b", "widen-c-2: widen c"],
    ]


# parents -------------------------------------------------------------------------------------------------


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_stage_takes_the_place_of_its_parents_and_the_keys_of_train_are_joined(tmp_path: Path) -> None:
    write(tmp_path, "base/p.grow.yaml", YAML)
    child = write(
        tmp_path,
        "child.grow",
        "extends base/p.grow.yaml\ntrain lr 3e-4, for 50 steps\nstage more; train\n"
        "stage wide; widen heads to 20; train on own.txt",
    )
    plan = parse_file(child)
    assert in_stages(plan) == [
        ["small"],
        ["wide", "widen-heads: widen heads to 20"],
        ["deep", "stack-depth: stack depth x2"],
        ["all"],
        ["more"],
    ]
    assert plan.source == "base/model"
    common = {"lr": 3e-4, "batch": 16, "tokens": 64}
    assert plan.train == Train(on="base/corpus.txt", steps=50, options=common)
    wide, deep = plan.training(plan.stages[1]), plan.training(plan.stages[2])
    assert wide == Train(on="own.txt", steps=50, options=common)
    assert deep == Train(on="base/corpus.txt", steps=20_000, options=common | {"lr": 5e-4})


def test_steps_do_not_mix_with_the_stages_of_a_parent(tmp_path: Path) -> None:
    write(tmp_path, "a.grow.yaml", YAML)
    child = write(tmp_path, "b.grow", "extends a.grow.yaml\nwiden vocab x2")
    with pytest.raises(DiagnosticError) as caught:
        parse_file(child)
    assert [(str(d.span), d.code) for d in caught.value.diagnostics] == [(f"{child}:2:1", "GP043")]


def test_a_step_of_a_child_may_not_have_the_id_of_one_that_stays(tmp_path: Path) -> None:
    write(tmp_path, "a.grow", "stage a; w: widen b; stage c; x: widen d")
    child = write(tmp_path, "b.grow", "extends a.grow\nstage a; v: widen b\nstage e; x: widen d")
    with pytest.raises(DiagnosticError) as caught:
        parse_file(child)
    assert [(str(d.span), d.code) for d in caught.value.diagnostics] == [(f"{child}:3:10", "GP031")]


# --set ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "stage", "expected"),
    [
        ("deep.lr=1e-4", 2, Train(on="corpus.txt", steps=20_000, options={"lr": 1e-4})),
        ("deep.steps=100", 2, Train(on="corpus.txt", steps=100, options={"lr": 5e-4})),
        ("deep.for=2M tokens", 2, Train(on="corpus.txt", tokens=2_000_000, options={"lr": 5e-4})),
        ("deep.data=own.txt", 2, Train(on="own.txt", steps=20_000, options={"lr": 5e-4})),
        ("train.lr=1", 0, Train(on="corpus.txt", steps=300, options={"lr": 1})),
        ("train.lr=1", 2, Train(on="corpus.txt", steps=20_000, options={"lr": 5e-4})),
        ("train.for=9 steps", 1, Train(on="corpus.txt", steps=9, options={"lr": 1e-3})),
        ("wide.steps=7", 1, Train(on="corpus.txt", steps=7, options={"lr": 1e-3})),
    ],
)
def test_set_changes_a_training(setting: str, stage: int, expected: Train) -> None:
    for text, syntax in ((YAML, "yaml"), (DSL, "dsl")):
        plan = parse_text(text, syntax=syntax, overrides=[setting])
        found = plan.training(plan.stages[stage])
        assert found is not None
        kept = {key: value for key, value in found.options.items() if key == "lr"}
        assert found.model_copy(update={"options": kept}) == expected


def test_set_reaches_steps_and_parts() -> None:
    settings = ["widen-heads.to=20", "mask-in-ffn.over=7", "deep.train-only=top 3, head", "small.freeze=head"]
    plan = parse_text(YAML, overrides=settings)
    assert [step_text(step) for step in plan.every_step] == [
        "mask-in ffn x2 over 7 steps",
        "widen heads to 20",
        "stack depth x2",
    ]
    assert plan.stages[2].train_only == ("top 3", "head") and plan.stages[0].freeze == ("head",)


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("dep.lr=3", "--set:1:1 GP037"),
        ("trian.lr=3", "--set:1:1 GP037"),
        ("train=3", "--set:1:1 GP037"),
        ("deep.name=x", "--set:1:6 GP037"),
        ("deep.train=x", "--set:1:6 GP037"),
        ("deep.3a=x", "--set:1:6 GP037"),
        ("deep.steps=many", "--set:1:12 GP045"),
        ('deep.steps="3"', "--set:1:12 GP024"),
        ("deep.tokens=2M", "--set:1:13 GP045"),
        ("deep.freeze=heda", "--set:1:13 GP047"),
        ("deep.lr=off", "--set:1:9 GP009"),
        ("train.freeze=head", "--set:1:7 GP044"),
    ],
)
def test_set_that_makes_no_sense(setting: str, expected: str) -> None:
    assert refused(YAML, "yaml", setting) == [expected]
    assert refused(DSL, "dsl", setting) == [expected]


def test_there_is_no_train_to_set_in_a_plan_of_steps() -> None:
    assert refused("steps: [widen a]", "yaml", "train.lr=3") == ["--set:1:1 GP037"]


# hashes --------------------------------------------------------------------------------------------------


def test_plans_that_mean_the_same_have_one_hash() -> None:
    spelled_out = """\
stages:
- {name: a, train: {on: c, lr: 0.001, steps: 2k}}
- {name: b, steps: [{widen: ffn, from: 8, to: 16, id: widen-ffn}], train: {lr: 2, for: 2000 steps, data: c}}
"""
    shared = "train on c for 2000 steps, lr 1e-3\nstage a\nstage b; widen ffn to 16\ntrain lr 2"
    one, other = parse_text(spelled_out), parse_text(shared, syntax="dsl")
    assert one != other and plan_hash(one) == plan_hash(other)


def test_the_order_of_parts_says_nothing() -> None:
    text = "stage a; train for 3 steps; freeze {}"
    one, other = (
        parse_text(text.format(parts), syntax="dsl") for parts in ("head, top 3", "top 3, head, head")
    )
    assert one.stages[0].freeze != other.stages[0].freeze and plan_hash(one) == plan_hash(other)


@pytest.mark.parametrize(
    "setting",
    [
        "small.steps=301",
        "small.for=300 tokens",
        "small.on=other.txt",
        "small.lr=1",
        "small.freeze=head",
        "deep.train-only=head",
        "widen-heads.to=20",
        "train.batch=4",
        "wide.steps=3",
    ],
)
def test_the_hash_knows_every_part_of_a_stage(setting: str) -> None:
    assert plan_hash(parse_text(YAML)) != plan_hash(parse_text(YAML, overrides=[setting]))


def test_the_hash_knows_names_and_order() -> None:
    renamed = YAML.replace("name: small", "name: first")
    moved = "stage b; widen ffn; stage a; widen heads"
    assert plan_hash(parse_text(YAML)) != plan_hash(parse_text(renamed))
    assert plan_hash(parse_text(moved, syntax="dsl")) != plan_hash(
        parse_text("stage a; widen heads; stage b; widen ffn", syntax="dsl")
    )


# several mistakes ----------------------------------------------------------------------------------------


def test_every_stage_with_a_mistake_is_reported() -> None:
    text = """\
train: {on: off}
stages:
- {name: a, train: {for: 300}}
- {name: b, steps: [widn c], freeze: head}
- {name: a, steps: [widen c x1]}
- {train: {steps: 3}}
- {name: d, train: {steps: 3}, train-only: [head, topp 3]}
"""
    assert refused(text) == [
        "p:1:13 GP009",
        "p:3:26 GP045",
        "p:4:21 GP021",
        "p:5:10 GP031",
        "p:5:30 GP023",
        "p:6:4 GP044",
        "p:7:51 GP047",
    ]
    dsl = "stage a; train for 300\nstage\nfreeze heda\nstage a; widen c x1\nstage b; widn c; freeze head"
    assert refused(dsl, "dsl") == [
        "p:1:23 GP020",
        "p:2:6 GP020",
        "p:3:8 GP047",
        "p:4:7 GP031",
        "p:4:19 GP023",
        "p:5:10 GP021",
    ]


def test_what_could_be_read_of_a_broken_plan_is_kept() -> None:
    with pytest.raises(DiagnosticError) as caught:
        parse_text("stage a; widn b; widen c; train for 3 steps\nstage d; train for x", "p", "dsl")
    plan = caught.value.partial
    assert isinstance(plan, Plan)
    assert in_stages(plan) == [["a", "widen-c: widen c"], ["d"]]
