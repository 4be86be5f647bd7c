"""Small sizes in place of a plan's own, such that everything the checker asks of them stays as it was.

Each axis is divided by a common divisor of all the sizes it has in the plan, so that ratios,
multiples and residues survive; divisors are chosen together where an equation, a constraint or
a formula of the family couples axes, so that each holds after every step exactly where it did.

    hidden 768→1024   ->   12→16        heads 12→16   ->   3→4        head_dim 64   ->   4

Vocabulary and positions have no such couplings and often no common divisor: they shrink to a
few units, with the same quotient, and a remainder exactly where there was one; so does an axis of
its own whose sizes have no divisor in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

from growplan.check.typed import TypedPlan
from growplan.families.expr import ExpressionError, evaluate_size, size_names
from growplan.families.model import Model
from growplan.methods import get_method

Sizes = Mapping[str, int]
Chain = tuple[int, ...]  # the sizes of one axis, in the order of the plan

# the smallest size that an axis is shrunk to, where its own divisors allow
FLOORS: Mapping[str, int] = {
    "hidden": 8,
    "heads": 2,
    "kv_heads": 2,
    "head_dim": 4,
    "ffn": 8,
    "depth": 2,
    "patch": 2,
    "grid": 2,
    "image": 4,
}
FLOOR = 8  # of an axis that a family of the user's own brings
FEW: Mapping[str, int] = {"vocab": 29, "positions": 16}
LARGE = 256  # an axis on its own that divides no further than this loses its exact ratios instead
KEPT = ("experts", "active", "types", "labels", "channels")  # small already, or counted by a list


@dataclass(frozen=True)
class Relation:
    """Something that holds, or does not, between sizes after step `state` (0: of the source)."""

    state: int
    kind: str  # equal | divides
    left: str
    right: str

    @property
    def axes(self) -> frozenset[str]:
        return size_names(self.left) | size_names(self.right)

    def holds(self, sizes: Sizes) -> bool:
        a, b = evaluate_size(self.left, sizes), evaluate_size(self.right, sizes)
        return bool(a == b) if self.kind == "equal" else bool(b and a % b == 0)


def toy_sizes(typed: TypedPlan) -> tuple[dict[str, int], ...]:
    """The sizes of the source and of the model after each step, shrunk together."""
    models = [typed.source, *(step.after for step in typed.steps)]
    states = [dict(model.sizes) for model in models]
    chains = {
        axis: tuple(sizes[axis] for sizes in states if axis in sizes)
        for axis in dict.fromkeys(axis for sizes in states for axis in sizes)
    }
    relations = [r for r in _relations(models) if r.axes <= chains.keys() - FEW.keys()]
    divisors = _divisors(typed, states, chains, relations)
    coupled = frozenset().union(*(r.axes for r in relations))
    small = {a: _small(a, chain, divisors.get(a, 1), a in coupled) for a, chain in chains.items()}
    left = {axis: iter(chain) for axis, chain in small.items()}
    out = [{axis: next(left[axis]) for axis in sizes} for sizes in states]
    for model, toy in zip(models, out, strict=True):
        toy.update(_derived(model, toy))
    return tuple(out)


def _derived(model: Model, toy: Sizes) -> dict[str, int]:
    """What a formula makes of the other sizes, for the axes in FEW: positions of an image's patches."""
    found = {}
    for rule in model.family.sizes:
        formula = rule.default if rule.key is None and rule.axis in FEW else None
        if formula is not None and evaluate_size(formula, model.sizes) == model.sizes[rule.axis]:
            found[rule.axis] = int(evaluate_size(formula, toy))
    return found


