"""What each step of a plan does to the moments of AdamW, in counts: for `check --optimizer`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from growplan.algebra import ONE, Root
from growplan.check.typed import TypedPlan, TypedStep
from growplan.ir.graph import Graph
from growplan.ir.moment_rules import of_step, primitives
from growplan.ir.moments import RULES, Kind, Moved

ORDER: tuple[Kind, ...] = ("exact", "estimate", "reset")


@dataclass(frozen=True)
class MomentGroup:
    """Tensors of a step that are treated alike; `why` is empty where their moments are exact.

    `factors`: factor on m -> how many of the tensors have it; its square is on v. `mixed` have several
    factors. `fresh` of them have new slices that no old one stands behind.
    """

    kind: Kind
    why: str
    tensors: tuple[str, ...]
    factors: Mapping[str, int]
    mixed: int
    fresh: int


@dataclass(frozen=True)
class StepMoments:
    """One step: its groups, exact ones first, and the rule of every primitive in it."""

    index: int
    id: str
    groups: tuple[MomentGroup, ...]
    rules: Mapping[str, tuple[Kind, str]]  # name of the primitive -> its kind, and what it does

    def count(self, kind: Kind) -> int:
        """How many tensors are of a kind."""
        return sum(len(group.tensors) for group in self.groups if group.kind == kind)


def moment_report(graph: Graph, typed: TypedPlan) -> tuple[StepMoments, ...]:
    """What becomes of the moments in every step, in terms of the model before it."""
    return tuple(_step(graph, step) for step in typed.steps)


def _step(graph: Graph, step: TypedStep) -> StepMoments:
    groups: dict[tuple[Kind, str], list[tuple[str, Moved]]] = {}
    for tensor, moved in of_step(graph, step).items():
        groups.setdefault((moved.kind, moved.why), []).append((tensor, moved))
    rules = {op.name: (RULES[op].kind, RULES[op].says) for op in primitives(graph, step)}
    found = [_group(kind, why, members) for (kind, why), members in groups.items()]
    found.sort(key=lambda group: ORDER.index(group.kind))
    return StepMoments(step.index, step.id, tuple(found), rules)


def _group(kind: Kind, why: str, members: list[tuple[str, Moved]]) -> MomentGroup:
    factors: dict[str, int] = {}
    mixed = 0
    for _, moved in members:
        factor = _factor(moved)
        if factor is None:
            mixed += moved.source is not None
        else:
            factors[str(factor)] = factors.get(str(factor), 0) + 1
    fresh = sum(moved.fresh for _, moved in members)
    return MomentGroup(kind, why, tuple(name for name, _ in members), factors, mixed, fresh)


def _factor(moved: Moved) -> Root | None:
    """The one factor on every entry that comes from an old one, or None."""
    if moved.source is None:
        return None
    total = ONE
    for axis in moved.axes:
        found = {part.c for part in axis.parts if part.kind == "copy"}
        if len(found) != 1:
            return None
        total = total * found.pop()
    return total
