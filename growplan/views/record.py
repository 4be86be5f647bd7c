"""What `growplan verify` found, and the lineage that `growplan log` shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from growplan.checkpoint.growth import TRAINED, Growth, Hint, Parent, StepRecord
from growplan.diagnostics import Diagnostic
from growplan.views.diagnostics import in_order, summary, to_data
from growplan.views.layout import labelled
from growplan.views.numbers import count, flops, plural
from growplan.views.style import Style, printable

COUNTED = ("copies", "interpolated", "rebuilt")  # numbers of tensors, not errors


@dataclass(frozen=True)
class VerifyReport:
    """The findings about a checkpoint directory; no error among them is a pass."""

    directory: str
    findings: Sequence[Diagnostic]
    kind: ClassVar[str] = "verify"

    @property
    def ok(self) -> bool:
        return all(d.severity != "error" for d in self.findings)

    def human(self, style: Style) -> str:
        if self.ok:
            more = f" ({summary(self.findings)})" if self.findings else ""
            word = style.paint("verified", "green")
            return f"{word}: {printable(self.directory)} is what growth.json says{more}"
        none = "no growth.json: " * any(d.code == "GP460" for d in self.findings)
        word = style.paint("not verified", "red")
        return f"{word}: {printable(self.directory)}: {none}{summary(self.findings)}"

    def data(self) -> dict[str, Any]:
        found = [to_data(d) for d in in_order(self.findings)]
        return {"directory": self.directory, "diagnostics": found}


@dataclass(frozen=True)
class LogReport:
    """How a checkpoint came to be: its own plan, then its ancestors', newest first."""

    directory: str
    growth: Growth
    kind: ClassVar[str] = "log"

    def human(self, style: Style) -> str:
        g = self.growth
        blocks = [self._own(style)]
        blocks += [_ancestor(parent, style) for parent in _ancestors(g.parent)]
        begin = f"{'source' if g.parent is None else 'grown from'} {printable(g.source)}"
        blocks.append([*_in_all([g, *_ancestors(g.parent)]), begin])
        return "\n\n".join("\n".join(lines) for lines in blocks)

    def _own(self, style: Style) -> list[str]:
        g = self.growth
        lines = [f"{_head(g.plan_hash, g.claim, style, g.stage)}  {printable(self.directory)}"]
        for number, step in enumerate(g.steps, 1):
            implied = f"  (implied: {step.implied})" if step.implied else ""
            lines.append(f"{number:>4}  {printable(step.text + implied)}")
            lines += labelled(_step_facts(step), indent=6)
        lines += _trained(g.trained)
        if g.hint is not None:
            lines.append(f"      to train on: {_training(g.hint)}")
        return lines

    def data(self) -> dict[str, Any]:
        return {"directory": self.directory, "growth": asdict(self.growth)}


def _head(plan_hash: str, claim: str, style: Style, stage: str) -> str:
    """`plan 0123456789ab  exact  stage wide`."""
    of = f"  stage {printable(stage)}" if stage else ""
    plan = f"{style.paint('plan', 'yellow')} {printable(plan_hash[:12])}"
    return f"{plan}  {style.strength(printable(claim))}{of}"


def _trained(facts: Mapping[str, Any]) -> list[str]:
    """`10 steps on corpus.txt, 640 tokens, 503M FLOPs, held-out loss 4.92`, as far as a record says it."""
    said = []
    if isinstance(steps := facts.get("steps"), int):
        said.append(f"{plural(steps, 'step')} on {facts.get('data')}")
    if isinstance(tokens := facts.get("tokens"), int):
        said.append(f"{count(tokens)} tokens")
    if isinstance(cost := facts.get("flops"), int):
        said.append(f"{flops(cost)} FLOPs")
    if isinstance(loss := facts.get("held_out"), float):
        said.append(f"held-out loss {loss:.4g}")
    return [f"      {printable(', '.join(said))}"] if said else []


def _in_all(line: Sequence[Growth | Parent]) -> list[str]:
    """What several trainings come to, where each of them is recorded in numbers."""
    trained = [each.trained for each in line if each.claim == TRAINED]
    said = [[facts.get(key) for facts in trained] for key in ("steps", "tokens", "flops")]
    if len(trained) < 2 or not all(isinstance(n, int) for numbers in said for n in numbers):
        return []
    steps, tokens, cost = (sum(n for n in numbers if isinstance(n, int)) for numbers in said)
    return [f"trained in all: {plural(steps, 'step')}, {count(tokens)} tokens, {flops(cost)} FLOPs"]


def _training(hint: Hint) -> str:
    if hint.lr_scale is None or hint.warmup_steps is None:
        return printable(hint.why)
    steps = plural(hint.warmup_steps, "warm-up step")
    return f"learning rate × {hint.lr_scale:g}, {steps} ({printable(hint.why)})"


def _step_facts(step: StepRecord) -> list[tuple[str, str]]:
    shown = {k: v for k, v in sorted(step.measured.items()) if v or k not in COUNTED}
    measured = ", ".join(f"{k} {int(v)}" if k in COUNTED else f"{k} {v:.2g}" for k, v in shown.items())
    return [("proved", step.proof)] + [("measured", measured)] * bool(measured)


def _ancestors(parent: Parent | None) -> Iterator[Parent]:
    while parent is not None:
        yield parent
        parent = parent.parent


def _ancestor(parent: Parent, style: Style) -> list[str]:
    head = _head(parent.plan_hash, parent.claim, style, parent.stage)
    steps = (f"{number:>4}  {printable(text)}" for number, text in enumerate(parent.steps, 1))
    return [head, *steps, *_trained(parent.trained)]
