"""The report of `growplan toy`: the plan's sizes beside the toy's, claims, and what was measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from growplan.views import numbers
from growplan.views.apply import ApplyReport, measured_output, stock_facts
from growplan.views.check import verdict
from growplan.views.layout import columns, labelled
from growplan.views.names import axes_in_order, near, step_title
from growplan.views.style import Style, printable

if TYPE_CHECKING:
    from growplan.backend.assertions import Measurement
    from growplan.check.typed import TypedPlan, TypedStep
    from growplan.toy import StagedToy, ToyResult


@dataclass(frozen=True)
class ToyReport:
    """What a toy of the plan `name` did; `seconds` is its wall time."""

    result: ToyResult
    name: str
    seconds: float | None = None
    kind: ClassVar[str] = "toy"

    def human(self, style: Style) -> str:
        blocks = [self._head(), *self.body(style), self._end(style)]
        return "\n\n".join("\n".join(lines) for lines in blocks)

    def body(self, style: Style) -> list[list[str]]:
        """The sizes, each step, and what the claim means."""
        result = self.result
        blocks = [self._sizes(style)]
        for (step, measured), full in zip(result.applied.steps, result.full.steps, strict=True):
            number = f"{step.index:>2}  "
            facts = labelled(_facts(step, measured), indent=len(number), label_width=7)
            blocks.append([f"{number}{style.bold(step_title(full))}", *facts])
        if result.applied.stock is not None:
            loaded = stock_facts(result.applied.stock, result.toy.source.dtype)
            blocks.append(labelled(loaded, indent=0, label_width=7))
        blocks.append(verdict(result.toy, style, measured=True, loaded=result.applied.stock is not None))
        return blocks

    def _head(self) -> list[str]:
        facts = [("plan", self.name), ("toy", _described(self.result.toy))]
        return [printable(line) for line in labelled(facts)]

    def _sizes(self, style: Style) -> list[str]:
        rows = [("", "plan", "toy"), *_sizes(self.result.full, self.result.toy)]
        rows.append(("parameters", _parameters(self.result.full), _parameters(self.result.toy)))
        lines = columns(rows, "<>>", gap=4)
        return [style.dim(lines[0]), *lines[1:]]

    def _end(self, style: Style) -> list[str]:
        kept = self.result.directory
        took = "" if self.seconds is None else f" ({numbers.seconds(self.seconds)})"
        if kept is None:
            return [style.bold(f"nothing was kept{took}; `--out DIR` keeps source, result and plan")]
        place = printable(near(kept))
        wrote = style.bold(f"wrote {place}: source, grown, plan.grow{took}")
        return [wrote, f"next: growplan apply {place}/plan.grow --out DIR"]

    def data(self) -> dict[str, Any]:
        result = self.result
        applied = ApplyReport(result.applied, self.name, self.seconds).data()
        sizes = [dict(m.sizes) for m in (result.full.source, result.full.target)]
        return {
            "plan": self.name,
            "directory": None if result.directory is None else str(result.directory),
            "full": {"before": sizes[0], "after": sizes[1]},
            "toy": {key: value for key, value in applied.items() if key not in ("plan", "leftover")},
        }


@dataclass(frozen=True)
class StagedToyReport:
    """What the toys of a plan's stages did; `seconds` is the wall time of all."""

    result: StagedToy
    name: str
    seconds: float | None = None
    kind: ClassVar[str] = "toy"

    def human(self, style: Style) -> str:
        first = next(iter(self.result.toys.values()), None)
        described = "no stage grows" if first is None else _described(first.toy)
        blocks = [[printable(line) for line in labelled([("plan", self.name), ("toy", described)])]]
        for stage in self.result.schedule.stages:
            toy = self.result.toys.get(stage.name)
            blocks.append(
                [style.bold(f"stage {stage.index}, {printable(stage.name)}") + ": no growth" * (not toy)]
            )
            blocks += [] if toy is None else ToyReport(toy, self.name).body(style)
        return "\n\n".join("\n".join(lines) for lines in [*blocks, self._end(style)])

    def _end(self, style: Style) -> list[str]:
        took = "" if self.seconds is None else f" ({numbers.seconds(self.seconds)})"
        said = "nothing was trained: each stage begins with a random source"
        kept = self.result.directory
        if kept is None:
            return [style.bold(f"nothing was kept{took}; `--out DIR` keeps source, result and plan"), said]
        folders = ", ".join(s.folder for s in self.result.schedule.stages if s.name in self.result.toys)
        return [style.bold(f"wrote {printable(near(kept))}: {folders}{took}"), said]

    def data(self) -> dict[str, Any]:
        kept = self.result.directory
        stages = {name: ToyReport(toy, self.name).data() for name, toy in self.result.toys.items()}
        for each in stages.values():
            del each["plan"]
        return {"plan": self.name, "directory": None if kept is None else str(kept), "stages": stages}


def _facts(toy: TypedStep, measured: Measurement) -> Iterator[tuple[str, str]]:
    yield "toy", step_title(toy)
    yield "claim", f"{toy.proof.claim}" + (", holds" if toy.proof.claim.strength != "none" else "")
    if measured.laws:
        laws = numbers.plural(measured.laws, "law")
        yield "weights", f"{laws} asserted, worst error {measured.law_error:.2g}"
    yield "output", f"{measured.output}: {measured_output(measured)}"
    if measured.copies:
        yield "copies", f"{numbers.plural(measured.copies, 'tensor')} equal bit by bit"


def _described(typed: TypedPlan) -> str:
    model = typed.source
    return f"{model.family.name}, {model.architecture}, every parameter random, {model.dtype}"


def _sizes(full: TypedPlan, toy: TypedPlan) -> Iterator[tuple[str, str, str]]:
    """(axis, `768 → 1024`, `12 → 16`)."""
    for axis in axes_in_order({**full.source.sizes, **full.target.sizes}):
        ends = [(t.source.sizes.get(axis), t.target.sizes.get(axis)) for t in (full, toy)]
        a, b = (_arrow(str(old or ""), str(new or "")) for old, new in ends)
        yield axis, a, b


def _parameters(typed: TypedPlan) -> str:
    return _arrow(*(numbers.count(c.parameters) for c in (typed.cost_before, typed.cost_after)))


def _arrow(old: str, new: str) -> str:
    return new if old in ("", new) else f"{old} → {new}"
