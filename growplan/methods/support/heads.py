"""Head maps that respect grouped-query attention.

A config maps query head j to kv head floor(j * KV* / H*), so groups are contiguous: a copy
of an old query head has to stay with a copy of its own kv head.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NoReturn

from growplan.algebra import Expansion, Run
from growplan.diagnostics import fail

UnitMap = Callable[[int, int], Expansion]  # (old, new) -> a map of so many units


def head_maps(
    grow: Mapping[str, tuple[int, int]], sizes: Mapping[str, int], unit_map: UnitMap
) -> dict[str, Expansion]:
    """Maps for `heads` and `kv_heads` when either grows; `unit_map` is the method's own map.

    Multi-head attention that stays so (heads = kv_heads): one map for both. Else kv head j gets
    n_j slots side by side, each with H*/KV* query heads; they hold the query heads of j's own
    group, widened by `unit_map`.

        H 6, KV 2 -> H 8, KV 4:   kv 0 0 1 1    heads 0 1 | 2 0 | 3 4 | 5 3

    Raises GP210 where no such layout exists.
    """
    old_heads, heads = grow.get("heads", (sizes["heads"],) * 2)
    old_kv, kv = grow.get("kv_heads", (sizes.get("kv_heads", old_heads),) * 2)
    if "kv_heads" not in sizes or (old_heads == old_kv and heads == kv):
        both = unit_map(old_heads, heads)
        return {"heads": both, "kv_heads": both} if "kv_heads" in sizes else {"heads": both}
    slots = _slots(old_kv, kv)
    old_group, group = old_heads // old_kv, heads // kv
    if heads % kv or min(slots) * group < old_group:
        _refuse(grow, old_heads, old_kv, heads, kv)
    maps = {"heads": _in_groups(old_group, [n * group for n in slots], unit_map)}
    if kv != old_kv:
        maps["kv_heads"] = Expansion.of_units(old_kv, [j for j, n in enumerate(slots) for _ in range(n)])
    return maps


def laid_out(grow: Mapping[str, tuple[int, int]], sizes: Mapping[str, int]) -> bool:
    """Whether `head_maps` has a layout for these sizes (or none of them is a number of heads)."""
    if not {"heads", "kv_heads"} & set(grow) or "kv_heads" not in sizes:
        return True
    (old_heads, heads), (old_kv, kv) = (grow.get(a, (sizes[a], sizes[a])) for a in ("heads", "kv_heads"))
    return (old_heads == old_kv and heads == kv) or _fits(old_heads, old_kv, heads, kv)


def _slots(old: int, new: int) -> list[int]:
    """How many copies each kv head gets: as even as can be, the first ones more."""
    each, more = divmod(new, old)
    return [each + (j < more) for j in range(old)]


def _in_groups(old: int, widths: list[int], unit_map: UnitMap) -> Expansion:
    """Group j of `old` heads widened to widths[j], laid out group by group."""
    runs = []
    for j, width in enumerate(widths):
        for run in unit_map(old, width).runs:
            start = run.start + j * old if run.kind == "copy" else 0
            runs.append(Run(run.kind, run.count, start, run.c))
    return Expansion(old * len(widths), tuple(runs))


def _refuse(
    grow: Mapping[str, tuple[int, int]], old_heads: int, old_kv: int, heads: int, kv: int
) -> NoReturn:
    """GP210 with the nearest sizes that have a layout."""
    if "heads" in grow:
        legal = [h for h in range(old_heads + 1, heads + 2 * kv) if _fits(old_heads, old_kv, h, kv)]
        below, above = [h for h in legal if h <= heads][-1:], [h for h in legal if h > heads][:1]
        ways = [f"{h} heads" for h in below + above]
    else:
        legal = [k for k in range(old_kv + 1, heads + 1) if _fits(old_heads, old_kv, heads, k)]
        ways = [f"{k} kv_heads" for k in sorted(legal, key=lambda k: abs(k - kv))[:2]]
    fail(
        "GP210",
        f"no grouped-query layout: {heads} query heads over {kv} kv heads, from {old_heads} over {old_kv}",
        notes=[
            ("needs", "heads a multiple of kv_heads, and room for every old head beside its own kv head"),
        ],
        help=f"use {' or '.join(ways)}" if ways else f"keep kv_heads at {old_kv}",
    )


def _fits(old_heads: int, old_kv: int, heads: int, kv: int) -> bool:
    return heads % kv == 0 and min(_slots(old_kv, kv)) * (heads // kv) >= old_heads // old_kv
