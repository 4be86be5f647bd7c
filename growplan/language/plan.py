"""The plan: what a user wrote, validated, with the place of every word kept aside.

Both front ends (DSL and YAML) build these models. They know axes, verbs and options as
words; what an axis means, and whether a size is possible, is decided against a model later.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr

from growplan.diagnostics import Span

Verb = Literal["widen", "stack", "deepen", "mask-in", "grow", "upcycle"]
Expect = Literal["exact", "approximate", "none"]
Scalar = str | int | float | bool


class Node(BaseModel):
    """Base: frozen, strict about unknown keys, with the source span of each part.

    `span` is the whole node; `place("to")` is the part's own span, or the node's.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    _span: Span | None = PrivateAttr(default=None)
    _places: dict[str, Span] = PrivateAttr(default_factory=dict)

    def __eq__(self, other: object) -> bool:
        """Same content; where it was written does not count."""
        return type(self) is type(other) and self.__dict__ == other.__dict__

    @property
    def span(self) -> Span | None:
        return self._span

    def place(self, part: str) -> Span | None:
        """Where `part` (a field or an option key) was written; the node's span if unknown."""
        return self._places.get(part, self._span)

    def located(self, span: Span | None, places: dict[str, Span] | None = None) -> Any:
        """Set the spans (once, by the front end) and return self."""
        self._span = span
        self._places = dict(places or {})
        return self


class Growth(Node):
    """One axis and the size it gets: `384→768`, `to 768`, `x2`, or nothing (solved later).

    `axis` is the word as written (an axis or an alias such as `hidden_size`).
    """

    axis: str
    source: int | None = None  # the size stated on the left of the arrow
    to: int | None = None
    by: int | None = None  # `x2`: a factor; never together with `to`


class Step(Node):
    """One step of a plan, in either spelling.

    `options` are the method's own keys, in the order written, values as plain scalars.
    """

    verb: Verb
    growths: tuple[Growth, ...]  # one, except for `grow`
    via: str | None = None
    id: str | None = None
    expect: Expect | None = None
    over: int | None = None  # mask-in: ramp steps
    on: str | None = None  # grow: training data
    steps: int | None = None  # grow: fitting steps
    options: dict[str, Scalar] = Field(default_factory=dict)

    def where(self, part: str) -> Span | None:
        """The place of an option's value, or of an axis's new size; the step's own for anything else."""
        growth = next((g for g in self.growths if g.axis == part), None)
        return self.place(part) if growth is None else growth.place("by" if growth.by else "to")


ANY = "*"  # among the unread keys of a training: there may be more of them


class Train(Node):
    """How long a stage trains, and how: `train on corpus.txt for 400 steps, lr 1e-3`.

    A plan's own `train` is what each stage's begins with. `steps` or `tokens` (the length, whose place
    is `place("for")`), never both; `options` are keys of `growplan.methods.training`. `unread`: keys whose
    values were reported as wrong, and left out.
    """

    steps: int | None = None
    tokens: int | None = None
    on: str | None = None  # training data
    options: dict[str, Scalar] = Field(default_factory=dict)
    _unread: frozenset[str] = PrivateAttr(default=frozenset())

    @property
    def unread(self) -> frozenset[str]:
        return self._unread

    def without(self, unread: frozenset[str]) -> Train:
        """Set what could not be read (once, by the front end) and return self."""
        self._unread = unread
        return self


class Stage(Node):
    """A size of the model: the growth that leads to it, and the training that it gets.

    `freeze` and `train_only` are words for parts of the model (`new-layers`, `top 3`, `embeddings`), each
    with its own place.
    """

    name: str
    steps: tuple[Step, ...] = ()
    train: Train | None = None
    freeze: tuple[str, ...] = ()
    train_only: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unread:
    """What was reported of a plan's words. `step`: from this offset of its text on steps may be missing."""

    step: int | None


@dataclass(frozen=True)
class PartOf:
    """Which stage of `whole` a plan is the growth of: number `index`, from 1."""

    whole: Plan
    stage: str
    index: int


class Plan(Node):
    """A whole plan after `vars`, `extends` and `--set` were applied.

    It has `steps`, or `stages` with steps of their own; `train` only where there are stages.
    """

    growplan: Literal[1] = 1
    source: str | None = None
    target: str | None = None
    seed: int = 0
    family: str | None = None  # a family file of the user's own
    steps: tuple[Step, ...] = ()
    train: Train | None = None
    stages: tuple[Stage, ...] = ()
    extra: dict[str, Any] = Field(default_factory=dict)  # the user's `x-*` keys
    _path: str | None = PrivateAttr(default=None)
    _part_of: PartOf | None = PrivateAttr(default=None)
    _unread: Unread | None = PrivateAttr(default=None)

    @property
    def part_of(self) -> PartOf | None:
        """The stage that this plan is the growth of, where it was cut out of one with stages."""
        return self._part_of

    @property
    def of_mixture(self) -> bool:
        """Whether it is the growth of a stage that begins with a mixture which an earlier one has made.

        Such a model is of the mixture's family, whatever file describes the plan's source.
        """
        if self._part_of is None:
            return False
        earlier = self._part_of.whole.stages[: self._part_of.index - 1]
        return any(step.verb == "upcycle" for stage in earlier for step in stage.steps)

    def growth_of(self, stage: Stage) -> Plan:
        """The growth of one stage as a plan with steps: without a target, the first alone with a source.

        What begins with a mixture that an earlier stage has made has no `family` either.
        """
        index = self.stages.index(stage) + 1
        own = {"steps": stage.steps, "stages": (), "train": None, "target": None}
        alone = self.model_copy(update=own if index == 1 else {**own, "source": None})
        alone._part_of = PartOf(self, stage.name, index)
        if not alone.of_mixture:
            return alone
        mixed = alone.model_copy(update={"family": None})
        mixed._part_of = alone._part_of
        return mixed

    @property
    def path(self) -> str | None:
        """The file the plan was read from; relative sources are relative to its folder."""
        return self._path

    @property
    def every_step(self) -> tuple[Step, ...]:
        """The steps of all stages, or the plan's own."""
        return (*self.steps, *(step for stage in self.stages for step in stage.steps))

    def training(self, stage: Stage) -> Train | None:
        """How a stage is trained: what the plan's `train` says, then what its own does.

        None where it is not: it has no `train`, and the plan's gives no length.
        """
        own, base = stage.train, self.train
        if base is None or own is None:
            return own if base is None or (base.steps is None and base.tokens is None) else base
        said = own.steps is not None or own.tokens is not None
        length = own if said else base
        merged = Train(
            steps=length.steps,
            tokens=length.tokens,
            on=base.on if own.on is None else own.on,
            options={**base.options, **own.options},
        )
        places = {**base._places, **own._places}
        whole: Train = merged.located(own.span, places)
        return whole.without(base.unread - own._places.keys() | own.unread)

    @property
    def unread(self) -> Unread | None:
        """None where every word was read; else the plan is what could be, and cannot be run."""
        return self._unread

    def read_from(self, path: str | None, unread: Unread | None = None) -> Plan:
        self._path, self._unread = path, unread
        return self
