"""Checking a plan with stages: each is typed against the model that the one before it leaves.

Masks of a stage begin with its training and are gone at its end, so that the next one finds a plain model;
training also ends what growth made sure of (units that are equal).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from growplan.check import training as trainings
from growplan.check.checker import MOST_ERRORS, Doubtful, check_plan
from growplan.check.claims import weakest
from growplan.check.cost import cost
from growplan.check.masks import growth_masks, raw_config
from growplan.check.new_layers import new_layers
from growplan.check.settle import words
from growplan.check.trained import Trained, keys_of, trained, wrong_words
from growplan.check.training_cost import FULL, StageCost, stage_cost
from growplan.check.typed import Cost, TypedPlan
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.families.model import Model
from growplan.language.plan import ANY, Plan, Stage
from growplan.methods.base import Claim
from growplan.methods.training import Training

OF_THE_LENGTH = ("for", "batch", "tokens")  # what says how many steps a stage trains


@dataclass(frozen=True)
class TypedStage:
    """One stage, checked: `plan` is its growth as a plan of its own, `typed` what that was proved to be.

    `before` and `after` its growth and training; `typed` is None where it grows nothing, `training` where
    it trains by no steps.
    """

    stage: Stage
    index: int  # 1-based
    plan: Plan
    typed: TypedPlan | None
    before: Model
    after: Model
    training: Training | None
    cost: StageCost

    @property
    def name(self) -> str:
        return self.stage.name

    @property
    def folder(self) -> str:
        """`02-wide`: its name among the folders of a run."""
        return f"{self.index:02d}-{self.name}"


@dataclass(frozen=True)
class Schedule:
    """A checked plan with stages."""

    plan: Plan
    source: Model
    stages: tuple[TypedStage, ...]
    lints: tuple[Diagnostic, ...] = ()

    def __getitem__(self, name: str) -> TypedStage:
        """The stage of a name. Raises KeyError."""
        found = next((stage for stage in self.stages if stage.name == name), None)
        if found is None:
            raise KeyError(name)
        return found

    @property
    def target(self) -> Model:
        return self.stages[-1].after if self.stages else self.source

    @property
    def claim(self) -> Claim:
        """The weakest of all growth."""
        return weakest([stage.typed.claim for stage in self.stages if stage.typed is not None])

    @property
    def cost_before(self) -> Cost:
        return cost(self.source)

    @property
    def cost_after(self) -> Cost:
        return cost(self.target)

    @property
    def tokens(self) -> int:
        """Tokens that all stages read."""
        return sum(stage.cost.tokens for stage in self.stages)

    @property
    def flops(self) -> int:
        """FLOPs of all stages. What the source cost is not among them."""
        return sum(stage.cost.flops for stage in self.stages)

    @property
    def scratch(self) -> int:
        """FLOPs of the last size, trained whole on as many tokens."""
        return FULL * self.cost_after.flops_per_token * self.tokens


def check_stages(plan: Plan, source: Model) -> Schedule:
    """Type every stage of a plan, each against the model that the one before it leaves.

    Raises DiagnosticError with every mistake found: what depends on none of the others is judged. A plan
    with words that could not be read has no schedule; what is raised of it may be no mistake at all.
    """
    walk = _Walk(plan, source)
    for index, stage in enumerate(plan.stages, 1):
        walk.take(stage, index)
    if walk.errors or plan.unread is not None:
        raise DiagnosticError(*dict.fromkeys(walk.errors[:MOST_ERRORS]))
    return Schedule(
        plan, source, tuple(walk.stages), tuple(dict.fromkeys([*_lints(walk.stages), *walk.notes]))
    )


def stage_words(plan: Plan) -> Iterator[Diagnostic]:
    """What is wrong with a plan whatever its model: methods and options of its steps and of its training."""
    for step in plan.every_step:
        yield from words(step)
    for train in (plan.train, *(stage.train for stage in plan.stages)):
        if train is not None:
            yield from trainings.words_of(train)


def _lints(stages: Sequence[TypedStage]) -> Iterator[Diagnostic]:
    """What is to be said of growth: one finding of a kind, from the first stage that it holds of.

    Where a stage trains without dropout, there is nothing to say of it (GP912).
    """
    said: set[str] = set()
    for stage in stages:
        found = () if stage.typed is None else stage.typed.lints
        if stage.training is not None and not stage.training.recipe.dropout:
            found = tuple(lint for lint in found if lint.code != "GP912")
        found = tuple(_with_way(lint) for lint in found)
        yield from (lint for lint in found if lint.code not in said)
        said |= {lint.code for lint in found}


WAYS = {
    "GP912": "or train with `dropout none`",
    "GP630": "and train the stage for as many steps: its masks must be gone when it ends",
}


def _with_way(lint: Diagnostic) -> Diagnostic:
    """A finding with what a plan with stages has to say of its way out."""
    return replace(lint, help=(*lint.help, WAYS[lint.code])) if lint.code in WAYS else lint


@dataclass
class _Walk:
    plan: Plan
    model: Model
    stages: list[TypedStage] = field(default_factory=list)
    errors: list[Diagnostic] = field(default_factory=list)
    notes: list[Diagnostic] = field(default_factory=list)
    doubted: frozenset[str] = frozenset()  # axes whose sizes are not what the plan wants

    def __post_init__(self) -> None:
        if self.plan.train is not None:
            self.errors += trainings.words_of(self.plan.train)

    def take(self, stage: Stage, index: int) -> None:
        """One stage; on a mistake it is recorded, and the walk goes on."""
        plan, before = self.plan.growth_of(stage), self.model
        lacks = [*trainings.lacking(self.plan, stage)]
        self.errors += lacks
        self.errors += trainings.words_of(stage.train) if stage.train is not None else ()
        typed = self._growth(plan, index)
        if typed is not None:
            self.model = typed.target
        grown, training = self.model, trainings.training(self.plan, stage, self.model)
        unsure = trainings.in_doubt(self.plan, stage) | {"for" for _ in lacks}
        if typed is not None and not unsure & {ANY, *OF_THE_LENGTH}:
            self.errors += _masks_left(self.plan, stage, typed, training)
        part = self._trained(stage, typed, grown, training, unsure)
        self.model = grown if training is None else _plain(grown, typed)
        if not self.errors and not self.doubted and self.plan.unread is None:
            costs = stage_cost(grown, training, part, typed)
            self.stages.append(TypedStage(stage, index, plan, typed, before, self.model, training, costs))

    def _growth(self, plan: Plan, index: int) -> TypedPlan | None:
        """The growth of stage number `index`; None where there is none, or where it is in doubt."""
        unread = self._unread(index)
        if plan.steps:
            try:
                return check_plan(plan, self.model, unread=unread, doubted=self.doubted)
            except DiagnosticError as error:
                self.errors += error.diagnostics
                leads = error.partial if isinstance(error.partial, Doubtful) else None
                self.model = self.model if leads is None else leads.model
                self.doubted |= frozenset(self.model.sizes) if leads is None else leads.axes
        if unread is not None:
            self.doubted = frozenset(self.model.sizes)
        return None

    def _unread(self, index: int) -> int | None:
        """From which offset on steps of stage number `index` may be missing; None: it has them all."""
        step = None if self.plan.unread is None else self.plan.unread.step
        behind = self.plan.stages[index].span if index < len(self.plan.stages) else None
        return None if step is None or (behind is not None and behind.start <= step) else step

    def _trained(
        self,
        stage: Stage,
        typed: TypedPlan | None,
        grown: Model,
        training: Training | None,
        unsure: frozenset[str],
    ) -> Trained:
        """What the stage trains. Mistakes of its words and its training are recorded.

        `unsure`: what is not known of the training.
        """
        everything = Trained(frozenset(keys_of(grown)))
        if (training is None and not unsure) or (self.doubted and (stage.steps or "depth" in self.doubted)):
            return everything
        if training is not None:
            found = [*trainings.findings(self.plan, stage, grown, training)]
            self.errors += [each for each in found if each.severity == "error"]
            self.notes += [each for each in found if each.severity != "error"]
        new = () if typed is None else new_layers(typed)
        try:
            if training is None or unsure & {ANY, "tied"}:
                raise DiagnosticError(*wrong_words(grown, (*stage.train_only, *stage.freeze), new))
            part = trained(grown, stage.train_only, stage.freeze, tied=training.tied, new=new)
        except DiagnosticError as error:
            self.errors += [d.at(stage.place(d.part)) for d in error.diagnostics]
            return everything
        self.notes += [_unseen(stage, word) for word in part.unseen]
        return everything if part.unseen else part


def _plain(model: Model, typed: TypedPlan | None) -> Model:
    """The model after its training, grown by `typed`: no masks, and nothing is known of its units."""
    config = model.config if typed is None else {**model.config, **raw_config(typed)}
    return replace(model, config=config, twins={}, read_units=None, bypassed=frozenset())


def _masks_left(
    plan: Plan, stage: Stage, typed: TypedPlan, training: Training | None
) -> Iterator[Diagnostic]:
    """GP596 for each mask that is not gone when the stage's training ends."""
    steps = 0 if training is None else training.recipe.steps
    places = {step.id: step for step in stage.steps}
    for mask in growth_masks(typed):
        ramp = mask.ramp
        if ramp.end <= steps:
            continue
        unsaid = " (what a ramp takes where the plan says nothing)" if ramp.steps is None else ""
        what = f"the mask of `{mask.step}` rises until step {ramp.end}{unsaid}, and stage `{stage.name}` "
        what += f"trains {steps} steps" if steps else "does not train"
        ways = [f"`over {steps - ramp.delay} steps`"] * (steps > ramp.delay) + [
            f"train it `for {ramp.end} steps`"
        ]
        step = places.get(mask.step)
        where = typed.plan.span if step is None else step.place("over")
        yield Diagnostic("GP596", what, where, help=tuple(ways))


def _unseen(stage: Stage, word: str) -> Diagnostic:
    """GP539: in memory there may be such a name."""
    what = f"`{word}` matches no name on disk; costs are those of training everything"
    ways = "`growplan train` holds it against the names in memory, and stops where none matches"
    return Diagnostic("GP539", what, stage.place(word), help=(ways,), severity="warning")
