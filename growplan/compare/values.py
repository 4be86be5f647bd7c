"""A semantic diff as values: one edit per step, and what the edits change as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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


@dataclass(frozen=True)
class Change:
    """One field that differs: `sizes`, `method`, `option split`, `claim`, ..."""

    field: str
    old: str | None
    new: str | None


@dataclass(frozen=True)
class Added:
    """A step that only the new plan has."""

    new: StepFacts


@dataclass(frozen=True)
class Removed:
    """A step that only the old plan has."""

    old: StepFacts


@dataclass(frozen=True)
class Moved:
    """A step that now runs at another place among the kept ones; maybe changed too."""

    old: StepFacts
    new: StepFacts
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Changed:
    """A step at its place with other contents."""

    old: StepFacts
    new: StepFacts
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Kept:
    """A step that is the same in both."""

    old: StepFacts
    new: StepFacts


Edit = Added | Removed | Moved | Changed | Kept


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

    @property
    def count(self) -> int:
        """The tensors that it stands for."""
        return max(1, len(self.layers)) * max(1, len(self.experts))


@dataclass(frozen=True)
class Totals:
    """The plan as a whole: sizes of the target, cost, claim."""

    sizes: tuple[tuple[str, int], ...]
    cost: Cost
    claim: str
    model: str


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
    edits: tuple[Edit, ...] = ()
    old_totals: Totals | None = None
    new_totals: Totals | None = None
    tensors: tuple[TensorChange, ...] | None = None
    notes: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """Whether anything but layout and comments differs."""
        return not self.same or bool(self.tensors) or any(not isinstance(e, Kept) for e in self.edits)
