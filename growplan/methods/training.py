"""How a stage of a plan is trained: its options, and the values that they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

from growplan.methods.base import Option, OptionValue
from growplan.methods.operator import Recipe
from growplan.methods.support.recipe import RECIPE, recipe_of

OF_A_FIT = ("recipe", "checkpoint")  # options of a fitted operator that a training has no use for
OWN = {  # what differs from a fit: name -> default and what it says
    "lr": Option("lr", 1e-3, "the highest rate of AdamW", range=(0, 10)),
    "warmup": Option(
        "warmup",
        0,
        "steps of each stage in which the rate rises to it; paper: as its growth's literature says",
        ("paper",),
        range=(0, 1e7),
    ),
    "schedule": Option(
        "schedule", "constant", "how it falls to 0 in each stage, or not", ("cosine", "linear", "constant")
    ),
    "eps": Option("eps", 1e-8, "what AdamW adds to the root of the second moment", range=(1e-30, 1)),
    "weight-decay": Option("weight-decay", 0.01, "decay of weights, times the rate", range=(0, 10)),
    "dropout": Option("dropout", "model", "model: train with the dropout of its config", ("none", "model")),
    "every": Option("every", 100, "steps between checkpoints that a killed run goes on from", range=(1, 1e6)),
}
TRAINING = (
    *(OWN.get(option.name, option) for option in RECIPE if option.name not in OF_A_FIT),
    Option(
        "optimizer", "grow", "AdamW's moments at a growth: carried through it, or empty", ("grow", "reset")
    ),
    Option(
        "tied",
        "none",
        "a head that is the embedding, where only one of the two is named by `train-only` or `freeze`",
        ("none", "train", "freeze"),
    ),
    Option(
        "sub-models",
        0,
        "each step trains a prefix of this many layers, twice as many, ... and its top ones alone"
        " (bert2BERT's first stage); 0: the whole model",
        range=(0, 1e4),
    ),
)


@dataclass(frozen=True)
class Training:
    """The training of one stage: `recipe.steps` steps, from data at `on` (as the plan writes it).

    `recipe.every` is the distance of checkpoints. `optimizer`: what becomes of AdamW's moments at the
    growth. `tied`: see `runtime.selected`. `sub_models`: layers of the smallest prefix that a step trains,
    0 for none. `rewarm`: the rate rises as growth.json says of the growth (`recipe.warmup` is then 0).
    """

    on: str
    recipe: Recipe
    optimizer: Literal["grow", "reset"] = "grow"
    tied: Literal["none", "train", "freeze"] = "none"
    sub_models: int = 0
    rewarm: bool = False


def training_of(options: Mapping[str, OptionValue], steps: int, on: str) -> Training:
    """What options (of TRAINING, each of which may be left out) say."""
    given = {option.name: option.default for option in TRAINING} | dict(options)
    rewarm = given["warmup"] == "paper"
    recipe = replace(recipe_of(given | {"warmup": 0} if rewarm else given, steps), name="growplan")
    return Training(
        on,
        recipe,
        cast(Literal["grow", "reset"], str(given["optimizer"])),
        cast(Literal["none", "train", "freeze"], str(given["tied"])),
        int(given["sub-models"]),
        rewarm,
    )
