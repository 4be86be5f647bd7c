"""The report of `growplan apply`: what was written, and what was measured of each step."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from growplan.views import numbers
from growplan.views.check import CheckReport, typed_data, verdict
from growplan.views.diagnostics import to_data
from growplan.views.layout import labelled
from growplan.views.names import near, step_title
from growplan.views.style import Style, printable

if TYPE_CHECKING:
    from growplan.apply import ApplyResult
    from growplan.backend.assertions import Measurement
    from growplan.backend.segments import SegmentError
    from growplan.backend.stock import StockDifference
    from growplan.check.typed import TypedPlan, TypedStep
    from growplan.learn.leaves import Learned
    from growplan.learn.operators import Fitted
    from growplan.learn.predicted import Predicted
    from growplan.runtime.trainer_files import OptimizerRecord


@dataclass(frozen=True)
class ApplyReport:
    """What one run did; `seconds` is its wall time."""

    result: ApplyResult
    name: str
    seconds: float | None = None
    kind: ClassVar[str] = "apply"

    def human(self, style: Style) -> str:
        r = self.result
        if r.dry_run:
            size, target = numbers.size(r.bytes_written), printable(near(r.target))
            would = style.bold(f"would write {size} to {target}; nothing was written")
            return "\n\n".join([CheckReport(r.typed, self.name).human(style), would])
        found = {each.step: list(_found(each)) for each in r.learned}
        found |= {each.step: list(_fitted(each)) for each in r.fitted}
        found |= {each.step: list(_predicted(each)) for each in r.predicted}
        blocks = [_step(step, measured, found.get(step.id, []), style) for step, measured in r.steps]
        if r.segments:
            blocks.append([line for segment in r.segments for line in _segment(r.typed, segment)])
        if r.stock is not None:
            blocks.append(labelled(stock_facts(r.stock, r.typed.source.dtype), indent=0, label_width=7))
        if r.optimizer is not None:
            blocks.append(labelled(optimizer_facts(r.optimizer), indent=0, label_width=7))
        blocks.append(verdict(r.typed, style, measured=True, loaded=r.stock is not None))
        return "\n\n".join("\n".join(lines) for lines in [*blocks, self._written(style)])

    def _written(self, style: Style) -> list[str]:
        r = self.result
        speed = "" if self.seconds is None else f" in {numbers.seconds(self.seconds)}"
        target = printable(near(r.target))
        lines = [style.bold(f"wrote {target}: {numbers.size(r.bytes_written)}{speed}")]
        lines += [printable(f"not carried: {left.path} ({left.why})") for left in r.left]
        if r.leftover is not None:
            lines.append(printable(f"the replaced directory could not be deleted: {r.leftover}"))
        return [*lines, f"next: growplan verify {target}"]

    def data(self) -> dict[str, Any]:
        r = self.result
        return {
            "target": str(r.target),
            "dry_run": r.dry_run,
            "bytes": r.bytes_written,
            "seconds": None if self.seconds is None else round(self.seconds, 3),
            "plan": self.name,
            **{key: value for key, value in typed_data(r.typed).items() if key != "target"},
            "diagnostics": [to_data(d) for d in (*r.typed.lints, *r.findings)],
            "grown": typed_data(r.typed)["target"],
            "segments": [asdict(segment) for segment in r.segments],
            "stock": None if r.stock is None else [asdict(difference) for difference in r.stock],
            "measured": [asdict(measured) for _, measured in r.steps],
            "learned": [asdict(each) for each in r.learned],
            "fitted": [asdict(each) for each in r.fitted],
            "predicted": [asdict(each) for each in r.predicted],
            "optimizer": None if r.optimizer is None else asdict(r.optimizer),
            "not_carried": [{"path": left.path, "why": left.why} for left in r.left],
            "leftover": None if r.leftover is None else str(r.leftover),
        }


def step_line(step: TypedStep, measured: Measurement) -> str:
    """One line as a step is done: `step 1  widen …: exact, output off by 2.1e-07 of its spread`."""
    return f"step {step.index}  {step_title(step)}: {step.proof.claim}, output {measured_output(measured)}"


def measured_output(measured: Measurement) -> str:
    """`off by 2.1e-07 of its spread, KL 3e-13`."""
    kl = "" if measured.kl is None else f", KL {measured.kl:.2g}"
    return f"off by {measured.relative:.2g} of its spread{kl}"


def optimizer_facts(record: OptimizerRecord) -> Iterator[tuple[str, str]]:
    """What became of AdamW's moments, and which files of the Trainer go on."""
    if record.mode == "grow":
        counts = f"{record.exact} exact, {record.estimate} estimated, {record.reset} begin anew"
        yield "adam", f"moments of {record.exact + record.estimate + record.reset} tensors: {counts}"
    else:
        yield "adam", "moments begin anew, at the rates that the optimizer had"
    if record.frozen:
        yield "frozen", f"{numbers.plural(len(record.frozen), 'parameter')}, as in the source"
    step = "" if record.from_step is None else f"; training goes on from step {record.from_step:,}"
    yield "state", printable(", ".join(record.files) + step)


