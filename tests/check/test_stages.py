"""Stages: each typed against what the one before leaves, its training judged, its masks gone at its end."""

from __future__ import annotations

from typing import Any

import pytest

from growplan.check.stages import Schedule, check_stages
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language import parse_text
from growplan.language.plan import Plan, Stage, Step, Train
from tests.check.models import model

DATA = Train(on="corpus.txt", options={"batch": 4, "tokens": 8})
SMALL = {"n_embd": 48, "n_head": 6, "n_layer": 2, "vocab_size": 31, "n_positions": 24}


def steps(text: str, id: str = "s") -> tuple[Step, ...]:
    """Steps with ids of their own, so that two stages may say the same."""
    found = parse_text(text, "p.grow", "dsl").steps
    return tuple(step.model_copy(update={"id": f"{id}{i}"}) for i, step in enumerate(found))


def stage(name: str, text: str = "", train: int | None = None, **more: Any) -> Stage:
    growth = steps(text, name) if text else ()
    length = None if train is None else Train(steps=train, options=more.pop("options", {}))
    return Stage(name=name, steps=growth, train=length, **more)


def checked(*stages: Stage, train: Train | None = DATA, **config: Any) -> Schedule:
    return check_stages(Plan(train=train, stages=stages), model("gpt2", **{**SMALL, **config}))


def refused(*stages: Stage, train: Train | None = DATA, **config: Any) -> tuple[Diagnostic, ...]:
    with pytest.raises(DiagnosticError) as error:
        checked(*stages, train=train, **config)
    assert all(d.help for d in error.value.diagnostics)
    return error.value.diagnostics


def test_each_stage_begins_where_the_one_before_ends() -> None:
    found = checked(
        stage("small", train=5), stage("wide", "widen ffn x2", 10), stage("deep", "stack depth x2", 20)
    )
    assert [(s.before.sizes["ffn"], s.after.sizes["ffn"]) for s in found.stages] == [
        (192, 192),
        (192, 384),
        (384, 384),
    ]
    assert [(s.before.depth, s.after.depth) for s in found.stages] == [(2, 2), (2, 2), (2, 4)]
    assert [s.folder for s in found.stages] == ["01-small", "02-wide", "03-deep"]
    assert found.stages[0].typed is None and found["deep"].typed is not None
    assert found.tokens == 35 * 32
    with pytest.raises(KeyError):
        found["none"]


def test_a_size_that_a_stage_does_not_find_is_refused_with_both_sizes() -> None:
    wrong, *others = refused(stage("a", "widen ffn 192→384", 5), stage("b", "widen ffn 192→768", 5))
    assert wrong.code == "GP102" and "192" in wrong.message and "384" in wrong.message and not others


def test_after_a_mistake_later_stages_are_judged_by_what_depends_on_no_size() -> None:
    found = refused(stage("a", "widen ffn to 3", 5), stage("b", "widen ffn via nothing", 5))
    assert [d.code for d in found] == ["GP104", "GP111"]


def test_masks_that_outlast_the_training_are_refused_and_the_ways_out_work() -> None:
    (found,) = refused(stage("a", "mask-in ffn x2 over 30 steps", 20))
    assert found.code == "GP596" and "step 30" in found.message and "20 steps" in found.message
    assert found.help == ("`over 20 steps`", "train it `for 30 steps`")
    assert checked(stage("a", "mask-in ffn x2 over 20 steps", 20))
    assert refused(stage("a", "mask-in ffn x2 over 21 steps", 20))[0].code == "GP596"
    assert checked(stage("a", "mask-in ffn x2 over 30 steps", 30))
    (late,) = refused(stage("a", "mask-in ffn x2 over 15 steps, delay 10", 20))
    assert late.help == ("`over 10 steps`", "train it `for 25 steps`")
    (unsaid,) = refused(stage("a", "mask-in ffn x2", 20))
    assert "5000" in unsaid.message
    (never,) = refused(stage("a", "mask-in ffn x2 over 20 steps"))
    assert "does not train" in never.message


def test_the_next_stage_finds_a_plain_model() -> None:
    ways = {"layers": 2, "size": 96}
    masks = stage("a", f"mask-in hidden to {ways['size']} over 5 steps; mask-in heads to 12 over 5 steps", 5)
    found = checked(masks, stage("b", "widen hidden to 192", 5))
    first, second = found.stages
    assert first.typed is not None and first.typed.target.read_units == 48
    assert second.before.read_units is None and not second.before.bypassed
    assert second.typed is not None and str(second.typed.claim) == "exact"


