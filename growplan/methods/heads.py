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

    heads = kv_heads before and after: one map for both. kv_heads fixed: the map is applied
    inside each group. heads fixed: each kv head is repeated for the parts of its group.

    Raises GP210 where no such layout exists.
    """
    old_heads, heads = grow.get("heads", (sizes["heads"],) * 2)
    old_kv, kv = grow.get("kv_heads", (sizes.get("kv_heads", old_heads),) * 2)
    if "kv_heads" not in sizes:
        return {"heads": unit_map(old_heads, heads)}
    if old_heads == old_kv and heads == kv:
        both = unit_map(old_heads, heads)
        return {"heads": both, "kv_heads": both}
    if heads % kv:
        _refuse(heads, kv, f"{heads} query heads cannot be shared by {kv} kv heads evenly")
    if kv == old_kv:
        return {"heads": _inside_groups(old_heads // kv, heads // kv, kv, unit_map)}
    if heads == old_heads and kv % old_kv == 0:
        return {"kv_heads": _repeated(old_kv, kv // old_kv)}
    _refuse(heads, kv, "query heads and kv heads can grow together only where they are equal")


def _inside_groups(old: int, new: int, groups: int, unit_map: UnitMap) -> Expansion:
    """The map of one group, laid out group by group."""
    group, runs = unit_map(old, new), []
    for g in range(groups):
        for run in group.runs:
            start = run.start + g * old if run.kind == "copy" else 0
            runs.append(Run(run.kind, run.count, start, run.c))
    return Expansion(old * groups, tuple(runs))


def _repeated(old: int, times: int) -> Expansion:
    """Each unit `times` times in place."""
    return Expansion.of_units(old, [j for j in range(old) for _ in range(times)])


def _refuse(heads: int, kv: int, why: str) -> NoReturn:
    legal = sorted({heads // kv * kv, (heads // kv + 1) * kv})
    fail(
        "GP210",
        f"no grouped-query layout for {heads} heads over {kv} kv heads: {why}",
        help=f"keep kv_heads at {kv} and use {' or '.join(map(str, legal))} heads",
    )
