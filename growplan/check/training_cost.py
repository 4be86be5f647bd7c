"""What the training of a stage costs, from shapes alone.

A token's forward pass multiplies and adds once for every weight of a matrix (`check.cost`). Backward, a
matrix costs as much again for the gradient of its weights, where they are trained, and as much for that of
its input, where something trained stands at or before it: all of it twice the forward pass, and nothing
below the lowest trained layer. Attention scores and embedding look-ups are left out, as they are there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from growplan.check.cost import matrices
from growplan.check.learned import as_read
from growplan.check.trained import Key, Trained, keys_of
from growplan.check.typed import TypedPlan
from growplan.families.model import Model
from growplan.families.places import place_of
from growplan.methods.training import Training

FULL = 3  # forward, and twice that backward


@dataclass(frozen=True)
class StageCost:
    """What a stage costs: `tokens` that it reads, FLOPs of one of them, and those of fitted operators.

    `trained`: parameters that get a gradient in one step. With sub-models, FLOPs are the mean over them.
    """

    tokens: int = 0
    trained: int = 0
    forward: int = 0
    backward: int = 0
    fits: int = 0

    @property
    def flops(self) -> int:
        """Of the whole stage."""
        return self.tokens * (self.forward + self.backward) + self.fits


def stage_cost(model: Model, training: Training | None, part: Trained, typed: TypedPlan | None) -> StageCost:
    """The cost of a stage that trains a part of `model`; `typed`: its growth."""
    fits = 0 if typed is None else sum(_fits(typed))
    if training is None:
        return StageCost(fits=fits)
    prefixes = _prefixes(model, training.sub_models, part)
    passes = [_one_token(model, depth, keys) for depth, keys in prefixes]
    return StageCost(
        tokens=training.recipe.steps * tokens_of_a_step(model, training),
        trained=max(_parameters(model, keys) for _, keys in prefixes),
        forward=sum(forward for forward, _ in passes) // len(passes),
        backward=sum(backward for _, backward in passes) // len(passes),
        fits=fits,
    )


def tokens_of_a_step(model: Model, training: Training) -> int:
    """Tokens of one batch; an image has as many as the model has positions."""
    recipe = as_read(training.recipe, model)
    return recipe.batch * (model.sizes["positions"] if model.inputs == "image" else recipe.tokens)


def _prefixes(model: Model, each: int, part: Trained) -> list[tuple[int, frozenset[Key]]]:
    """(layers that run, what trains) of each sub-model; of the whole model where there is none."""
    if not each:
        return [(model.depth, part.keys)]
    found = []
    for depth in range(each, model.depth + 1, each):
        top = {key for key in keys_of(model) if key[2] is not None and depth - each <= key[2] < depth}
        also = {key for key in part.also if key[2] is None or key[2] < depth}
        found.append((depth, frozenset(top | also)))
    return found


def _one_token(model: Model, depth: int, keys: frozenset[Key]) -> tuple[int, int]:
    """FLOPs of one token, forward and backward, through the lowest `depth` layers."""
    forward = backward = 0
    lowest = min((_height(model, key) for key in keys), default=model.depth + 1)
    for matrix in matrices(model):
        param = matrix.param
        for layer in range(depth) if param.in_layer else (None,):
            key = (param.module, param.leaf, layer)
            height = model.depth if matrix.head else _height(model, key)
            forward += matrix.flops
            backward += matrix.flops * (int(key in keys) + int(height >= lowest))
    return forward, backward


def _height(model: Model, key: Key) -> int:
    """-1 before the layers, the number of the layer in them, their number behind them."""
    module, leaf, layer = key
    if layer is not None:
        return layer
    param = next(p for p in model.modules[module].params if p.leaf == leaf)
    return -1 if place_of(model, param) == "embeddings" else model.depth


def _parameters(model: Model, keys: frozenset[Key]) -> int:
    sizes: dict[tuple[str, str], int] = {
        (param.module, param.leaf): prod(model.shape(param)) * len(model.of_experts(param))
        for param in model.params()
    }
    return sum(sizes[key[0], key[1]] for key in keys)


def _fits(typed: TypedPlan) -> Iterator[int]:
    for step in typed.steps:
        yield 0 if step.fit_cost is None else step.fit_cost.flops
        yield 0 if step.predictor_cost is None else step.predictor_cost.flops
