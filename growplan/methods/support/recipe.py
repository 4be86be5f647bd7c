"""How learned operators are fitted: the options that every method of this kind has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Literal, cast

from growplan.methods.base import Option, OptionValue, Recipe

PUBLISHED = Recipe(
    name="published",
    lr=2e-4,
    warmup=10_000,
    weight_decay=0.1,
    batch=64,
    tokens=126,
    schedule="linear",
    dropout=True,
)
"""LiGO's command for BERT (`configs/bert_wiki.txt`, README): the model in training mode, dropout on."""

STARTED = 2e-4
"""The rate of an operator that begins as a static method: every weight has leaves of its own."""

RECIPE = (
    Option(
        "recipe",
        "growplan",
        "how it is fitted: a rate that moves it, or LiGO's command (dropout on, rates that hardly move it)",
        ("growplan", "published"),
    ),
    Option(
        "lr",
        "auto",
        f"the highest rate of AdamW; auto: {Recipe.lr:g}",
        ("auto",),
        range=(0, 10),
    ),
    Option("warmup", 10, "steps in which the rate rises to it", range=(0, 1e7)),
    Option("schedule", "cosine", "how it falls to 0 afterwards, or not", ("cosine", "linear", "constant")),
    Option("beta1", 0.9, "decay of AdamW's first moment", range=(0, 0.999999)),
    Option("beta2", 0.999, "decay of its second moment", range=(0, 0.999999)),
    Option("eps", 1e-6, "what AdamW adds to the root of the second moment", range=(1e-30, 1)),
    Option("weight-decay", 0.0, "decay of every leaf, times the rate", range=(0, 10)),
    Option("clip", 1.0, "gradients are clipped to this norm; 0: they are not", range=(0, 1e9)),
    Option("batch", 16, "sequences or images of one step", range=(1, 1e6)),
    Option("tokens", 128, "tokens of a sequence", range=(1, 1e6)),
    Option(
        "mask",
        "tokenizer",
        "id of a masked model's mask token: a number, or the `tokenizer`'s own",
        ("tokenizer",),
        range=(0, 1e9),
        whole=True,
    ),
    Option("dropout", "none", "model: fit with the dropout of the model's config", ("none", "model")),
    Option(
        "precision",
        "auto",
        "of the model's products; auto: bfloat16 on CUDA where weights are float32 or less",
        ("auto", "float32", "bfloat16"),
    ),
    Option("accumulate", 1, "parts that a batch is read in, to spare memory", range=(1, 1e6)),
    Option(
        "checkpoint",
        "none",
        "blocks: one block's weights at a time, each made and run twice, where memory is short",
        ("none", "blocks"),
    ),
    Option("every", 20, "steps between states that an interrupted fit can go on from", range=(1, 1e6)),
)


def recipe_of(options: Mapping[str, OptionValue], steps: int | None, *, rate: float = Recipe.lr) -> Recipe:
    """The recipe that `recipe` names, with what the step says otherwise.

    `rate`: growplan's own for this kind of operator (docs/learned-growth.md has what was measured).
    """
    base = PUBLISHED if options.get("recipe") == "published" else Recipe(lr=rate)

    def number(name: str, default: float) -> float:
        return float(options.get(name, default))

    def word(name: str, default: str) -> str:
        return str(options.get(name, default))

    mask, lr = options.get("mask", "tokenizer"), options.get("lr", "auto")
    return replace(
        base,
        steps=base.steps if steps is None else steps,
        lr=base.lr if lr == "auto" else float(lr),
        warmup=int(number("warmup", base.warmup)),
        schedule=cast(Literal["cosine", "linear", "constant"], word("schedule", base.schedule)),
        betas=(number("beta1", base.betas[0]), number("beta2", base.betas[1])),
        eps=number("eps", base.eps),
        weight_decay=number("weight-decay", base.weight_decay),
        clip=number("clip", base.clip),
        batch=int(number("batch", base.batch)),
        tokens=int(number("tokens", base.tokens)),
        mask=None if mask == "tokenizer" else int(mask),
        dropout=word("dropout", "model" if base.dropout else "none") == "model",
        precision=cast(Literal["auto", "float32", "bfloat16"], word("precision", base.precision)),
        accumulate=int(number("accumulate", base.accumulate)),
        checkpoint=cast(Literal["none", "blocks"], word("checkpoint", base.checkpoint)),
        every=int(number("every", base.every)),
    )
