"""The semantic diff: steps matched by id, then compared field by field."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence

from growplan.compare.facts import facts, totals
from growplan.compare.header import header
from growplan.compare.sides import CompiledSide, Side, compiled
from growplan.compare.values import (
    Added,
    Change,
    Changed,
    Edit,
    Kept,
    Moved,
    PlanDiff,
    Removed,
    StepFacts,
    TensorChange,
)


def compare(
    old: Side,
    new: Side,
    *,
    model_dir: str | None = None,
    family: str | None = None,
    tensors: bool = True,
) -> PlanDiff:
    """What changed from `old` to `new`.

    Needs the sources' config.json for sizes, claims, costs and tensors; without one the plans
    are compared as written and `notes` say so. `tensors=False` skips the comparison of the
    lowered programs.
    """
    from growplan.language import plan_hash

    given = [side.plan for side in (old, new) if side.plan is not None]
    same = len(given) == 2 and plan_hash(given[0]) == plan_hash(given[1])
    left, right = (
        compiled(side, model_dir=model_dir, family=family, lower=tensors and not same) for side in (old, new)
    )
    missing = [side for side in (left, right) if side.problems]
    steps = [facts(side, symbolic=bool(missing)) for side in (left, right)]
    return PlanDiff(
        old.name,
        new.name,
        same,
        _mapping_changes(header(left.plan), header(right.plan)),
        edits(*steps),
        None if left.typed is None else totals(left.typed),
        None if right.typed is None else totals(right.typed),
        _tensors(left, right) if tensors and not same else (() if same else None),
        tuple(_note(side) for side in missing),
    )


def _tensors(left: CompiledSide, right: CompiledSide) -> tuple[TensorChange, ...] | None:
    if left.graph is None or right.graph is None:
        return None
    from growplan.compare.tensors import tensor_changes

    return tensor_changes(left.graph, right.graph)


def _note(side: CompiledSide) -> str:
    """Why a side is compared as written: its source is out of reach, or it does not check."""
    first = side.problems[0]
    unread = first.code.startswith(("GP3", "GP4")) or first.code == "GP130"
    known = first.span is None or (unread and first.span.source.name == side.name)  # it names its source
    place = "" if known else f" ({first.span})"
    why = "without its source" if unread else "for it does not check"
    return f"{side.name}: compared as written, {why}: {first.code}: {first.message}{place}"


# steps -------------------------------------------------------------------------------------------------


def edits(old: Sequence[StepFacts], new: Sequence[StepFacts]) -> tuple[Edit, ...]:
    """One edit per step, in the new order; what was removed stands before what took its place."""
    pairs = _pairs(old, new)
    still = _longest_run([pairs[i] for i in sorted(pairs)])
    matched = {j: i for i, j in pairs.items()}
    out: list[Edit] = []
    shown = 0  # old steps before this index have been dealt with
    for j, step in enumerate(new):
        until = next((matched[k] for k in range(j, len(new)) if k in still), len(old))
        out += [Removed(old[i]) for i in range(shown, until) if i not in pairs]
        shown = max(shown, until)
        source = matched.get(j)
        out.append(Added(step) if source is None else _edit(old[source], step, moved=j not in still))
    return (*out, *(Removed(old[i]) for i in range(shown, len(old)) if i not in pairs))


def _pairs(old: Sequence[StepFacts], new: Sequence[StepFacts]) -> dict[int, int]:
    """Old index -> new index: by id, then steps that say the same under another id."""
    by_id = {step.id: j for j, step in enumerate(new)}
    pairs = {i: by_id[step.id] for i, step in enumerate(old) if step.id in by_id}
    taken = set(pairs.values())
    for i, step in enumerate(old):
        if i in pairs:
            continue
        for j, other in enumerate(new):
            if j not in taken and _meaning(step) == _meaning(other):
                pairs[i] = j
                taken.add(j)
                break
    return pairs


def _meaning(step: StepFacts) -> tuple[object, ...]:
    return step.verb, step.method, step.sizes, step.words, step.options


def _edit(old: StepFacts, new: StepFacts, moved: bool) -> Edit:
    changes = step_changes(old, new)
    if moved:
        return Moved(old, new, changes)
    return Changed(old, new, changes) if changes else Kept(old, new)


def step_changes(old: StepFacts, new: StepFacts) -> tuple[Change, ...]:
    """The fields that differ, those the user wrote first."""
    fields = [
        ("id", old.id, new.id),
        ("verb", old.verb, new.verb),
        ("sizes", old.words, new.words),
        ("method", old.method, new.method),
        *((f"option {key}", a, b) for key, a, b in _by_key(dict(old.options), dict(new.options))),
        ("implied", old.implied, new.implied),
        ("candidate", old.candidate, new.candidate),
        ("claim", old.promised, new.promised),
        ("proof", old.proof, new.proof),
    ]
    return tuple(Change(name, a, b) for name, a, b in fields if a != b)


def _mapping_changes(old: Mapping[str, str | None], new: Mapping[str, str | None]) -> tuple[Change, ...]:
    return tuple(Change(key, a, b) for key, a, b in _by_key(old, new) if a != b)


def _by_key(
    old: Mapping[str, str | None], new: Mapping[str, str | None]
) -> list[tuple[str, str | None, str | None]]:
    return [(key, old.get(key), new.get(key)) for key in dict.fromkeys([*old, *new])]


def _longest_run(order: Sequence[int]) -> set[int]:
    """A longest increasing subsequence: the steps that did not move.

    >>> sorted(_longest_run([2, 0, 1, 3]))
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