def test_training_ends_what_copies_share() -> None:
    trained = checked(stage("a", "widen ffn x2 via net2net", 5), stage("b", "widen ffn x2", 5))
    plain = checked(stage("a", "widen ffn x2 via net2net"), stage("b", "widen ffn x2", 5))
    assert not trained["b"].before.twins and "ffn" in plain["b"].before.twins


@pytest.mark.parametrize(
    ("train", "own", "code"),
    [
        (None, Train(steps=5), "GP595"),  # on what
        (DATA, Train(), "GP595"),  # how long
        (DATA, None, "GP599"),
        (None, None, "GP599"),
        (DATA, Train(steps=0), "GP599"),
    ],
)
def test_a_stage_that_says_too_little(train: Train | None, own: Train | None, code: str) -> None:
    (found,) = refused(Stage(name="a", train=own), train=train)
    assert found.code == code


def test_a_length_of_the_plan_is_that_of_each_stage_which_gives_none() -> None:
    plan = Train(on="c.txt", steps=7, options={"batch": 4, "tokens": 8})
    found = checked(Stage(name="a"), Stage(name="b", train=Train(tokens=33)), train=plan)
    assert [s.training.recipe.steps for s in found.stages if s.training] == [7, 2]
    assert [s.cost.tokens for s in found.stages] == [7 * 32, 2 * 32]


def test_a_stage_says_what_differs_from_the_plan() -> None:
    own = Train(steps=3, options={"lr": 5e-4})
    found = checked(
        Stage(name="a", train=own), train=Train(on="c.txt", options={"lr": 1e-2, "batch": 2}, steps=9)
    )
    training = found["a"].training
    assert training is not None and training.on == "c.txt"
    assert (training.recipe.lr, training.recipe.batch, training.recipe.steps) == (5e-4, 2, 3)


def test_options_are_judged_as_those_of_steps_are() -> None:
    base = Train(on="c.txt", options={"lrate": 1})
    found = refused(stage("a", train=5, options={"batch": 0.5, "schedule": "up"}), train=base)
    assert [d.code for d in found] == ["GP115", "GP116", "GP116"]


def test_sequences_longer_than_the_model_reads_are_noted() -> None:
    (note,) = checked(stage("a", train=5, options={"tokens": 99})).lints
    assert (note.code, note.severity) == ("GP554", "note") and "24" in note.message


@pytest.mark.parametrize(("dropout", "noted"), [("model", ["GP912"]), ("none", [])])
def test_dropout_is_noted_where_a_stage_trains_with_it(dropout: str, noted: list[str]) -> None:
    growing = stage("a", "widen ffn x2 via fpi, noise 20", 5, options={"dropout": dropout})
    found = checked(growing, resid_pdrop=0.1)
    notes = [lint for lint in found.lints if lint.code == "GP912"]
    assert [lint.code for lint in notes] == noted
    assert all("`dropout none`" in lint.help[-1] for lint in notes)


def test_a_short_ramp_of_a_stage_is_warned_of() -> None:
    """Once, at the first; and what the help says goes."""
    short = [stage(name, "mask-in ffn x2 over 4 steps", 5) for name in ("a", "b")]
    (lint,) = checked(*short).lints
    assert (lint.code, lint.severity) == ("GP630", "warning") and lint.help[1].startswith(
        "and train the stage"
    )
    assert not checked(stage("a", "mask-in ffn x2 over 1000 steps", 1000)).lints


def test_a_warmup_as_long_as_the_training_is_warned_of() -> None:
    (lint,) = checked(stage("a", train=5, options={"warmup": 5})).lints
    assert (lint.code, lint.severity) == ("GP538", "warning")
    assert not checked(stage("a", train=5, options={"warmup": 4})).lints


def test_sub_models_divide_the_layers() -> None:
    (found,) = refused(stage("a", train=5, options={"sub-models": 3}), n_layer=4)
    assert found.code == "GP593" and found.help == ("one of 1, 2, 4",)


def test_freezing_beside_sub_models_says_nothing() -> None:
    (found,) = refused(stage("a", train=5, options={"sub-models": 1}, freeze=("*.attn.*",)))
    assert found.code == "GP117" and "sub-models" in found.message


