"""The report of `growplan check`: what a plan does, what it costs, what is proved."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from growplan.check.masks import live_steps
from growplan.check.typed import TypedPlan, TypedStep
from growplan.diagnostics import Diagnostic
from growplan.methods.base import Claim, LayerSource
from growplan.views import numbers
from growplan.views.diagnostics import to_data
from growplan.views.layout import columns, labelled, wrapped
from growplan.views.masks import mask_data, mask_facts
from growplan.views.names import (
    claim_data,
    cost_data,
    how,
    model_data,
    model_line,
    reasons,
    shown_axes,
    step_title,
)
from growplan.views.operator import operator_data, operator_facts, predictor_data, predictor_facts
from growplan.views.style import Style, printable

if TYPE_CHECKING:
    from growplan.ir.moment_report import StepMoments

_MEANING = {
    "exact": "{exact}: the grown model computes the same function as the source{domain}{where}, over the "
    "reals and in eval mode (dropout off); {rounding}.",
    "approximate": "{approximate}: every weight keeps the function{domain}{where}, only the norms {named} "
    "do not; in eval mode (dropout off); {difference}.",
    "none": "{none}: the grown model starts from another function than the source, by the plan's own choice; "
    "{difference}.",
}


@dataclass(frozen=True)
class CheckReport:
    """A checked plan. `reasons` shows every reason of a proof, not only the first few.

    `moments`: what each step does to an optimizer's state, where that was asked.
    """

    typed: TypedPlan
    name: str = "plan"
    reasons: bool = False
    moments: tuple[StepMoments, ...] = ()
    kind: ClassVar[str] = "check"

    def human(self, style: Style) -> str:
        blocks = [self._head(style), self._sizes(style), *self.steps(style)]
        if not self.typed.steps:
            blocks.append(["no steps: the target is the source"])
        blocks += [self._cost(style), verdict(self.typed, style)]
        return "\n\n".join("\n".join(lines) for lines in blocks)

    @property
    def lints(self) -> tuple[Diagnostic, ...]:
        return self.typed.lints

    @property
    def line(self) -> tuple[str, str]:
        """The claim, and the sizes before and after."""
        costs = (self.typed.cost_before.parameters, self.typed.cost_after.parameters)
        sizes = f"{numbers.count(costs[0])} → {numbers.count(costs[1])} parameters"
        return str(self.typed.claim), sizes

    def steps(self, style: Style) -> list[list[str]]:
        """The lines of each step."""
        return [self._step(step, style) for step in self.typed.steps]

    def _head(self, style: Style) -> list[str]:
        plan = self.typed.plan
        rows = [
            ("plan", self.name),
            ("source", f"{plan.source or '(given)'}  ({model_line(self.typed.source)})"),
            ("target", plan.target or "(given by --out)"),
        ]
        return [printable(line) for line in labelled(rows)]

    def _sizes(self, style: Style) -> list[str]:
        before, after = self.typed.source.sizes, self.typed.target.sizes
        axes = shown_axes(before, after)
        rows = [["", *axes]]
        for word, sizes in (("before", before), ("after", after)):
            rows.append([word, *(str(sizes.get(axis, "")) for axis in axes)])
        lines = columns(rows, "<" + ">" * len(axes))
        return [style.dim(lines[0]), *lines[1:]]

    def _step(self, step: TypedStep, style: Style) -> list[str]:
        number = f"{step.index:>2}  "
        lines = [f"{number}{style.bold(step_title(step))}"]
        return lines + labelled(self._facts(step), indent=len(number), label_width=5)

    def _facts(self, step: TypedStep) -> Iterator[tuple[str, str]]:
        if step.candidate:
            yield "how", how(step.candidate)
        proved = step.proof.claim
        if step.promised == proved:
            yield "claim", f"{proved}" + (", proved" if proved.strength != "none" else "")
        else:
            yield "claim", f"{step.promised}; proved {proved}"
        yield from mask_facts(step, self.typed.claim, step.index in live_steps(self.typed.steps))
        yield from operator_facts(step)
        yield from predictor_facts(step)
        found = reasons(step)
        shown = found if self.reasons else found[:3]
        for reason in shown:
            yield "why", reason
        if len(shown) < len(found):
            yield "why", f"… {len(found) - len(shown)} more with -v"
        for violation in step.violations:
            yield "but", f"{violation.module}: {violation.reason}; {violation.bound}"
        if self.moments:
            from growplan.views.moments import moment_facts

            yield from moment_facts(self.moments[step.index - 1], rules=self.reasons)

    def _cost(self, style: Style) -> list[str]:
        old, new = self.typed.cost_before, self.typed.cost_after
        facts = [
            ("parameters", numbers.count, old.parameters, new.parameters),
            ("FLOPs per token", numbers.flops, old.flops_per_token, new.flops_per_token),
            ("checkpoint", numbers.size, old.bytes, new.bytes),
        ]
        if (old.active, new.active) != (old.parameters, new.parameters):
            facts.insert(1, ("of them, a token passes", numbers.count, old.active, new.active))
        rows = [["", "before", "after", ""]]
        rows += [[name, show(a), show(b), numbers.ratio(a, b)] for name, show, a, b in facts]
        rows.append(["peak memory", "", numbers.size(self.typed.peak_memory), "while applying"])
        lines = columns(rows, "<>><")
        return [style.dim(lines[0]), *lines[1:]]

    def data(self) -> dict[str, Any]:
        data = {"plan": self.name, **typed_data(self.typed)}
        if self.moments:
            from growplan.views.moments import moment_data

            data["optimizer"] = [moment_data(step) for step in self.moments]
        return data


def verdict(typed: TypedPlan, style: Style, *, measured: bool = False, loaded: bool = False) -> list[str]:
    """What the plan's claim means, in a sentence.

    `measured`: `apply` has measured it, in float64; `loaded`: in the model's own dtype too.
    """
    claim = typed.claim
    text = _MEANING[claim.strength].format(
        exact="exact",
        approximate="approximate",
        none="no claim",
        domain=_domain(claim),
        where=" while growplan's masks are attached" if claim.where == "attached" else "",
        rounding=_rounding(typed.source.dtype, measured, loaded),
        named="that `growplan check` names" if measured else "named above",
        difference="the difference is measured " + ("above" if measured else "by `growplan apply`"),
    )
    head, _, rest = text.partition(":")
    first, *others = wrapped(f"{head}:{rest}")
    names = {"exact": ("bold", "green"), "approximate": ("bold", "yellow"), "none": ("bold",)}
    painted = style.paint(head, *names[claim.strength]) + first.removeprefix(head)
    return [painted, *others]


def _rounding(dtype: str, measured: bool, loaded: bool) -> str:
    """Rounding of the weights is measured in float64; arithmetic in the dtype itself rounds more."""
    if not measured:
        return f"what {dtype} rounds is measured by `growplan apply`"
    if loaded:
        return (
            f"what storing in {dtype} rounds is measured above, and by `loaded` what computing in it rounds"
        )
    return f"what storing in {dtype} rounds is measured above; computing in {dtype} rounds on top"


def _domain(claim: Claim) -> str:
    return f" on the {' and the '.join(claim.domain)}" if claim.domain else ""


def typed_data(typed: TypedPlan) -> dict[str, Any]:
    """A checked plan as plain values."""
    from growplan.language import plan_hash

    return {
        "hash": plan_hash(typed.plan),
        "source": {"path": typed.plan.source, **model_data(typed.source)},
        "target": {"path": typed.plan.target, **model_data(typed.target)},
        "seed": typed.plan.seed,
        "steps": [step_data(step) for step in typed.steps],
        "claim": claim_data(typed.claim),
        "cost": {"before": cost_data(typed.cost_before), "after": cost_data(typed.cost_after)},
        "peak_memory": typed.peak_memory,
        "diagnostics": [to_data(d) for d in typed.lints],
    }


def step_data(step: TypedStep) -> dict[str, Any]:
    """A step as plain values."""
    return {
        "index": step.index,
        "id": step.id,
        "verb": step.verb,
        "method": step.method,
        "text": step.text,
        "origin": step.origin,
        "implied": step.implied,
        "axes": [{"axis": axis, "from": old, "to": new} for axis, old, new in step.axes],
        "candidate": step.candidate,
        "promised": claim_data(step.promised),
        "proof": {**claim_data(step.proof.claim), "reasons": list(step.proof.reasons)},
        "violations": [{"module": v.module, "reason": v.reason, "bound": v.bound} for v in step.violations],
        "layers": [_layer_data(source) for source in step.layers],
        "config": dict(step.config),
        "operator": operator_data(step),
        "mask": mask_data(step),
        "predictor": predictor_data(step),
    }


def _layer_data(source: LayerSource) -> dict[str, Any]:
    return {
        "layer": source.layer,
        "silent": source.silent,
        "fresh": bool(source.fresh),
        "predicted_after": source.predicted,
    }
