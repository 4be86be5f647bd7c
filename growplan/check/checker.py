"""Checking a plan: every step settled, typed and held against its claim.

A step is typed against the model before it; there is no look-ahead. A step with a mistake is
recorded, and the walk goes on with the sizes it asked for, so that one run reports them all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from growplan.check.blocks import in_line_norms
from growplan.check.claims import prove_width, weakest
from growplan.check.constraints import check_constraints
from growplan.check.cost import cost, peak_memory
from growplan.check.depth import depth_proof
from growplan.check.edits import ways_to_close, ways_to_divide
from growplan.check.fitted import fit_of
from growplan.check.idle import idle_options
from growplan.check.learned import learned_proof
from growplan.check.lints import lint
from growplan.check.masks import refuse_behind_masks, refuse_unattachable
from growplan.check.resolve import Relation, Request, holds, relations_in_force
from growplan.check.settle import axes_named, implied, settle
from growplan.check.steps import assembled
from growplan.check.typed import TypedPlan, TypedStep
from growplan.check.untie import nothing_to_untie, untie_step
from growplan.check.upcycle import upcycle_proof
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.families.expr import size_names
from growplan.families.model import Model
from growplan.language.plan import Plan, Step
from growplan.methods import get_method
from growplan.methods.base import Ask, Claim, Method

MOST_ERRORS = 20
UNCLOSED = ("GP107", "GP109", "GP203")  # sizes that do not fit each other
OF_MIXTURES = ("experts", "active")  # axes that a model may lack because its upcycling has a mistake


@dataclass(frozen=True)
class Doubtful:
    """Where the steps of a plan with mistakes lead: a model, and its axes whose sizes are in doubt."""

    model: Model
    axes: frozenset[str]


def check_plan(
    plan: Plan, source: Model, *, unread: int | None = None, doubted: frozenset[str] = frozenset()
) -> TypedPlan:
    """Type a plan against its source. Raises DiagnosticError with every mistake found, and a Doubtful.

    A mistake leaves the axes of its step (and those that equations couple with them) in doubt:
    later steps are judged on the others alone. `unread`: from this offset of the plan on, some
    step could not be read, so that every size after it is in doubt; `doubted`: what is in doubt from
    the beginning. In both cases no proof is made, and there may be no mistake in what is raised.
    """
    walk = _walked(plan, source, unread, doubted)
    unsure = unread is not None or bool(doubted)
    if walk.errors or unsure:
        errors = walk.errors if unsure else [_advised(d, walk) for d in walk.errors]
        raise DiagnosticError(*errors[:MOST_ERRORS], partial=Doubtful(walk.model, walk.doubted))
    steps = tuple(walk.steps)
    before, after = cost(source), cost(walk.model)
    claim = weakest([s.proof.claim for s in steps])
    typed = TypedPlan(
        plan=plan,
        steps=steps,
        source=source,
        target=walk.model,
        claim=claim,
        cost_before=before,
        cost_after=after,
        peak_memory=peak_memory(before, after, source.dtype),
        lints=tuple(lint(steps, source, walk.model, claim)),
    )
    refuse_unattachable(typed)
    return typed


def _walked(
    plan: Plan, source: Model, unread: int | None = None, doubted: frozenset[str] = frozenset()
) -> _Walk:
    """All steps of a plan, and those that its equations imply."""
    walk = _Walk(plan, source, relations_in_force(source), doubted=doubted)
    for step in plan.steps:
        if unread is not None and (step.span is None or step.span.start > unread):
            walk.doubted = frozenset(source.sizes)
        walk.written(step)
    if unread is None:
        walk.close()
    return walk


def _advised(found: Diagnostic, walk: _Walk) -> Diagnostic:
    """A mistake of sizes that no longer fit together, with ways out after which the whole plan checks."""
    if found.code not in UNCLOSED and not any(label == "implied by" for label, _ in found.notes):
        return found
    others = {(d.code, d.message) for d in walk.errors if d is not found}

    def works(changed: Plan) -> bool:
        return all((d.code, d.message) in others for d in _walked(changed, walk.source).errors)

    if found.code == "GP203":
        ways = ways_to_divide(walk.plan, walk.source, walk.model, works, found.span)
    else:
        ways = ways_to_close(walk.plan, walk.source, walk.model, walk.relations, works, found.span)
    return replace(found, help=ways or found.help)


@dataclass
class _Walk:
    plan: Plan
    model: Model
    relations: tuple[Relation, ...]
    steps: list[TypedStep] = field(default_factory=list)
    errors: list[Diagnostic] = field(default_factory=list)
    named: set[str] = field(default_factory=set)
    openers: dict[Relation, Request] = field(default_factory=dict)
    doubted: frozenset[str] = frozenset()
    source: Model = field(init=False)

    def __post_init__(self) -> None:
        self.source = self.model

    def written(self, step: Step) -> None:
        """One step of the plan's own."""
        try:
            settled = settle(step, self.model, self.relations, self.doubted)
        except DiagnosticError as error:
            self.errors += [d.at(step.where(d.part)) for d in error.diagnostics]
            self.doubt(axes_named(step, self.model))
            return
        if settled is None:
            return
        request, method = settled
        self.named |= set(request.grow)
        if "head_dim" in request.grow:
            keeps = self.model.family.keeps
            self.relations = tuple(r for r in self.relations if r not in keeps)
        self.take(request, method)

    def take(self, request: Request, method: Method) -> None:
        """Type a settled step; on a mistake, record it and go on with the model as it was."""
        notes: tuple[str, ...] = ()
        try:
            if method.unties(request.options) and self.model.tied:
                self.steps.append(untie_step(request, method, self.model, len(self.steps) + 1))
                self.model = self.steps[-1].after
            elif method.unties(request.options) and request.step is not None:
                notes = (nothing_to_untie(self.model),)
            before = self.model
            step = _typed(self.plan, request, method, before, self.steps, notes)
        except DiagnosticError as error:
            self.errors += [d.at(request.where(d.part)) for d in error.diagnostics]
            self.doubt(request.grow)
            return
        self.steps.append(step)
        self.model = step.after
        if step.upcycling is not None:
            known = (*self.model.family.equations, *self.model.family.keeps)
            self.relations = tuple(r for r in self.relations if r in known)
        for relation in self.relations:
            if holds(relation, before.sizes) and not holds(relation, self.model.sizes):
                self.openers[relation] = request

    def doubt(self, axes: Iterable[str]) -> None:
        """The sizes of `axes` are not what the plan wants, nor are those that depend on them."""
        found = {axis for axis in axes if axis in self.model.sizes or axis in OF_MIXTURES}
        if "heads" in found:
            found.add("kv_heads")
        for relation in self.relations:
            coupled = set().union(*map(size_names, relation))
            if found & coupled:
                found |= coupled
        self.doubted |= found

    def close(self) -> None:
        """Close what the steps left open, by the method of the step that opened it."""
        try:
            while opener := next((self.openers[r] for r in self.openers if self._open(r)), None):
                request = implied(self.model, self.relations, self.named, opener)
                if request is None:
                    break
                self.named |= set(request.grow)
                method = get_method(request.via)
                assert method is not None
                self.take(request, method)
            if not self.doubted:
                source = self.steps[0].before if self.steps else self.model
                check_constraints(self.model, source, self.steps[-1].span if self.steps else None)
            self.errors += [] if self.errors else idle_options(self.plan.steps, self.steps)
        except DiagnosticError as error:
            self.errors += error.diagnostics

    def _open(self, relation: Relation) -> bool:
        coupled = set().union(*map(size_names, relation))
        in_force = relation in self.relations and not coupled & self.doubted
        return in_force and not holds(relation, self.model.sizes)


def _typed(
    plan: Plan,
    request: Request,
    method: Method,
    before: Model,
    earlier: Sequence[TypedStep],
    notes: tuple[str, ...],
) -> TypedStep:
    """`notes`: what else is to be said of the step, after the reasons of its proof."""
    promised = _claim(request, method, before)
    fit = fit_of(request, method, before) if method.on_data else None
    key = f"{plan.seed}/{request.id}"
    if method.learned:
        part = learned_proof(request, method, before, promised, key)
    elif request.verb == "upcycle":
        part = upcycle_proof(request, method, before, promised)
    elif "depth" in request.grow:
        part = depth_proof(request, method, before, promised, earlier)
    else:
        part = prove_width(request, method, before, promised, key)
    refuse_behind_masks(request, part, earlier)
    return assembled(request, method, before, part, len(earlier) + 1, promised, key, fit, notes)


def _claim(request: Request, method: Method, before: Model) -> Claim:
    """What the plan expects, or what the method promises."""
    expect = request.step.expect if request.step is not None else None
    if expect is not None:
        return Claim(expect)
    return method.claim(Ask(tuple(request.grow), request.options, in_line_norms(before) != ()))