def _small(axis: str, chain: Chain, divisor: int, coupled: bool) -> Chain:
    divided = tuple(size // divisor for size in chain)
    if axis in FEW:
        return few(chain, FEW[axis])
    if axis in KEPT:
        return chain
    stubborn = min(divided) > LARGE and not coupled and list(chain) == sorted(chain)
    return few(chain, FEW["vocab"]) if stubborn else divided


def few(chain: Chain, units: int) -> Chain:
    """A chain that starts at `units`: each size the same multiple of the one before it, with a
    remainder where it had one.

    >>> few((50257, 50304, 100608), 29)
    (29, 30, 60)
    """
    if chain[0] <= units:
        return chain
    out = [units]
    for old, new in pairwise(chain):
        factor, rest = divmod(new, old)
        small = min(out[-1] - 1, max(1, round(rest * out[-1] / old))) if rest else 0
        out.append(factor * out[-1] + small)
    return tuple(out)


def _divisors(
    typed: TypedPlan, states: Sequence[Sizes], chains: Mapping[str, Chain], relations: Sequence[Relation]
) -> dict[str, int]:
    """The divisor of each axis that is divided."""
    counted = _counted(typed)
    least = {**FLOORS, "depth": max(FLOORS["depth"], *_least_depths(typed))}
    chains = {axis: chain for axis, chain in chains.items() if axis not in FEW and axis not in KEPT}
    found: dict[str, int] = {}
    for group in _groups(chains, relations):
        inside = [r for r in relations if r.axes <= set(group)]
        ordered = sorted(group, key=lambda axis: len(size_divisors(chains[axis], ())))
        for strict in (True, False):
            floors = {a: least.get(a, FLOOR) if strict else 1 for a in group}
            options = {a: _allowed(chains[a], floors[a], counted.get(a, ()), a) for a in ordered}
            best = _smallest(ordered, options, inside, states, chains)
            if best is not None:
                found |= best
                break
    return found


def _allowed(chain: Chain, floor: int, counted: tuple[int, ...], axis: str) -> list[int]:
    """Divisors that leave at least `floor` (or what there was), and even head dimensions even."""
    least = min(floor, min(chain))
    even = axis == "head_dim" and all(size % 2 == 0 for size in chain)
    return [
        d
        for d in size_divisors(chain, counted)
        if min(chain) // d >= least and not (even and any(size // d % 2 for size in chain))
    ]


def size_divisors(chain: Chain, counted: tuple[int, ...]) -> list[int]:
    """All common divisors, largest first."""
    common = gcd(*chain, *counted)
    return [d for d in range(common, 0, -1) if common % d == 0]


def _smallest(
    axes: Sequence[str],
    options: Mapping[str, list[int]],
    relations: Sequence[Relation],
    states: Sequence[Sizes],
    chains: Mapping[str, Chain],
) -> dict[str, int] | None:
    """The divisors that give the smallest sizes among those that change no relation."""
    best: tuple[float, dict[str, int]] | None = None
    for chosen in _choices(axes, options, relations, states, {}):
        total = sum(sum(chains[axis]) / d for axis, d in chosen.items())
        if best is None or total < best[0]:
            best = total, chosen
    return None if best is None else best[1]


def _choices(
    axes: Sequence[str],
    options: Mapping[str, list[int]],
    relations: Sequence[Relation],
    states: Sequence[Sizes],
    chosen: dict[str, int],
) -> Iterator[dict[str, int]]:
    """Every choice of divisors under which each relation says what it said of the plan's own sizes."""
    if len(chosen) == len(axes):
        yield dict(chosen)
        return
    axis = axes[len(chosen)]
    for divisor in options[axis]:
        chosen[axis] = divisor
        decided = [r for r in relations if axis in r.axes and r.axes <= chosen.keys()]
        if all(_same(r, states[r.state], chosen) for r in decided):
            yield from _choices(axes, options, relations, states, chosen)
        del chosen[axis]


def _same(relation: Relation, sizes: Sizes, divisors: Mapping[str, int]) -> bool:
    small = {axis: sizes[axis] // divisors[axis] for axis in relation.axes}
    try:
        return relation.holds(sizes) == relation.holds(small)
    except ExpressionError:
        return False


def _relations(models: Sequence[Model]) -> Iterator[Relation]:
    """What the families say of the sizes of every state, and that heads and kv heads are one number."""
    for state, model in enumerate(models):
        family, sizes = model.family, model.sizes
        for kind, pairs in (("equal", (*family.equations, *family.keeps)), ("divides", family.constraints)):
            for left, right in pairs:
                yield Relation(state, kind, left, right)
        if "kv_heads" in sizes:
            yield Relation(state, "equal", "heads", "kv_heads")
        for rule in family.sizes:
            given = any(model.config.get(key) is not None for key in (rule.key, *rule.also) if key)
            if rule.default is not None and not given:
                yield Relation(state, "equal", rule.axis, rule.default)


def _groups(chains: Mapping[str, Chain], relations: Sequence[Relation]) -> list[list[str]]:
    """The axes, those that a relation couples side by side."""
    groups = [{axis} for axis in chains]
    for relation in relations:
        touched = [group for group in groups if group & relation.axes]
        groups = [group for group in groups if group not in touched] + [set().union(*touched)]
    return [sorted(group) for group in groups if group]


def _counted(typed: TypedPlan) -> dict[str, tuple[int, ...]]:
    """Numbers in the options of steps that count units of an axis, and so shrink with it."""
    found: dict[str, tuple[int, ...]] = {}
    for step in typed.plan.steps:
        for key, axis in counting(next((t.method for t in typed.steps if t.id == step.id), "")).items():
            value = step.options.get(key)
            if type(value) is int:
                found[axis] = (*found.get(axis, ()), value)
    return found


def _least_depths(typed: TypedPlan) -> list[int]:
    """Layers that the steps' methods need to add some."""
    methods = (get_method(step.method) for step in typed.steps)
    return [1, *(method.least_depth for method in methods if method is not None)]


def counting(method: str) -> dict[str, str]:
    """Option -> the axis whose units its value counts."""
    found = get_method(method)
    return {} if found is None else {o.name: o.counts for o in found.options if o.counts}
