"""Which parameters a stage trains: the words of `train-only` and `freeze`, without a model in memory.

`growplan.runtime.freezing` says what the words mean. Here a pattern is held against names on disk; in
memory some families have others, so that a pattern which matches none is left to the training.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from growplan.check.cost import tied_embeddings
from growplan.diagnostics import Diagnostic, DiagnosticError, fail
from growplan.families.model import Model
from growplan.families.places import place_of

Key = tuple[str, str, int | None]  # module, leaf, layer: a parameter, experts folded
RANGE = re.compile(r"layers (\d+):(\d+)")
TOP = re.compile(r"top (\d+)")
WORDS = "`new-layers`, `top N`, `layers A:B`, `embeddings`, `head`, `all`, or a pattern such as `*.attn.*`"
HALVES = {"embeddings", "head"}  # one parameter, where the head is tied


@dataclass(frozen=True)
class Trained:
    """The parameters that get a gradient, and the patterns that no name on disk matches.

    `also`: those that every sub-model trains beside its top layers, as `train-only` names them.
    """

    keys: frozenset[Key]
    unseen: tuple[str, ...] = ()
    also: frozenset[Key] = frozenset()


def layers_named(word: str, depth: int, new: Sequence[int]) -> tuple[int, ...] | None:
    """The layers that a word names, some of which may not be there; None: it names no layers."""
    if word == "new-layers":
        return tuple(new)
    if match := TOP.fullmatch(word):
        return tuple(range(depth - int(match[1]), depth))
    if match := RANGE.fullmatch(word):
        return tuple(range(int(match[1]), int(match[2])))
    return None


def trained(
    model: Model, train_only: Sequence[str], freeze: Sequence[str], *, tied: str, new: Sequence[int]
) -> Trained:
    """What trains: all, or what `train_only` names, without what `freeze` names.

    `new`: the layers that the stage adds. `tied` is the option of the training: whether a head that is the
    embedding trains, where only one of the two is named. Raises GP590 (a word that names nothing, nothing
    is left), GP591 (no `tied` where it is asked), GP592 (no layer is new); `part` is the word.
    """
    if wrong := wrong_words(model, (*train_only, *freeze), new):
        raise DiagnosticError(*wrong)
    unseen: list[str] = []
    keys = frozenset(keys_of(model))
    if train_only:
        keys = frozenset().union(*(_named(model, word, new, unseen) for word in train_only))
    for word in freeze:
        keys -= _named(model, word, new, unseen)
    keys = _with_tied(model, keys, (train_only, freeze), tied)
    if not keys and not unseen:
        part = "train_only" if train_only else "freeze"
        fail("GP590", "nothing is left to train", help="freeze less, or leave the training out", part=part)
    return Trained(keys, tuple(unseen), keys if train_only else frozenset())


def wrong_words(model: Model, words: Iterable[str], new: Sequence[int]) -> list[Diagnostic]:
    """GP590 and GP592 for each word that names nothing; `part` is the word."""
    found: list[Diagnostic] = []
    for word in words:
        try:
            _named(model, word, new, [])
        except DiagnosticError as error:
            found += error.diagnostics
    return found


def keys_of(model: Model) -> Iterator[Key]:
    """Every parameter once, layer by layer; experts folded."""
    for param in model.params():
        for layer in range(model.depth) if param.in_layer else (None,):
            yield param.module, param.leaf, layer


def _named(model: Model, word: str, new: Sequence[int], unseen: list[str]) -> frozenset[Key]:
    """The parameters that one word names. Raises GP590, GP592; patterns without a match go to `unseen`."""
    if word == "new-layers" and not new:
        ways = ("name the layers: `top 3`, `layers 6:12`", "or add layers in this stage")
        fail("GP592", "the stage adds no layers", help=ways, part=word)
    layers = layers_named(word, model.depth, new)
    if layers is not None:
        if not layers or min(layers) < 0 or max(layers) >= model.depth:
            fail("GP590", f"`{word}` names no layers of this model of {model.depth}", help=WORDS, part=word)
        return frozenset(key for key in keys_of(model) if key[2] in layers)
    if word == "all":
        return frozenset(keys_of(model))
    if word in HALVES:
        here = {(p.module, p.leaf) for p in model.params() if place_of(model, p) == word}
        return frozenset(key for key in keys_of(model) if key[:2] in here)
    found = frozenset(_matching(model, word))
    if not found and not any(ch in word for ch in ".*?["):
        fail("GP590", f"`{word}` names no part of a model", help=WORDS, part=word)
    if not found:
        unseen.append(word)
    return found


def _matching(model: Model, pattern: str) -> Iterator[Key]:
    for folded in model.params():
        param = model.of_experts(folded)[0]
        for layer in range(model.depth) if param.in_layer else (None,):
            if fnmatchcase(model.tensor_name(param, layer), pattern):
                yield param.module, param.leaf, layer


def _with_tied(
    model: Model, keys: frozenset[Key], lists: Sequence[Sequence[str]], tied: str
) -> frozenset[Key]:
    """The parameter of a tied head in or out, as `tied` says, where a list names one of its two ends."""
    shared = frozenset((name, "weight", None) for name in tied_embeddings(model))
    halved = [min(HALVES & set(each)) for each in lists if len(HALVES & set(each)) == 1 and "all" not in each]
    if not shared or not halved:
        return keys
    if tied == "none":
        fail(
            "GP591",
            f"`{halved[0]}` is named, and head and embedding are one parameter",
            help=("`tied train`: it is trained, for both", "`tied freeze`: it is frozen, for both"),
            part=halved[0],
        )
    return keys | shared if tied == "train" else keys - shared
