"""What a learned method fits, and how: values, no tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Recipe:
    """How a learned operator is fitted: AdamW on its leaves, the source frozen.

    `batch` sequences (or images) of `tokens` tokens are one step, read in `accumulate` parts. The rate
    rises over `warmup` steps to `lr` and falls to 0 by `schedule`. Gradients are clipped to the norm `clip`
    (0: they are not). `mask` is the id of the mask token of a masked model, None for its tokenizer's.
    `dropout`: the model's own is on in training steps. `precision` is that of the model's products, `auto`
    bfloat16 on CUDA for float32. `checkpoint`: what is computed again in the backward pass, to spare memory.
    `every` so many steps the state of the fit is stored. `name` is that of the recipe it began as.
    """

    name: Literal["growplan", "published"] = "growplan"
    steps: int = 100
    lr: float = 3e-3
    warmup: int = 10
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-6
    clip: float = 1.0
    batch: int = 16
    tokens: int = 128
    accumulate: int = 1
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    mask: int | None = None
    dropout: bool = False
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    checkpoint: Literal["none", "blocks"] = "none"
    every: int = 20


@dataclass(frozen=True)
class Operator:
    """What a learned step fits: which leaves there are, how they begin, and how they are fitted.

    `tying`: `layer`, an operator for the inner axes of each layer, or `shared`, one for all layers.
    `order`: layers blended, then widened (operators belong to new layers), or the other way round.
    `mix`: new units of heads are sums of single units, or of whole heads. `auto`, which the checker
    settles, stands in no typed step.
    `depth_init` and `width_init` are words of `growplan.learn.init`. `start`: the static method that
    a general operator begins as; `residual`: whether learned values are added to its products.
    `ranks`: the bonds of a tensor ring.
    """

    method: str
    kind: Literal["ligo", "general", "mango"] = "ligo"
    tying: Literal["layer", "shared", "auto"] = "auto"
    order: Literal["depth-first", "width-first"] = "depth-first"
    depth_init: str = "stackbert-noisy"
    width_init: str = "rand"
    noise: float = 0.03
    mix: Literal["units", "heads", "auto"] = "auto"
    start: str | None = None
    residual: bool = True
    ranks: tuple[int, ...] = ()
    recipe: Recipe = field(default_factory=Recipe)


@dataclass(frozen=True)
class Predictor:
    """How networks are fitted that predict a layer's matrices from those around it, and how large they are.

    Two hidden layers of `hidden` units; `epochs` times over the rows in parts of `batch`, and on until there
    are `updates` of them; AdamW at `lr`. The loss is (1 - `norm`) times the mean square of the error and
    `norm` times the square of the error of the norm.
    """

    hidden: int = 256
    epochs: int = 10
    updates: int = 1000
    lr: float = 1e-3
    norm: float = 5e-4
    batch: int = 64


@dataclass(frozen=True)
class LeafSpec:
    """A trainable leaf: its name in the graph, its shape, the word of its init, the key of its draws."""

    name: str
    shape: tuple[int, ...]
    init: str
    key: str
