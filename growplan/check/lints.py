"""Lints: sound plans that train badly, or run badly. Warnings and notes, never errors.

One finding per kind and plan, with everything it holds of: a lint must not drown what it stands beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from growplan.algebra import Root
from growplan.check.learned_lints import learned_lints
from growplan.check.ramp_lints import ramp_lints
from growplan.check.recipe_lints import dropout_keys
from growplan.check.roles import attention_roles
from growplan.check.size_lints import size_lints
from growplan.check.trial import widens
from growplan.check.typed import TypedStep
from growplan.diagnostics import Diagnostic
from growplan.families.model import Model
from growplan.methods import get_method
from growplan.methods.base import Claim

TWINS = ("even", "own")  # shares under which copies may trade places, and so get one gradient
ZERO = ("normal(0)", "normal(0.0)")
INPUTS = ("vocab", "positions")  # rows that are looked up: zero ones learn when they are seen


def lint(steps: Sequence[TypedStep], source: Model, target: Model, claim: Claim) -> Iterator[Diagnostic]:
    """Every finding about a checked plan."""
    yield from _twins(steps)
    yield from _equal_experts(steps)
    yield from learned_lints(steps)
    yield from _dead(steps)
    yield from _dead_dims(steps)
    yield from _rounding(steps)
    yield from ramp_lints(steps)
    yield from _dropout(target, claim)
    yield from size_lints(steps, source, target)


def _twins(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """Copies that trade places without a change get identical gradients and stay identical."""
    every = [each for step in steps for each in step.start or (step,)]
    found = [(step, axes) for step in every if (axes := twin_axes(step))]
    if not found:
        return
    begun = {start.id: step for step in steps for start in step.start}
    ways = [_other_start(begun[s.id], s) if s.id in begun else _split(s) for s, _ in found]
    yield Diagnostic(
        "GP901",
        f"copies of {_named(axis for _, axes in found for axis in axes)} "
        f"{_alike(step for step, _ in found)}: a deterministic optimiser keeps them identical for ever",
        found[0][0].span,
        help=tuple(dict.fromkeys(ways)),
        severity="warning",
    )


def _equal_experts(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """Experts that get one gradient: copies with their scores, or all of them under a router of zeros."""
    copied = [step for step in steps if "experts" in step.maps and step.maps["experts"].most_copies > 1]
    tied = [step for step in steps if step.upcycling and step.upcycling.mixture.router == "zeros"]
    if copied:
        yield Diagnostic(
            "GP914",
            "copies of an expert are picked together, with one weight: a deterministic optimiser keeps "
            "them identical for ever",
            copied[0].span,
            help=("upcycle the dense model to as many experts, `noise 0.02` or `drop 0.5` with it",),
            severity="warning",
        )
    if tied:
        yield Diagnostic(
            "GP914",
            "a router of zeros scores all experts alike: the same ones get every token, and the others never "
            "learn",
            tied[0].span,
            help=("leave `router` out: it is drawn",),
            severity="warning",
        )


def twin_axes(step: TypedStep) -> list[str]:
    """The axes whose copies get one and the same gradient in `step`: all that reads them reads them alike."""
    above = _grafted_axes(step)
    copied = [axis for axis, e in step.maps.items() if e.most_copies > 1 and axis not in above]
    return [axis for axis in copied if _read_alike(axis, step)]


def _grafted_axes(step: TypedStep) -> set[str]:
    """The axes whose new units are no copies: they come from the layer above."""
    found: set[str] = set()
    for rewrite in step.rewrites:
        module = step.before.modules[rewrite.module]
        side = {"rows": module.outs, "cols": module.ins}.get(rewrite.graft)
        found |= side.axes if side is not None else set()
    return found


def _read_alike(axis: str, step: TypedStep) -> bool:
    inner = {t.module.name for t in step.typings if t.module.ins is not None and axis in t.module.ins.axes}
    readers = [r for r in step.rewrites if r.module in inner and r.cols is not None]
    return bool(readers) and all(r.noise is None and r.shares in TWINS for r in readers)


def _alike(steps: Iterable[TypedStep]) -> str:
    own = all(r.shares == "own" for step in steps for r in step.rewrites)
    return "read each their own" if own else "share their weights evenly"


def _split(step: TypedStep) -> str:
    method = get_method(step.method)
    choices = {o.name: o.choices for o in method.options} if method is not None else {}
    if "uneven" in choices.get("split", ()):
        return "`split uneven`, which is as exact"
    if "snr_db" in choices:
        return "`snr_db 20`: noise that cancels, as exact"
    if step.proof.claim.strength == "exact":
        return "`via lemon`, as exact, whose copies are told apart"
    return "`via bert2bert, split uneven`, whose copies get shares of their own"


def _other_start(step: TypedStep, start: TypedStep) -> str:
    """A start of a learned step whose copies differ."""
    grow = {axis: (old, new) for axis, old, new in start.axes}
    if not widens("fpi", grow, start.before):
        return "leave `init` out: LiGO's own inits differ"
    plain = step.operator is not None and not step.operator.residual
    return "`init fpi`" + " without `residual none`" * plain + ", whose copies differ"


def _dead(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """Zero rows read by zero columns, or scored against zero keys, never get a gradient."""
    found = [(step, axes) for step in steps if (axes := dead_axes(step))]
    if found:
        yield Diagnostic(
            "GP902",
            f"new units of {_named(axis for _, axes in found for axis in axes)} are zero on both sides: "
            "they never get a gradient",
            found[0][0].span,
            help=("leave `init like`, or give `normal(STD)` a positive STD",),
            severity="warning",
        )


def dead_axes(step: TypedStep) -> list[str]:
    """The axes with new units that no gradient reaches.

    Mean rows do get one, through the statistics of the norm that reads them.
    """
    if not step.rewrites or step.rewrites[0].init not in ZERO:
        return []
    kinds = {"hidden": {"zero"}}
    axes = [axis for axis, e in step.maps.items() if e.kinds & kinds.get(axis, {"free"})]
    return list(dict.fromkeys(base for axis in axes if (base := axis.partition("/")[0]) not in INPUTS))


def _dead_dims(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """New units of queries and of keys, both zero before a norm over the head, wait for each other."""
    for step in steps:
        dims = step.maps.get("head_dim")
        if dims is not None and dims.size > dims.old and {"q", "k"} <= attention_roles(step.before).normed:
            yield Diagnostic(
                "GP902",
                "new head dims of queries and keys are zero on both sides, as the norms over the head need: "
                "they never get a gradient (those of values do)",
                step.span,
                help=("grow heads instead, or train with noise on the new rows of both projections",),
                severity="warning",
            )
            return


def _rounding(steps: Sequence[TypedStep]) -> Iterator[Diagnostic]:
    """Factors on stored tensors that half precision cannot hold widen the measured error."""
    found: dict[str, TypedStep] = {}
    for step in steps:
        if step.before.dtype in ("BF16", "F16"):
            factors = {c for r in step.rewrites for c in r.rows.scales if not _power_of_two(c)}
            found |= {str(c): step for c in sorted(factors, key=str) if str(c) not in found}
    if not found:
        return
    first = next(iter(found.values()))
    yield Diagnostic(
        "GP903",
        f"weights are multiplied by {', '.join([*found][:3])} and rounded to {first.before.dtype.lower()}: "
        "exact over the reals, the stored error is larger",
        first.span,
        help=tuple(dict.fromkeys(map(_clean_sizes, found.values()))),
        severity="warning",
    )


def _clean_sizes(step: TypedStep) -> str:
    """Sizes that need no factor, or one that every float holds."""
    if any(axis == "head_dim" for axis, _, _ in step.axes):
        return "4 times the old head size needs a factor of 2, which every float holds"
    return "a multiple of the old size needs no factor, or a power of two"


def _power_of_two(c: Root) -> bool:
    value = c.as_rational()
    if value is None or value == 0:
        return value is not None
    parts = (abs(value.numerator), value.denominator)
    return all(part & (part - 1) == 0 for part in parts)


def _dropout(target: Model, claim: Claim) -> Iterator[Diagnostic]:
    """An exact claim is one of eval mode: under dropout the wider model draws other masks."""
    found = dropout_keys(target.config) if claim.strength == "exact" else {}
    if found:
        shown = ", ".join(f"`{key}` {value}" for key, value in found.items())
        yield Diagnostic(
            "GP912",
            f"exact in eval mode; in training, dropout draws other masks ({shown})",
            help=("set these to 0 in the config to see the first training loss unchanged",),
            severity="note",
        )


def _named(axes: Iterable[str]) -> str:
    """`ffn` and `heads`, each axis once."""
    words = [f"`{axis}`" for axis in dict.fromkeys(axis.partition("/")[0] for axis in axes)]
    return " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
