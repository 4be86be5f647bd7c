"""A small LALR driver over the tables that lark made of grammar/plan.lark.

Tokens are found where the parser stands: only terminals that its state accepts are tried,
keywords (whole words) before patterns, as in lark's contextual lexer.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from growplan.language._tables import END, RULES, START, STATES, TERMINALS

KEYWORDS = {name: pattern for name, is_regex, pattern in TERMINALS if not is_regex}
SPACE = re.compile(r"[ \t\r]*")
WORD_END = re.compile(r"(?![\w-])")


@dataclass(frozen=True)
class Token:
    """A terminal with the half-open range of the text that it covers."""

    name: str
    text: str
    start: int
    end: int


@dataclass(frozen=True)
class Tree:
    """A rule that matched, with its tokens and subtrees in order."""

    name: str
    children: tuple[Token | Tree, ...]

    def tokens(self, *names: str) -> list[Token]:
        """The direct tokens of these names."""
        return [c for c in self.children if isinstance(c, Token) and c.name in names]

    def token(self, *names: str) -> Token | None:
        return next(iter(self.tokens(*names)), None)

    def trees(self, *names: str) -> list[Tree]:
        """The direct subtrees of these names."""
        return [c for c in self.children if isinstance(c, Tree) and c.name in names]

    def tree(self, name: str) -> Tree | None:
        return next(iter(self.trees(name)), None)


class Unexpected(Exception):
    """The text at `offset` fits nothing in `expected` (names of terminals, `$END`)."""

    def __init__(self, offset: int, expected: frozenset[str]) -> None:
        self.offset = offset
        self.expected = expected
        super().__init__(f"unexpected text at {offset}")


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(next(p for n, _, p in TERMINALS if n == name))


@cache
def _candidates(state: int) -> tuple[tuple[str, str | None], ...]:
    """Terminals that a state accepts, in the order tried, with the text of keywords."""
    row = STATES[state]
    return tuple((name, KEYWORDS.get(name)) for name, _, _ in TERMINALS if name in row)


def _next_token(state: int, text: str, at: int, end: int) -> Token | None:
    for name, keyword in _candidates(state):
        if keyword is None:
            match = _pattern(name).match(text, at, end)
            if match and match.end() > at:
                return Token(name, match.group(), at, match.end())
        elif text.startswith(keyword, at, end):
            stop = at + len(keyword)
            if not keyword[-1].isalpha() or WORD_END.match(text, stop, end):
                return Token(name, keyword, at, stop)
    return None


def _reduce(rule: int, states: list[int], values: list[Token | Tree] | None) -> None:
    """Pop a rule's symbols and push the rule; names with `_` give their children to the parent."""
    name, size = RULES[rule]
    del states[len(states) - size :]
    states.append(STATES[states[-1]][name])
    if values is None:
        return
    children: list[Token | Tree] = []
    for child in values[len(values) - size :]:
        if isinstance(child, Tree) and child.name.startswith("_"):
            children.extend(child.children)
        else:
            children.append(child)
    del values[len(values) - size :]
    values.append(Tree(name, tuple(children)))


def _accepts(states: list[int], terminal: str) -> bool:
    """Whether the parser would get past this terminal (tables alone promise too much)."""
    states = list(states)
    while True:
        if terminal == "$END" and states[-1] == END:
            return True
        action = STATES[states[-1]].get(terminal)
        if action is None:
            return False
        if action >= 0:
            return True
        _reduce(-action - 1, states, None)


def parse(text: str, start: int, end: int) -> Tree:
    """Parse one statement, `text[start:end]`. Raises Unexpected at the first word that does not fit."""
    states = [START]
    values: list[Token | Tree] = []
    at = start
    while True:
        space = SPACE.match(text, at, end)
        at = space.end() if space else at
        token = Token("$END", "", end, end) if at >= end else _next_token(states[-1], text, at, end)
        action = STATES[states[-1]].get(token.name) if token else None
        while action is not None and action < 0:
            _reduce(-action - 1, states, values)
            if at >= end and states[-1] == END:
                (tree,) = values
                assert isinstance(tree, Tree)
                return tree
            assert token is not None
            action = STATES[states[-1]].get(token.name)
        if token is None or action is None:
            expected = [n for n in (*(t[0] for t in TERMINALS), "$END") if _accepts(states, n)]
            raise Unexpected(at, frozenset(expected))
        states.append(action)
        values.append(token)
        at = token.end
