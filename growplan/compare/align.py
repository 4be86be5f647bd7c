"""Two lists of steps, or of stages, held against each other: what was added, removed, moved, changed."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

from growplan.compare.values import Added, Change, Changed, Edit, F, Kept, Moved, Removed


def aligned(
    old: Sequence[F],
    new: Sequence[F],
    pairs: Mapping[int, int],
    changes: Callable[[F, F], tuple[Change, ...]],
    stays: Callable[[F, F], bool] = lambda old, new: True,
) -> tuple[Edit[F], ...]:
    """One edit for each, in the new order; what was removed stands before what took its place.

    `pairs`: old index -> new index of those that are one; `changes`: the fields in which two differ;
    `stays`: whether two that are one may be where they were.
    """
    still = longest_run([pairs[i] for i in sorted(pairs) if stays(old[i], new[pairs[i]])])
    matched = {j: i for i, j in pairs.items()}
    out: list[Edit[F]] = []
    shown = 0  # old ones before this index have been dealt with
    for j, each in enumerate(new):
        until = next((matched[k] for k in range(j, len(new)) if k in still), len(old))
        out += [Removed(old[i]) for i in range(shown, until) if i not in pairs]
        shown = max(shown, until)
        source = matched.get(j)
        out.append(Added(each) if source is None else _edit(old[source], each, j not in still, changes))
    return (*out, *(Removed(old[i]) for i in range(shown, len(old)) if i not in pairs))


def _edit(old: F, new: F, moved: bool, changes: Callable[[F, F], tuple[Change, ...]]) -> Edit[F]:
    found = changes(old, new)
    if moved:
        return Moved(old, new, found)
    return Changed(old, new, found) if found else Kept(old, new)


def paired(
    old: Sequence[F], new: Sequence[F], ways: Sequence[Callable[[F], Iterable[Hashable]]]
) -> dict[int, int]:
    """Old index -> new index: those that have a key in common by the first of these ways, then by the next.

    Each is paired once, with the first that is free.
    """
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for keys in ways:
        free: dict[Hashable, list[int]] = {}
        for j in reversed(range(len(new))):
            for key in keys(new[j]) if j not in taken else ():
                free.setdefault(key, []).append(j)
        for i, each in enumerate(old):
            for key in keys(each) if i not in pairs else ():
                match = _next(free.get(key, []), taken)
                if match is not None:
                    pairs[i] = match
                    taken.add(match)
                    break
    return pairs


def _next(free: list[int], taken: set[int]) -> int | None:
    """The last of these indices that is not taken; those behind it are dropped."""
    while free:
        index = free.pop()
        if index not in taken:
            return index
    return None


def by_key(
    old: Mapping[str, str | None], new: Mapping[str, str | None]
) -> list[tuple[str, str | None, str | None]]:
    """(key, old, new) for every key of either."""
    return [(key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new])]


def differing(fields: Sequence[tuple[str, str | None, str | None]]) -> tuple[Change, ...]:
    """Those (name, old, new) whose values differ."""
    return tuple(Change(name, a, b) for name, a, b in fields if a != b)


def longest_run(order: Sequence[int]) -> set[int]:
    """A longest increasing subsequence: those that did not move.

    >>> sorted(longest_run([2, 0, 1, 3]))
    [0, 1, 3]
    """
    tails: list[int] = []
    last: list[int] = []  # position in `order` of each tail
    before: list[int] = []
    for position, value in enumerate(order):
        k = bisect_left(tails, value)
        tails[k : k + 1], last[k : k + 1] = [value], [position]
        before.append(last[k - 1] if k else -1)
    out: set[int] = set()
    at = last[-1] if last else -1
    while at >= 0:
        out.add(order[at])
        at = before[at]
    return out
