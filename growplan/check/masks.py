"""Where the growth masks of a plan stand in the model it makes: what the runtime hooks into."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from growplan.algebra import Expansion
from growplan.check.blocks import writers
from growplan.check.claims import StepProof
from growplan.check.resolve import Request
from growplan.check.typed import TypedPlan, TypedStep
from growplan.diagnostics import fail
from growplan.families.axes import STREAM
from growplan.families.model import Model
from growplan.methods.base import Ramp

Kind = Literal["input", "output", "norm", "block"]
TOGETHER = {"heads": ("heads", "kv_heads", "head_dim")}  # axes that place the units of another


@dataclass(frozen=True)
class Site:
    """One place of a mask, in some layers (None: outside of them).

    `input`: units `at` of what `module` reads are multiplied by m; `output`: what it puts out, whole;
    `norm`: it weighs units `at` by m; `block`: h -> m f(h) + (1 - m) h, and `module` is empty.
    """

    kind: Kind
    module: str
    layers: tuple[int, ...] | None
    at: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class GrowthMask:
    """The mask of one step. `stock`: a stock load of what `apply` writes is exact at m = 0."""

    step: str
    axis: str
    old: int
    new: int
    ramp: Ramp
    stock: bool
    sites: tuple[Site, ...]


def growth_masks(typed: TypedPlan) -> tuple[GrowthMask, ...]:
    """The masks of a plan that can rise, in the order of its steps."""
    live = live_steps(typed.steps)
    return tuple(
        GrowthMask(
            step=step.id,
            axis=axis,
            old=old,
            new=new,
            ramp=step.ramp,
            stock=step.proof.claim.where == "stock",
            sites=tuple(_sites(step, typed.target)),
        )
        for step in typed.steps
        for axis, old, new in step.axes[:1]
        if step.ramp is not None and step.index in live
    )


def as_trained(typed: TypedPlan) -> TypedPlan:
    """The plan with its steps in the form that is trained: behind masks, where these can rise."""
    live = live_steps(typed.steps)
    steps = (step.attached if step.index in live else None for step in typed.steps)
    found = tuple(form or step for form, step in zip(steps, typed.steps, strict=True))
    return typed if found == typed.steps else replace(typed, steps=found)


def raw_config(typed: TypedPlan) -> dict[str, float]:
    """The keys of config.json that have another value behind the masks of a plan, with that: epsilons."""
    live = live_steps(typed.steps)
    out: dict[str, float] = {}
    for step in (s for s in typed.steps if s.index in live and s.attached is not None):
        for key, _ in step.config:
            out.setdefault(key, float(step.before.config[key]))
    return out


def stored_config(typed: TypedPlan) -> Mapping[str, object]:
    """config.json of what `apply` writes: with tensors as they are trained, where masks must be attached."""
    config = typed.target.config
    return {**config, **raw_config(typed)} if typed.claim.where == "attached" else config


def in_experts(step: TypedStep) -> bool:
    """Whether a mask of a step stands inside experts of a mixture, which have no module of their own."""
    if _masked(step) is None:
        return False
    modules = step.after.modules
    return any(site.module and modules[site.module].in_expert for site in _sites(step, step.after))


def refuse_unattachable(typed: TypedPlan) -> None:
    """GP586 where a mask must be attached, and cannot be: the plan's model could never be run."""
    for step in typed.steps:
        if step.proof.claim.where == "attached" and in_experts(step):
            fail(
                "GP586",
                f"the mask of `{step.id}` stands inside experts, and cannot be attached",
                step.span,
                notes=[("why", f"{step.text} is exact with its mask attached alone")],
                help="grow it without a mask: `growplan methods` lists what serves `widen` and `deepen`",
            )


def _sites(step: TypedStep, target: Model) -> Iterator[Site]:
    axis, old, new = step.axes[0]
    if axis == "depth":
        yield from _blocks(step, target)
        return
    if axis == "hidden":
        for module in target.modules.values():
            if module.is_norm and module.outs == STREAM:
                yield Site("norm", module.name, _layers(module.in_layer, target), ((old, new),))
    for rewrite in (step.attached or step).rewrites:
        free = rewrite.cols.positions("free") if rewrite.masked and rewrite.cols is not None else ()
        if free:
            in_layer = target.modules[rewrite.module].in_layer
            yield Site("input", rewrite.module, _layers(in_layer, target), free)


def _blocks(step: TypedStep, target: Model) -> Iterator[Site]:
    new = tuple(i for i, source in enumerate(step.layers) if source.silent)
    if any(source.writers == "bypassed" for source in step.layers):
        yield Site("block", "", new)
        return
    for name in writers(target):
        yield Site("output", name, new)


def _layers(in_layer: bool, target: Model) -> tuple[int, ...] | None:
    return tuple(range(target.depth)) if in_layer else None


def live_steps(steps: Sequence[TypedStep]) -> frozenset[int]:
    """The steps (by index) whose masks can rise.

    No later step moves or copies the units behind them, and they do not stand inside experts.
    """
    return frozenset(
        step.index
        for i, step in enumerate(steps)
        if _masked(step) is not None
        and not in_experts(step)
        and not any(_moved(step, later.verb, later.axes, later) for later in steps[i + 1 :])
    )


def refuse_behind_masks(request: Request, part: StepProof, earlier: Sequence[TypedStep]) -> None:
    """GP580 for a step that moves or copies units or layers which an attached mask of an earlier step hides.

    Behind units of a mask others may come, behind a mask of their own. A mask that the checkpoint itself
    holds at 0 is given up instead (`live_steps`): the function is the old one all the same.
    """
    axes = tuple((axis, old, new) for axis, (old, new) in request.grow.items())
    for step in earlier:
        moved = _moved(step, request.verb, axes, part)
        if moved and step.proof.claim.where == "attached":
            fail(
                "GP580",
                f"`{moved}` meets units that `{step.id}` keeps behind a mask",
                request.span,
                notes=[("masked by", step.text)],
                help="let the mask rise first: grow this in a plan of its own, from the finished model",
            )


def _masked(step: TypedStep) -> str | None:
    """The axis that a step masks."""
    axis = next((axis for axis, old, new in step.axes[:1] if old != new), None)
    return None if step.ramp is None else axis


def _moved(
    step: TypedStep, verb: str, axes: Sequence[tuple[str, int, int]], later: StepProof | TypedStep
) -> str:
    """What of a later step (an axis, or its verb) moves the units that `step` masks; empty: nothing."""
    masked = _masked(step)
    if masked is None:
        return ""
    growing = {axis for axis, old, new in axes if old != new}
    touched = set(TOGETHER.get(masked, (masked,))) & growing
    moved = {axis for axis in touched if not _appends(axis, later)}
    return min(moved, default=verb if verb in ("upcycle", "grow") else "")


def _appends(axis: str, found: StepProof | TypedStep) -> bool:
    """Whether old units and layers stay where they are, and only masked ones follow."""
    part = found.attached or found
    if axis == "depth":
        kept = [s.layer for s in part.layers if not s.silent]
        return kept == [s.layer for s in part.layers[: len(kept)]] == list(range(len(kept)))
    e = part.maps.get(axis)
    return axis != "head_dim" and (e is None or e == Expansion.appended(e.old, e.size, "free"))
