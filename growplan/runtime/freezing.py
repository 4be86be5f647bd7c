"""Training a part of a model: MSLT's new layers, the top ones, all but the embeddings.

    new-layers        the layers that the growth added (MSLT, arXiv 2011.13635)
    top N, layers A:B layers by number, B left out
    embeddings        everything before the first layer
    head              everything behind the last one: the final norm, the head
    all               everything
    any other word    a pattern of parameter names in memory: `*.attn.*`

What is frozen gets no gradient at all (None, no zeros), so that AdamW neither moves nor decays it; below
the lowest trained parameter no graph is kept, and no block runs a second time, be gradient checkpointing on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from growplan.check.trained import WORDS, layers_named
from growplan.checkpoint.growth_reader import read_growth
from growplan.diagnostics import fail
from growplan.families.model import Family
from growplan.runtime.parts import Parts
from growplan.runtime.recomputing import unmark_inputs

Tied = Literal["train", "freeze"]


def selected(
    model: Any,
    directory: Path | str,
    train: str | Iterable[str],
    *,
    tied: Tied | None = None,
    family: Family | str | Path | None = None,
) -> frozenset[str]:
    """The parameters in memory that `train` (words, or one line with commas) names.

    `directory` is the checkpoint of `model`. A head that is tied to the embedding is one parameter with
    both: where `train` names one of the two, `tied` says what becomes of it. Raises GP590 (a word that
    names nothing), GP591 (no `tied` where it is asked), GP592 (no record of new layers).
    """
    parts = Parts.of(model, directory, family)
    words = [w.strip() for w in (train.split(",") if isinstance(train, str) else train)]
    asked = [(word, _named(parts, Path(directory), word)) for word in words if word]
    if not asked:
        fail("GP590", "nothing is said to be trained", help=f"name one of: {WORDS}")
    found = frozenset().union(*(names for _, names in asked))
    shared = _shared(parts)
    if shared is None or {"all", shared} & {word for word, _ in asked}:
        return found
    halves = {word for word, _ in asked} & {"embeddings", "head"}
    if len(halves) != 1:
        return found
    if tied is None:
        fail(
            "GP591",
            f"`{min(halves)}` is to be trained, and head and embedding are one parameter: `{shared}`",
            help=("`tied='train'`: it is trained, for both", "`tied='freeze'`: it is frozen, for both"),
        )
    return found | {shared} if tied == "train" else found - {shared}


def _shared(parts: Parts) -> str | None:
    """The parameter of a tied head; None where the head has its own."""
    if not parts.bound.tied:
        return None
    embedding = parts.model.get_input_embeddings().weight
    found: str = next(name for name, p in parts.model.named_parameters() if p is embedding)
    return found


def _named(parts: Parts, directory: Path, word: str) -> frozenset[str]:
    places = parts.places
    if word == "all":
        return frozenset(places)
    if word in ("embeddings", "head"):
        return frozenset(name for name, (place, _) in places.items() if place == word)
    new = _new_layers(directory) if word == "new-layers" else ()
    layers = layers_named(word, parts.bound.depth, new)
    if layers is None:
        found = frozenset(name for name in places if fnmatchcase(name, word))
    else:
        wrong = [layer for layer in layers if not 0 <= layer < parts.bound.depth]
        found = frozenset() if wrong else frozenset(n for n, (_, at) in places.items() if at in set(layers))
    if not found:
        fail("GP590", f"`{word}` names no parameter of this model of {parts.bound.depth} layers", help=WORDS)
    return found


def _new_layers(directory: Path) -> list[int]:
    growth = read_growth(directory)
    found = None if growth is None else growth.extra.get("new_layers")
    if not isinstance(found, list) or not all(isinstance(layer, int) for layer in found):
        fail(
            "GP592",
            f"{directory} has no record of new layers",
            help=(
                "give the directory that `growplan apply` wrote for a plan that adds layers",
                "or name the layers: `top 3`, `layers 6:12`",
            ),
        )
    return found


@dataclass(eq=False)
class Frozen:
    """A model of which a part is trained. `release` makes every parameter what it was before."""

    model: Any
    before: dict[str, bool]
    unmarked: bool  # `recomputing.unmark_inputs`

    def release(self) -> None:
        if self.unmarked:
            self.model.enable_input_require_grads()
        for name, parameter in self.model.named_parameters():
            if name in self.before:
                parameter.requires_grad_(self.before[name])


def freeze(model: Any, train: frozenset[str]) -> Frozen:
    """Freeze every parameter of `model` but those of `train` (`selected`); gradients of the others go."""
    before = {name: p.requires_grad for name, p in model.named_parameters()}
    for name, parameter in model.named_parameters():
        if name not in train:
            parameter.requires_grad_(False)
            parameter.grad = None
    return Frozen(model, before, unmark_inputs(model))


def left_out(model: Any, optimizer: Any) -> tuple[str, ...]:
    """The parameters of `model` that `optimizer` does not hold.

    None where it holds none at all: it was made on others, as FSDP makes it.
    """
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    names = tuple(name for name, p in model.named_parameters() if id(p) not in held)
    return names if len(names) < sum(1 for _ in model.parameters()) else ()


@contextmanager
def training_only(model: Any, train: frozenset[str]) -> Iterator[None]:
    """Inside, only the parameters of `train` are trained."""
    frozen = freeze(model, train)
    try:
        yield
    finally:
        frozen.release()