def _step(step: TypedStep, measured: Measurement, found: list[tuple[str, str]], style: Style) -> list[str]:
    number = f"{step.index:>2}  "
    lines = [f"{number}{style.bold(step_title(step))}"]
    return lines + labelled([*found, *_facts(step, measured)], indent=len(number), label_width=7)


def _found(learned: Learned) -> Iterator[tuple[str, str]]:
    """What came from data: the batch and its loss, and how far the gradient's directions reach."""
    batch = f"{numbers.plural(learned.sequences, 'sequence')}, {numbers.plural(learned.tokens, 'token')}"
    yield "data", printable(f"{learned.data}: {batch}, loss {learned.loss:.4g}")
    least = min(learned.layers, key=lambda layer: layer.last / layer.top[0])
    reach = f"{least.top[0]:.2g} down to {least.last:.2g} in layer {least.layer}"
    yield (
        "learned",
        f"what new units write, in {numbers.plural(len(learned.leaves), 'layer')}; gradients {reach}",
    )


def _fitted(fitted: Fitted) -> Iterator[tuple[str, str]]:
    """What an operator was fitted on, and the loss of the target before and after, on data held out."""
    counts = dict(fitted.counts)
    held, repeated = counts.pop("held_out", 0), counts.pop("repeated", 0)
    sizes = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    twice = f", of which {repeated:,} stand among the others too" if repeated else ""
    yield "data", printable(f"{fitted.data}: {sizes}, {held:,} of them held out{twice}")
    recipe = fitted.recipe
    steps = f"{numbers.plural(recipe.steps, 'step')} of {recipe.batch}"
    yield "fitted", f"{fitted.parameters:,} numbers in {steps}, dropout {'on' if recipe.dropout else 'off'}"
    yield "loss", f"{fitted.before:.4f} → {fitted.after:.4f} on what is held out"


def _predicted(predicted: Predicted) -> Iterator[tuple[str, str]]:
    """How well networks know the layers that they learned from, beside what a mean knows."""
    networks = numbers.plural(len(predicted.networks), "network")
    yield "learned", f"{numbers.plural(len(predicted.layers), 'layer')} by {networks}, one for each matrix"
    own, mean = ([getattr(n, e) for n in predicted.networks] for e in ("error", "mean_error"))
    size = f"{_range(own)} of a matrix's size, on the source's own layers"
    yield "errors", f"{size}; the mean of neighbours is off by {_range(mean)}"


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    return low if low == high else f"{low} to {high}"


def _segment(typed: TypedPlan, segment: SegmentError) -> list[str]:
    """`stored  steps 1-2, as written: logits off by 1.4e-02 of its spread`."""
    first, last, worst = segment.first + 1, segment.last, segment.worst
    if worst is None:
        return []
    steps = f"step {first}" if first == last else f"steps {first}-{last}"
    off = f"{worst.name} off by {worst.relative:.2g} of its spread"
    stored = f"{steps} as stored in {typed.source.dtype}, computed in float64: {off}"
    return labelled([("stored", stored)], indent=0, label_width=7)


def stock_facts(differences: Iterable[StockDifference], dtype: str) -> Iterator[tuple[str, str]]:
    """The result as a user loads it, computed in its own dtype: `logits off by 3e-07 of their spread`."""
    found = [f"{d.output} off by {d.error / d.spread:.2g} of its spread" for d in differences if d.spread]
    how = f"by the stock transformers class, computed in {dtype}, nothing missing"
    yield "loaded", how + "".join(f"; {f}" for f in found)


def _facts(step: TypedStep, m: Measurement) -> Iterator[tuple[str, str]]:
    yield "claim", f"{step.proof.claim}" + (", holds" if step.proof.claim.strength != "none" else "")
    if m.laws:
        worst = f" ({m.law_tensor})" if m.law_tensor else ""
        yield "weights", f"{numbers.plural(m.laws, 'law')} asserted, worst error {m.law_error:.2g}{worst}"
    if m.exempt_error is not None:
        yield "weights", f"laws that the claim exempts: error {m.exempt_error:.2g}"
    if m.block_error is not None:
        yield "blocks", f"error {m.block_error:.2g} (allowed {m.tolerance:.2g})"
    yield "output", f"{m.output}: {measured_output(m)}"
    if m.copies:
        yield "copies", f"{numbers.plural(m.copies, 'tensor')} equal bit by bit"
    if m.interpolated:
        yield "grids", f"{numbers.plural(m.interpolated, 'tensor')} interpolated as torch does it"
    if m.rebuilt:
        yield "slices", f"{numbers.plural(m.rebuilt, 'tensor')} equal, element by element, the slices named"