MSLT = ("deep", "stack depth x2 via mslt", 5)


def test_new_layers_are_those_of_the_stage() -> None:
    found = checked(stage(*MSLT, train_only=("new-layers",)))
    per_layer = 12 * 48 * 48 + 13 * 48
    assert found["deep"].cost.trained == 2 * per_layer
    (wrong,) = refused(stage(*MSLT), stage("b", train=5, train_only=("new-layers",)))
    assert wrong.code == "GP592"


@pytest.mark.parametrize(
    ("words", "code"),
    [(("top 9",), "GP590"), (("layers 2:2",), "GP590"), (("nothing",), "GP590"), (("head",), "GP591")],
)
def test_words_that_name_nothing_or_half(words: tuple[str, ...], code: str) -> None:
    (found,) = refused(stage("a", train=5, train_only=words))
    assert found.code == code
    (frozen,) = refused(stage("a", train=5, freeze=words))
    assert frozen.code == code


def test_nothing_left_to_train_is_refused() -> None:
    (found,) = refused(stage("a", train=5, train_only=("top 1",), freeze=("all",)))
    assert (found.code, found.part) == ("GP590", "train_only")


def test_a_tied_head_trains_with_the_embedding_or_not() -> None:
    norm = 2 * 48
    with_it = checked(stage("a", train=5, train_only=("head",), options={"tied": "train"}))
    without = checked(stage("a", train=5, train_only=("head",), options={"tied": "freeze"}))
    assert without["a"].cost.trained == norm and with_it["a"].cost.trained == norm + 31 * 48
    frozen = checked(stage("a", train=5, freeze=("embeddings",), options={"tied": "train"}))
    whole = checked(stage("a", train=5))
    assert whole["a"].cost.trained - frozen["a"].cost.trained == 24 * 48


def test_a_pattern_that_no_name_on_disk_matches_is_left_to_the_training() -> None:
    found = checked(stage("a", train=5, train_only=("*.nothing.*",)))
    assert [d.code for d in found.lints] == ["GP539"]
    assert found["a"].cost == checked(stage("a", train=5))["a"].cost


def test_patterns_and_ranges_name_parameters() -> None:
    attention = checked(stage("a", train=5, train_only=("*.attn.*",)))["a"].cost
    assert attention.trained == 2 * (4 * 48 * 48 + 4 * 48)
    assert checked(stage("a", train=5, train_only=("layers 0:1",)))["a"].cost.trained == 12 * 48**2 + 13 * 48


def test_whole_training_costs_three_times_the_forward_pass() -> None:
    found = checked(stage("a", "stack depth x2 via gstack", 5), stage("b", train=10))
    forward = found.cost_after.flops_per_token
    assert [s.cost.flops for s in found.stages] == [3 * 5 * 32 * forward, 3 * 10 * 32 * forward]
    assert found.flops == found.scratch == 3 * 15 * 32 * forward


def test_fits_of_learned_steps_are_charged() -> None:
    grow = "grow ffn x2 via ligo on c.txt for 3 steps, batch 2, tokens 8"
    found = checked(stage("a", grow, 5))
    (step,) = found["a"].typed.steps if found["a"].typed else ()
    assert step.fit_cost is not None and found["a"].cost.fits == step.fit_cost.flops > 0


def test_an_image_has_as_many_tokens_as_the_model_has_positions() -> None:
    source = model("vit")
    found = check_stages(
        Plan(train=Train(on="images", options={"batch": 4}), stages=(stage("a", train=3),)), source
    )
    assert found.tokens == 3 * 4 * 197


def test_the_epsilon_of_a_stock_load_ends_with_the_training_behind_masks() -> None:
    """RMSNorm: the checkpoint of the growth has eps n/n*, the trained one eps."""
    plan = Plan(
        train=DATA, stages=(stage("wide", "mask-in hidden x2 over 4 steps", 5), stage("more", train=5))
    )
    found = check_stages(plan, model("smollm"))
    (grown, after) = found["wide"].typed, found["wide"].after
    assert (
        grown is not None and grown.target.config["rms_norm_eps"] == grown.source.config["rms_norm_eps"] / 2
    )
    assert after.config["rms_norm_eps"] == found["more"].after.config["rms_norm_eps"]
    assert after.config["rms_norm_eps"] == grown.source.config["rms_norm_eps"]
