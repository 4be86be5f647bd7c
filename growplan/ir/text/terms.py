"""Reading the small parts of `growir`: names, numbers, maps and primitives."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NoReturn

from lark import Token, Tree

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.diagnostics import Source, Span, fail
from growplan.ir.graph import TensorType
from growplan.ir.primitives import (
    AddNoise,
    AddNull,
    CopyLayer,
    CopyTensor,
    DropUnits,
    DuplicateRow,
    Fill,
    Fresh,
    FromLeaf,
    Graft,
    Leaf,
    LnAverage,
    Load,
    Mask,
    Primitive,
    Ranges,
    Resample,
    RescaleNorm,
    SampleUnits,
    Scale,
    SplitColumn,
    Store,
    ZeroOut,
)
from growplan.ir.text.implied import FORM, copies_of

Parsed = Tree[Token]
TURN = re.compile(r"\{\s*(?:(\d+)\s*\*\s*)?i\s*([-+]\s*\d+)?\s*\}|\{[^{}]*\}")


def trees(tree: Parsed, *names: str) -> list[Parsed]:
    """The direct subtrees of these names."""
    return [child for child in tree.children if isinstance(child, Tree) and child.data in names]


def first(tree: Parsed, *names: str) -> Parsed | None:
    """The first direct subtree of these names, if there is one."""
    return next(iter(trees(tree, *names)), None)


def tokens(tree: Parsed, *types: str) -> list[Token]:
    """The direct tokens of these types."""
    return [child for child in tree.children if isinstance(child, Token) and child.type in types]


@dataclass(frozen=True)
class Terms:
    """Reads terms in one turn of a loop (`turn` is i), with the maps that have names."""

    source: Source
    turn: int | None = None
    maps: Mapping[str, Expansion] = field(default_factory=dict)

    def refuse(self, code: str, message: str, at: Parsed | Token) -> NoReturn:
        fail(code, message, self.span(at), help=FORM)

    def span(self, at: Parsed | Token) -> Span:
        where = at if isinstance(at, Token) else at.meta
        return Span(self.source, getattr(where, "start_pos", None) or 0, getattr(where, "end_pos", None) or 0)

    # names and numbers -----------------------------------------------------------------------------

    def name(self, tree: Parsed) -> str:
        token = tree.children[0]
        assert isinstance(token, Token)
        return self.string(token) if token.type == "STRING" else self._unrolled(token, token)

    def names(self, tree: Parsed) -> list[str]:
        return [self.name(child) for child in trees(tree, "name")]

    def id(self, tree: Parsed) -> str:
        token = tree.children[-1]
        assert isinstance(token, Token)
        return self.string(token) if token.type == "STRING" else self._unrolled(token[1:], token)

    def ids(self, tree: Parsed) -> list[str]:
        return [self.id(child) for child in trees(tree, "id")]

    def string(self, token: Token, tilde: str = "~") -> str:
        """A JSON string; a bare `~` in it stands for `tilde`."""
        try:
            return str(json.loads(token.replace("~", json.dumps(tilde)[1:-1])))
        except ValueError:
            self.refuse("GP250", "this is no JSON string", token)

    def index(self, tree: Parsed) -> int:
        token = tree.children[0]
        assert isinstance(token, Token)
        return int(self._unrolled(token, token))

    def layer(self, tree: Parsed) -> int | None:
        index = first(tree, "index")
        return None if index is None else self.index(index)

    def _unrolled(self, text: str, at: Token) -> str:
        """`h.{i-12}.w` with its numbers for this turn."""

        def number(match: re.Match[str]) -> str:
            if self.turn is None:
                self.refuse("GP251", f"`{match[0]}` stands in no loop", at)
            if "i" not in match[0]:
                self.refuse("GP250", f"`{match[0]}` is not of the form a*i+b", at)
            offset = int((match[2] or "0").replace(" ", ""))
            value = int(match[1] or 1) * self.turn + offset
            if value < 0:
                self.refuse("GP251", f"`{match[0]}` is {value} where i is {self.turn}", at)
            return str(value)

        return TURN.sub(number, text)

    def ints(self, tree: Parsed) -> list[int]:
        return [int(token) for token in tokens(tree, "INT")]

    def type(self, tree: Parsed) -> TensorType:
        dtype = tokens(tree, "NAME")[0]
        return TensorType(tuple(self.ints(tree)), dtype.upper())

    def root(self, tree: Parsed) -> Root:
        parts = self.ints(trees(tree, "ratio")[0])
        if parts[1:] == [0]:
            self.refuse("GP250", "divides by zero", tree)
        q = Fraction(*parts)
        signed = -q if tokens(tree, "MINUS") else q
        return Root(signed) if tree.data == "square_root" else Root.rational(signed)

    def constant(self, tree: Parsed) -> Root:
        return self.root(trees(tree, "rational", "square_root")[0])

    # maps ------------------------------------------------------------------------------------------

    def map(self, tree: Parsed) -> Expansion | None:
        """A map; None stands for `same`, whose size the tensor gives."""
        if tree.data == "same":
            return None
        if tree.data == "runs":
            return self._runs(tree)
        name = "stream" if tree.data == "the_stream" else str(tree.children[0])
        if name not in self.maps:
            self.refuse("GP251", f"no map is called `{name}` in this step", tree)
        return self.maps[name]

    def whole_map(self, tree: Parsed) -> Expansion:
        e = self.map(tree)
        if e is None:
            self.refuse("GP251", "`same` has no size here", tree)
        return e

    def maps_in(self, tree: Parsed) -> list[Parsed]:
        return trees(tree, "runs", "same", "the_stream", "named_map")

    def _runs(self, tree: Parsed) -> Expansion:
        runs = [self._run(child) for child in trees(tree, "copy_run", "mean_run", "other_run")]
        ends = [run.start + run.count for run in runs if run.kind == "copy"]
        old = self.ints(tree) or [max(ends, default=sum(run.count for run in runs))]
        try:
            return Expansion(old[0], tuple(runs))
        except ValueError as error:
            self.refuse("GP256", str(error), tree)

    def _run(self, tree: Parsed) -> Run:
        root = first(tree, "rational", "square_root")
        c = ONE if root is None else self.root(root)
        if tree.data == "copy_run":
            begin, *rest = self.ints(tree)
            end = rest[0] if rest else begin + 1
            if end < begin:
                self.refuse("GP256", f"{begin}:{end} is backwards", tree)
            return Run("copy", end - begin, begin, c)
        count = int(tokens(tree, "COUNT")[0][1:])
        if tree.data == "mean_run":
            return Run("mean", count, 0, c)
        kind = str(tokens(tree, "KIND")[0])
        return Run("zero" if kind == "zero" else "free" if kind == "free" else "hole", count)


@dataclass(frozen=True)
class Place:
    """What a primitive's words may leave to its statement: the law's maps, the start of keys, layers."""

    terms: Terms
    law: Mapping[int, Expansion] = field(default_factory=dict)
    keys: str = ""
    tensor: str = "~"
    layers: tuple[int, int] | None = None
    names: tuple[str, str] | None = None

    def dim(self, tree: Parsed) -> int:
        return self.terms.ints(trees(tree, "dim")[0])[0]

    def at(self, tree: Parsed) -> Ranges:
        pairs = (self.terms.ints(each) for each in trees(trees(tree, "at")[0], "range"))
        return tuple((begin, end) for begin, end in pairs)

    def map(self, tree: Parsed, dim: int | None = None) -> Expansion:
        word, dim = trees(tree, "op_map")[0], self.dim(tree) if dim is None else dim
        if not tokens(word, "BY_LAW"):
            return self.terms.whole_map(self.terms.maps_in(word)[0])
        if dim not in self.law:
            self.terms.refuse("GP251", f"no law here has a map on dim {dim}", word)
        return copies_of(self.law[dim])

    def root(self, tree: Parsed) -> Root | None:
        word = first(tree, "rational", "square_root")
        return None if word is None else self.terms.root(word)

    def key(self, tree: Parsed) -> str:
        return next(iter(self.keys_of(tree)), "")

    def keys_of(self, tree: Parsed) -> list[str]:
        """Every key of a primitive, in order."""
        return [self._key(word) for word in trees(tree, "short_key", "full_key")]

    def _key(self, word: Parsed) -> str:
        if word.data == "full_key":
            return self.terms.string(tokens(word, "STRING")[0], self.tensor)
        if not self.keys:
            self.terms.refuse("GP251", "a short key needs `keys` in the step", word)
        return self.keys + str(word.children[0])

    def init(self, tree: Parsed) -> str:
        (token,) = tokens(tree, "INIT", "STRING")
        return self.terms.string(token) if token.type == "STRING" else str(token)


def _copy_layer(tree: Parsed, p: Place) -> Primitive:
    given = [p.terms.index(each) for each in trees(tree, "index")] or p.layers
    if given is None:
        p.terms.refuse("GP251", "the names here have no layers; write `copy_layer 0 -> 1`", tree)
    return CopyLayer(given[0], given[1])


def _copy_tensor(tree: Parsed, p: Place) -> Primitive:
    given = p.terms.names(tree) or p.names
    if given is None:
        p.terms.refuse("GP251", "there are no two names here; write `copy_tensor of a -> b`", tree)
    return CopyTensor(given[0], given[1])


def _split(tree: Parsed, p: Place) -> Primitive:
    over, dim = first(tree, "over_rows"), p.dim(tree)
    rows = None if over is None else p.map(over, 1 if dim == 0 else 0)
    return SplitColumn(dim, p.map(tree), p.terms.names(tree)[0], p.key(tree), rows)


def _add_null(tree: Parsed, p: Place) -> Primitive:
    pairing = p.terms.names(tree)[0]
    return AddNull(p.dim(tree), p.map(tree), pairing, p.init(tree), p.key(tree))


def _leaf(tree: Parsed, p: Place) -> Primitive:
    type_ = p.terms.type(trees(tree, "type")[0])
    return Leaf(p.terms.names(tree)[0], type_.shape, type_.dtype, str(tokens(tree, "LEAF_KIND")[0]))


def _mask(tree: Parsed, p: Place) -> Primitive:
    over = p.terms.ints(tree)
    return Mask(p.dim(tree), p.at(tree), p.terms.names(tree)[0], over[0] if over else 0)


def resample(tree: Parsed, p: Place) -> Resample:
    """`dim 1 grid 14 -> 24 after 1`."""
    old, new, kept = p.terms.ints(tree)
    return Resample(p.dim(tree), kept, old, new)


def _drop(tree: Parsed, p: Place) -> Primitive:
    (count,) = p.terms.ints(tree)
    return DropUnits(p.dim(tree), count, *p.keys_of(tree))


def _noise(tree: Parsed, p: Place) -> Primitive:
    std = p.init(tree).removeprefix("normal(").removesuffix(")")
    try:
        return AddNoise(p.dim(tree), float(std), p.key(tree))
    except ValueError:
        p.terms.refuse("GP250", "noise is written `normal(STD)`", tree)


READERS: Mapping[str, Callable[[Parsed, Place], Primitive]] = {
    "load_tensor": lambda tree, p: Load(p.terms.names(tree)[0]),
    "store_tensor": lambda tree, p: Store(p.terms.names(tree)[0]),
    "copy_layer": _copy_layer,
    "copy_tensor": _copy_tensor,
    "duplicate_row": lambda tree, p: DuplicateRow(p.dim(tree), p.map(tree)),
    "split_column": _split,
    "ln_average": lambda tree, p: LnAverage(p.dim(tree), p.at(tree), p.root(tree) or ONE),
    "zero_out": lambda tree, p: ZeroOut(p.dim(tree), p.at(tree)),
    "fill": lambda tree, p: Fill(p.root(tree) or ONE),
    "fresh": lambda tree, p: Fresh(p.dim(tree), p.at(tree), p.init(tree), p.key(tree)),
    "add_null": _add_null,
    "leaf": _leaf,
    "from_leaf": lambda tree, p: FromLeaf(p.dim(tree), p.at(tree)),
    "sample_units": lambda tree, p: SampleUnits(p.dim(tree), p.terms.ints(tree)[0], p.key(tree)),
    "drop_units": _drop,
    "add_noise": _noise,
    "mask": _mask,
    "graft": lambda tree, p: Graft(p.dim(tree), p.at(tree)),
    "resample": resample,
    "scale": lambda tree, p: Scale(p.root(tree) or ONE),
    "rescale_norm": lambda tree, p: RescaleNorm(p.root(tree) or ONE),
}


def primitive(tree: Parsed, place: Place) -> Primitive:
    """The primitive among the children of `tree`."""
    (word,) = trees(tree, *READERS)
    return READERS[word.data](word, place)


def turns(tree: Parsed, terms: Terms, *loops: str) -> Iterator[tuple[Parsed, Terms]]:
    """The statements of a block in order, loops unrolled: (statement, the terms of its turn)."""
    for child in tree.children:
        if not isinstance(child, Tree):
            continue
        if child.data not in loops:
            yield child, terms
            continue
        begin, end = terms.ints(child)
        for i in range(begin, end):
            for statement in child.children:
                if isinstance(statement, Tree):
                    yield statement, Terms(terms.source, i, terms.maps)
