"""Reading the small parts of `growir`: names, numbers, maps and loops."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NoReturn

from lark import Token, Tree

from growplan.algebra import ONE, Expansion, Root, Run
from growplan.diagnostics import Source, Span, fail
from growplan.ir.graph import TensorType
from growplan.ir.text.implied import FORM

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
