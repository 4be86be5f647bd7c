"""Words with their places, and the vocabulary of plans."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from growplan.diagnostics import Source, Span

VERBS = ("widen", "stack", "deepen", "mask-in", "grow", "upcycle")
HEADERS = ("growplan", "extends", "source", "target", "seed", "family")
STATEMENTS = ("stage", "train", "train-only", "freeze")  # of a plan with stages, beside its steps
PARTS = ("freeze", "train-only")
PATHS = ("source", "target", "family")  # headers that are relative to the plan's folder
AXES = ("hidden", "ffn", "heads", "kv_heads", "head_dim", "vocab", "positions", "image", "depth", "experts")
EXPECTS = ("exact", "approximate", "none")
FIELDS = ("id", "via", "over", "on", "steps", "expect")  # step keys that are not method options
SIZES = ("from", "to", "by")
# Line breaks other than "\n", control characters, and what is no character at all; not the tab.
_INVISIBLE = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff"
INVISIBLE_IN_FILES = re.compile(f"[{_INVISIBLE}]|\r(?!\n)")
INVISIBLE_IN_VALUES = re.compile(f"[{_INVISIBLE}\n\r]")


@dataclass(frozen=True)
class Word:
    """A piece of plan text: what it says, where, and whether quotes made it a string."""

    text: str
    span: Span
    quoted: bool = False


class Text:
    """A string whose characters know where they stand in a source.

    `starts[i]`, `ends[i]` are the source range of character i; without them the text is a
    verbatim slice of the source from `base` on.
    """

    def __init__(
        self,
        text: str,
        source: Source,
        base: int = 0,
        starts: Sequence[int] | None = None,
        ends: Sequence[int] | None = None,
    ) -> None:
        self.text = text
        self.source = source
        self.base = base
        self.starts = starts
        self.ends = ends

    def span(self, start: int, end: int) -> Span:
        """The source range of `text[start:end]`; an empty range is a place between characters."""
        if self.starts is None or self.ends is None:
            return Span(self.source, self.base + start, self.base + end)
        if not self.text:
            return Span(self.source, self.base, self.base)
        first = self.starts[start] if start < len(self.starts) else self.ends[-1]
        return Span(self.source, first, max(first, self.ends[end - 1]) if end > start else first)

    def places(self) -> tuple[list[int], list[int]]:
        """`starts` and `ends`, spelled out."""
        if self.starts is not None and self.ends is not None:
            return list(self.starts), list(self.ends)
        first = [self.base + i for i in range(len(self.text))]
        return first, [i + 1 for i in first]

    def __len__(self) -> int:
        return len(self.text)


def suggest(word: str, candidates: Iterable[str]) -> str | None:
    """The candidate that `word` was probably meant to be."""
    from difflib import get_close_matches

    found = get_close_matches(word.lower().replace("_", "-"), list(candidates), 1, 0.6)
    return found[0] if found else next(iter(get_close_matches(word, list(candidates), 1, 0.6)), None)


def did_you_mean(word: str, candidates: Sequence[str], otherwise: str) -> tuple[str, ...]:
    """Help lines for a word that is none of the candidates."""
    near = suggest(word, candidates)
    return (f"did you mean `{near}`?",) if near else (otherwise,)


def joined(spans: Iterable[Span | None]) -> Span | None:
    """The smallest range that covers all of these, in the source of the first."""
    known = [s for s in spans if s is not None]
    if not known:
        return None
    source = known[0].source
    same = [s for s in known if s.source is source]
    return Span(source, min(s.start for s in same), max(s.end for s in same))
