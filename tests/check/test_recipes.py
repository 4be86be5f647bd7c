"""How a learned step is fitted: its options, and what is said of them before anything runs."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from growplan.methods.operator import Recipe
from growplan.methods.support.recipe import PUBLISHED, RECIPE
from tests.check.models import check
from tests.check.test_learned import TOY, only


def ways_of(line: str, code: str) -> list[str]:
    (found,) = [d for d in check("gpt2", line, **TOY).lints if d.code == code] or [None]
    return [] if found is None else list(found.help)


@pytest.mark.parametrize(
    "options", ["recipe published", "lr 1e-6", "warmup 1000000", "recipe published, warmup 20, lr 1e-5"]
)
def test_ways_to_move_an_operator_do(options: str) -> None:
    """Each way that GP921 names, tried alone, is rid of it."""
    line = "grow hidden 64→128 via ligo on c.txt for 100 steps, "
    ways = ways_of(line + options, "GP921")
    assert ways
    for way in ways:
        word, value = way.strip("`").split(" ", 1)
        changed = {pair.split(" ")[0]: pair.split(" ")[1] for pair in options.split(", ")}
        if word == "for":
            again = line.replace("for 100 steps", f"for {value}")
        else:
            again, changed[word] = line, value
        assert not ways_of(again + ", ".join(f"{k} {v}" for k, v in changed.items()), "GP921"), way


def test_the_published_recipe_names_the_other() -> None:
    line = "grow hidden 64→128 via ligo on c.txt, recipe published"
    assert ways_of(line, "GP921")[:2] == ["`recipe growplan`", "`warmup 10`"]


def test_sequences_longer_than_the_model_reads_are_told() -> None:
    """And costed as they are read; the number that the model reads is a way out."""
    line = "grow hidden 64→128 via ligo on c.txt, tokens {}"
    positions = check("gpt2", line.format(8), **TOY).source.sizes["positions"]
    assert ways_of(line.format(positions + 1), "GP554")[0] == f"`tokens {positions}` says so"
    assert not ways_of(line.format(positions), "GP554")
    long, fits = (only("gpt2", line.format(n), **TOY) for n in (positions + 1, positions))
    assert long.fit_cost == fits.fit_cost


def test_dropout_where_there_is_none_is_told() -> None:
    line = "grow hidden 64→128 via ligo on c.txt, dropout {}"
    none = {**TOY, "resid_pdrop": 0.0, "attn_pdrop": 0.0, "embd_pdrop": 0.0}
    assert [d.code for d in check("gpt2", line.format("model"), **none).lints if d.code == "GP555"]
    assert not [d.code for d in check("gpt2", line.format("none"), **none).lints if d.code == "GP555"]
    assert not ways_of(line.format("model"), "GP555")


def test_every_option_of_a_recipe_reaches_it() -> None:
    options = (
        "lr 0.01, warmup 3, schedule linear, beta1 0.8, beta2 0.9, eps 1e-8, weight-decay 0.2, clip 0.5, "
        "batch 2, tokens 8, mask 5, dropout model, precision bfloat16, accumulate 2, checkpoint blocks, "
        "every 7"
    )
    step = only("gpt2", f"grow hidden 64→128 via ligo on c.txt for 9 steps, {options}", **TOY)
    assert step.operator is not None
    assert step.operator.recipe == Recipe(
        steps=9,
        lr=0.01,
        warmup=3,
        schedule="linear",
        betas=(0.8, 0.9),
        eps=1e-8,
        weight_decay=0.2,
        clip=0.5,
        batch=2,
        tokens=8,
        mask=5,
        dropout=True,
        precision="bfloat16",
        accumulate=2,
        checkpoint="blocks",
        every=7,
    )
    assert {f.name for f in fields(Recipe)} - {"name", "steps", "betas"} == {
        option.name.replace("-", "_") for option in RECIPE
    } - {"recipe", "beta1", "beta2"}
    published = only("gpt2", "grow hidden 64→128 via ligo on c.txt, recipe published, lr 1e-3", **TOY)
    assert published.operator is not None
    assert published.operator.recipe == replace(PUBLISHED, lr=1e-3) and PUBLISHED.dropout
