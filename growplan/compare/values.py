"""A semantic diff as values: one edit per step and per stage, and what the edits change as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

from growplan.check.typed import Cost

Size = tuple[str, int | None, int | None]  # (axis, old, new); None where only a config can tell


@dataclass(frozen=True)
class StepFacts:
    """What is compared of a step. `None` is what only a readable source could tell."""

    id: str
    index: int  # 1-based
    text: str
    verb: str
    method: str
    sizes: tuple[Size, ...]
    words: str  # the sizes as written or resolved: `hidden 384→768`, `depth x2`
    options: tuple[tuple[str, str], ...] = ()
    implied: str | None = None
    candidate: str | None = None
    promised: str | None = None
    proof: str | None = None
    reasons: tuple[str, ...] = ()
    parameters: int | None = None  # of the model after the step
    flops_per_token: int | None = None
    stage: str | None = None  # the name of the one that it belongs to, in a plan with stages


@dataclass(frozen=True)
class StageFacts:
    """What is compared of a stage, beside its steps. `None` is what only a readable source could tell."""

    name: str
    index: int  # 1-based
    text: str  # `stage wide: train on corpus.txt for 300 steps`
    steps: tuple[str, ...]  # ids
    training: tuple[tuple[str, str], ...]  # `length`, `on`, `option lr`, `freeze`, `train-only`
    parameters_before: int | None = None  # of the model that it grows
    parameters: int | None = None  # of the model that it trains
    trained: int | None = None  # of these, those that get a gradient
    tokens: int | None = None  # that it reads
    flops: int | None = None  # of its training


F = TypeVar("F")  # StepFacts or StageFacts


@dataclass(frozen=True)
class Change:
    """One field that differs: `sizes`, `method`, `option split`, `claim`, `length`, ..."""

    field: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Added(Generic[F]):
    """A step or a stage that only the new plan has."""

    new: F


@dataclass(frozen=True)
class Removed(Generic[F]):
    """One that only the old plan has."""

    old: F


@dataclass(frozen=True)
class Moved(Generic[F]):
    """One that now stands at another place among the kept ones; maybe changed too."""

    old: F
    new: F
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Changed(Generic[F]):
    """One at its place with other contents."""

    old: F
    new: F
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Kept(Generic[F]):
    """One that is the same in both."""

    old: F
    new: F


Edit = Added[F] | Removed[F] | Moved[F] | Changed[F] | Kept[F]
StepEdit = Edit[StepFacts]
StageEdit = Edit[StageFacts]


@dataclass(frozen=True)
class TensorChange:
    """How the making of a tensor changed, the layers and experts that share the change folded.

    `name` has `{i}` where the layer goes and `{e}` where the expert goes; `old`/`new` are the rewrites
    from disk to disk, first to last; `shape_old`/`shape_new` as printed by the IR.
    """

    name: str
    layers: tuple[int, ...]
    status: Literal["added", "removed", "changed", "redrawn"]
    old: tuple[str, ...] = ()
    new: tuple[str, ...] = ()
    shape_old: str = ""
    shape_new: str = ""
    experts: tuple[int, ...] = ()
    stage: str | None = None  # whose growth it is, in a plan with stages

    @property
    def count(self) -> int:
        """The tensors that it stands for."""
        return max(1, len(self.layers)) * max(1, len(self.experts))


@dataclass(frozen=True)
class Totals:
    """The plan as a whole: sizes of the target, cost, claim; of stages also what all their training costs."""

    sizes: tuple[tuple[str, int], ...]
    cost: Cost
    claim: str
    model: str
    tokens: int | None = None
    flops: int | None = None


@dataclass(frozen=True)
class PlanDiff:
    """Everything that differs between two plans; `same` means equal canonical plans.

    `old_totals`/`new_totals` and `tensors` are None where a source could not be read; `notes`
    then say why.
    """

    old: str
    new: str
    same: bool
    header: tuple[Change, ...] = ()
    edits: tuple[StepEdit, ...] = ()
    old_totals: Totals | None = None
    new_totals: Totals | None = None
    tensors: tuple[TensorChange, ...] | None = None
    notes: tuple[str, ...] = ()
    stages: tuple[StageEdit, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything but layout and comments differs."""
        edited = any(not isinstance(e, Kept) for e in (*self.edits, *self.stages))
        return not self.same or bool(self.tensors) or edited
