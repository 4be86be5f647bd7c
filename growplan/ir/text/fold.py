"""Folding repeated layers of a text: `for i in 0:12 { h.{i}.w … }`.

Works on statements whose layer numbers are marked (`mark`). Statements that are equal but
for numbers that grow evenly with the layer become one loop; nothing else is understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from growplan.ir.layers import NUMBER as IN_NAME

OPEN, CLOSE = "\ue000", "\ue001"  # private use: never in a name
NUMBER = re.compile(f"{OPEN}(\\d+){CLOSE}")
LONGEST_PERIOD = 4  # layers that repeat as a group: original, copy, original, copy


def mark(text: str) -> str:
    """A name with its numbers marked: `h.3.w` -> `h.<3>.w`."""
    return IN_NAME.sub(lambda m: f"{OPEN}{m[0]}{CLOSE}", text)


def mark_number(layer: int) -> str:
    """A number that may follow the layer."""
    return f"{OPEN}{layer}{CLOSE}"


def unmark(text: str) -> str:
    """The text as it reads where nothing was folded."""
    return text.replace(OPEN, "").replace(CLOSE, "")


@dataclass(frozen=True)
class Statement:
    """One statement with its numbers marked; `layer` is its place in the `group` it folds with.

    Statements of one `role` (the same tensor, whatever the layer) stand in one order in all layers.
    """

    text: str
    layer: int | None = None
    group: str = ""
    role: str = ""


def statement(text: str, name: str, group: str = "") -> Statement:
    """A statement about a tensor: its layer is the first number of `name`."""
    number = IN_NAME.search(name)
    if number is None:
        return Statement(text, None, f"{group}={name}")
    group += name[: number.start()]
    return Statement(text, int(number[0]), group, name[number.end() :])


@dataclass(frozen=True)
class Loop:
    """Statements of one turn, and the numbers they take at i = start, start + 1, …"""

    start: int
    stop: int
    body: tuple[str, ...]


Folded = str | Loop


def fold(statements: Sequence[Statement], names: Iterable[str] = ()) -> list[Folded]:
    """Statements and loops; the layers of a group come together.

    `names` are tensors in the order of the model, which groups and roles follow; what is of
    no tensor comes after, as it is given.
    """
    places: dict[str, int] = {}
    roles: dict[str, int] = {}
    for known in [*(statement("", name) for name in names), *statements]:
        places.setdefault(known.group, len(places))
        roles.setdefault(known.role, len(roles))
    groups: dict[str, list[Statement]] = {}
    for each in sorted(statements, key=lambda s: (places[s.group], s.layer or 0, roles[s.role])):
        groups.setdefault(each.group, []).append(each)
    folded: list[Folded] = []
    for group in groups.values():
        folded += [unmark(s.text) for s in group if s.layer is None]
        layers: dict[int, list[str]] = {}
        for s in group:
            if s.layer is not None:
                layers.setdefault(s.layer, []).append(s.text)
        folded += _fold_layers(list(layers.items()))
    return folded


def _fold_layers(layers: list[tuple[int, list[str]]]) -> list[Folded]:
    out: list[Folded] = []
    at = 0
    while at < len(layers):
        period, turns = _best(layers, at)
        if turns < 2:
            out += map(unmark, layers[at][1])
            at += 1
            continue
        start = layers[at][0] if period == 1 else 0
        first = [text for _, texts in layers[at : at + period] for text in texts]
        second = [text for _, texts in layers[at + period : at + 2 * period] for text in texts]
        body = tuple(_template(a, b, start) for a, b in zip(first, second, strict=True))
        out.append(Loop(start, start + turns, body))
        at += period * turns
    return out


def _best(layers: list[tuple[int, list[str]]], at: int) -> tuple[int, int]:
    """(period, turns) that cover most layers from `at`; the shortest period among equals."""
    best = (1, 1)
    for period in range(1, LONGEST_PERIOD + 1):
        turns = _turns(layers, at, period)
        if turns > 1 and turns * period > best[0] * best[1]:
            best = (period, turns)
    return best


def _turns(layers: list[tuple[int, list[str]]], at: int, period: int) -> int:
    """How many groups of `period` layers repeat from `at`, numbers growing evenly."""
    if len(layers) < at + 2 * period:
        return 1
    groups: list[list[int]] = []
    shape: list[str] | None = None
    turns = 0
    for begin in range(at, len(layers) - period + 1, period):
        group = layers[begin : begin + period]
        texts = [text for _, texts in group for text in texts]
        blank = [NUMBER.sub(OPEN, text) for text in texts]
        numbers = [int(n) for text in texts for n in NUMBER.findall(text)]
        start = layers[at][0] + begin - at
        if [layer for layer, _ in group] != list(range(start, start + period)):
            break
        if shape is not None and (blank != shape or not _even(groups, numbers, period)):
            break
        shape = blank
        groups.append(numbers)
        turns += 1
    return turns


def _even(groups: list[list[int]], numbers: list[int], period: int) -> bool:
    """Whether `numbers` go on as the groups before do: each by 0 to `period` a turn."""
    last = groups[-1]
    steps = [b - a for a, b in zip(last, numbers, strict=True)]
    if not all(0 <= step <= period for step in steps):
        return False
    return len(groups) < 2 or steps == [b - a for a, b in zip(groups[-2], last, strict=True)]


def _template(first: str, second: str, start: int) -> str:
    """The text of turn i, from those of the first two turns."""
    later = iter(NUMBER.findall(second))

    def number(match: re.Match[str]) -> str:
        value = int(match[1])
        step = int(next(later)) - value
        return str(value) if step == 0 else "{" + _affine(step, value - step * start) + "}"

    return NUMBER.sub(number, first)


def _affine(step: int, offset: int) -> str:
    scaled = "i" if step == 1 else f"{step}*i"
    return scaled if offset == 0 else f"{scaled}{offset:+d}"


def lines(folded: Sequence[Folded], indent: str) -> list[str]:
    """The text, loops as blocks."""
    out: list[str] = []
    for item in folded:
        if isinstance(item, str):
            out += [indent + line for line in item.split("\n")]
            continue
        out.append(f"{indent}for i in {item.start}:{item.stop} {{")
        out += [f"{indent}  {line}" for text in item.body for line in text.split("\n")]
        out.append(f"{indent}}}")
    return out
