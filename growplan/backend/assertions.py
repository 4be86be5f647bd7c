"""Assertions: every step against the step before it, on the graph as lowered.

    exact         the law of every module, every block, the outputs on probes
    approximate   the law, the norms excepted that the proof lists; the rest is measured
    none          provenance, finite outputs; the rest is measured

and for all of them, fresh values drawn again. The first failure raises; nothing is published.
Half-precision checkpoints are asserted in float32, before the one rounding of the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from math import inf, sqrt
from typing import NoReturn

import torch

from growplan.backend.dtypes import UNIT_ROUNDOFF, arithmetic
from growplan.backend.evaluate import Evaluation, ModelView, Read
from growplan.backend.given import misfilled
from growplan.backend.laws import LawError, Sides, measure_laws
from growplan.backend.probes import Probed, probe
from growplan.backend.provenance import moved
from growplan.backend.redraw import redraw
from growplan.backend.rounding import MOST, rounding
from growplan.backend.threads import one_thread_each
from growplan.backend.written import Written, written_equals
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.ir.graph import BlockLaw, Graph, Step

__all__ = ["Measurement", "Written", "assert_step", "tolerance_of", "written_equals"]

AMPLIFICATION = 4096
"""Rounding of weights by u moves a block's output by 2 u (MiniLM) to 60 u (SmolLM2) of its spread, a
wrong rule by a tenth of it and more; 4096 u lies well between for float32 and float64. A null term
may make it more: what goes beyond 4096 u is held against what `rounding` measures of the model."""


@dataclass(frozen=True)
class Measurement:
    """What was measured of one step. Errors are relative to rounding's scale or to the spread.

    `law_error` and `law_tensor`: the worst asserted law. `exempt_error`: the worst law that an
    approximate claim exempts. `logit_error` is a max abs, `spread` the standard deviation of
    the output it is an error of (`output`). None: not measured at this step.
    """

    step: int
    id: str
    text: str
    claim: str
    laws: int
    law_error: float
    law_tensor: str | None
    exempt_error: float | None
    block_error: float | None
    output: str
    logit_error: float
    spread: float
    kl: float | None
    tolerance: float  # of block_error and logit_error / spread; only `exact` is held to it
    copies: int  # tensors compared bit by bit
    rebuilt: int  # tensors compared, element by element, with the slices they are made of
    interpolated: int  # tensors compared, element by element, with torch's own interpolation
    passed: bool = True

    @property
    def relative(self) -> float:
        """logit_error / spread."""
        if self.spread:
            return self.logit_error / self.spread
        return float("inf") if self.logit_error else 0.0

    def numbers(self) -> dict[str, float]:
        """What growth.json records: quantity -> number, unmeasured ones left out."""
        found = {
            "law": self.law_error,
            "law_exempt": self.exempt_error,
            "block": self.block_error,
            "output_max_abs": self.logit_error,
            "output_spread": self.spread,
            "kl": self.kl,
            "tolerance": self.tolerance,
            "copies": float(self.copies),
            "rebuilt": float(self.rebuilt),
            "interpolated": float(self.interpolated),
        }
        return {name: value for name, value in found.items() if value is not None}


def assert_step(
    graph: Graph,
    k: int,
    before: Model,
    after: Model,
    read: Read,
    device: torch.device | str = "cpu",
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Measurement:
    """Measure step `k` (1-based) and hold it to its claim.

    `graph` is the graph as lowered, `before` and `after` the models around the step. `progress` is
    told how many layers of the grown model it has come to.
    Raises GP501 (law), GP502 (block), GP503 (output), GP504 (copy), GP505 (not finite), GP510 (draw), GP512
    (leaf), GP513 (rounding).
    """
    step = graph.steps[k - 1]
    sides = Sides(
        before,
        after,
        ModelView(graph, k - 1, read, device),
        ModelView(graph, k, read, device),
        torch.Generator().manual_seed(seed + k),
    )
    exact = step.claim.startswith("exact")
    laws: list[LawError] = []

    def enter(layer: int | None) -> None:
        found = [] if step.claim.startswith("none") else list(measure_laws(step, sides, layer))
        _check_laws(step, found)
        laws.extend(found)
        if progress is not None:
            progress(0 if layer is None else layer + 1)

    with one_thread_each():
        _check_copies(step, sides)
        probed = probe(step, sides, blocks=exact, enter=enter)
        allowed = Allowed(tolerance_of(graph, k, after))
        if exact and any(error > allowed.usual for error in _errors(probed).values()):
            allowed = replace(allowed, measured=rounding(step, sides, roundoff(graph, k), seed))
        _check_probes(step, probed, allowed, exact)
        _check_draws(graph, step, sides.new.evaluation, seed)
        _check_leaves(graph, step, sides.new.evaluation)
    return _measurement(step, laws, probed, allowed)


def roundoff(graph: Graph, k: int) -> float:
    """The unit roundoff of the coarsest arithmetic of the model's tensors."""
    nodes = (graph.nodes[value] for value in graph.models[k].values())
    return max((UNIT_ROUNDOFF.get(arithmetic(n.type.dtype), 0.0) for n in nodes), default=0.0)


def tolerance_of(graph: Graph, k: int, model: Model) -> float:
    """The usual relative tolerance of blocks and outputs."""
    return AMPLIFICATION * roundoff(graph, k) * sqrt(model.depth + 1)


@dataclass(frozen=True)
class Allowed:
    """The tolerance of blocks and outputs: the usual one, and what rounding was measured to do to each."""

    usual: float
    measured: Mapping[str, float] = field(default_factory=dict)

    def of(self, name: str) -> float:
        """Of `block 3`, `logits`."""
        return max(self.usual, min(MOST, self.measured.get(name, 0.0)))

    @property
    def most(self) -> float:
        return max(map(self.of, ("", *self.measured)))

    def refuse(
        self, code: str, step: Step, name: str, message: str, notes: list[tuple[str, str]]
    ) -> NoReturn:
        """GP513 where rounding alone may move the model further than is allowed, else `code`."""
        moved = self.measured.get(name, 0.0)
        if moved > MOST:
            much = "any amount" if moved == inf else f"{moved:.2g} of its spread"
            notes = [*notes, ("rounding", f"may move it by {much}")]
            _fail("GP513", step, f"{message}, and rounding alone may do that", notes)
        _fail(code, step, message, notes)


def _errors(probed: Probed) -> dict[str, float]:
    return {b.where: b.error for b in probed.blocks} | {o.name: o.relative for o in probed.outputs}


def _check_draws(graph: Graph, step: Step, evaluation: Evaluation, seed: int) -> None:
    for wrong in redraw(graph, step, evaluation, seed):
        _fail(
            "GP510",
            step,
            f"`{wrong.tensor}` holds {wrong.found:.9g} where its key draws {wrong.expected:.9g}",
            [("element", f"row {wrong.index[0]}, column {wrong.index[1]} of `{wrong.value}`")],
        )


def _check_leaves(graph: Graph, step: Step, evaluation: Evaluation) -> None:
    for tensor, leaf in misfilled(graph, step, evaluation):
        _fail("GP512", step, f"`{tensor}` does not hold what was measured for it", [("leaf", leaf)])


def _check_copies(step: Step, sides: Sides) -> None:
    for wrong in moved(step, sides.old, sides.new):
        if not wrong.where:
            _fail("GP504", step, f"`{wrong.tensor}` is not a copy of `{wrong.source}`", [])
        message = f"`{wrong.tensor}` is not made of the slices of `{wrong.source}` that the method names"
        _fail("GP504", step, message, [("first difference", wrong.where)])


def _check_laws(step: Step, laws: Iterable[LawError]) -> None:
    broken = [law for law in laws if law.asserted and not law.holds]
    for law in broken:
        if law.poisoned:
            _fail("GP505", step, f"`{law.tensor}` held NaN or infinity before the step", [])
    if not broken:
        return
    worst = max(broken, key=lambda law: law.error)
    more = [("also", ", ".join(f"`{b.tensor}`" for b in broken if b is not worst)[:300])]
    _fail(
        "GP501",
        step,
        f"`{worst.tensor}` does not satisfy {worst.law}",
        [("relative error", f"{worst.error:.2g}"), ("tolerance", f"{worst.tolerance:.2g}")]
        + (more if len(broken) > 1 else []),
    )


def _check_probes(step: Step, probed: Probed, allowed: Allowed, exact: bool) -> None:
    for output in probed.outputs:
        if not output.finite:
            either = "" if output.was_finite else "; nor were they before the step"
            _fail("GP505", step, f"the grown model's {output.name} are not finite{either}", [])
    for block in probed.blocks:
        tolerance = allowed.of(block.where)
        if not block.error <= tolerance:
            allowed.refuse(
                "GP502",
                step,
                block.where,
                f"{block.where} of the grown model is not E of the old one",
                [("error / spread", f"{block.error:.2g}"), ("tolerance", f"{tolerance:.2g}")],
            )
    for output in probed.outputs:
        tolerance = allowed.of(output.name)
        if exact and not output.relative <= tolerance:
            allowed.refuse(
                "GP503",
                step,
                output.name,
                f"the grown model's {output.name} differ from the old one's",
                [
                    ("max error", f"{output.error:.2g}"),
                    ("spread", f"{output.spread:.2g}"),
                    ("tolerance", f"{tolerance:.2g} of the spread"),
                ],
            )


def _measurement(step: Step, laws: list[LawError], probed: Probed, allowed: Allowed) -> Measurement:
    asserted = [law for law in laws if law.asserted]
    worst = max(asserted, key=lambda law: law.error, default=None)
    output = max(probed.outputs, key=lambda o: o.relative)
    kls = [o.kl for o in probed.outputs if o.kl is not None]
    return Measurement(
        step=step.index,
        id=step.id,
        text=step.text,
        claim=step.claim,
        laws=len(asserted),
        law_error=worst.error if worst else 0.0,
        law_tensor=worst.tensor if worst else None,
        exempt_error=max((law.error for law in laws if not law.asserted), default=None),
        block_error=max((b.error for b in probed.blocks), default=None),
        output=output.name,
        logit_error=output.error,
        spread=output.spread,
        kl=max(kls) if kls else None,
        tolerance=allowed.most,
        copies=sum(p.resample is None for p in step.provenance),
        rebuilt=sum(isinstance(law, BlockLaw) for law in step.laws),
        interpolated=sum(p.resample is not None for p in step.provenance),
    )


def _fail(code: str, step: Step, message: str, notes: list[tuple[str, str]]) -> NoReturn:
    fail(
        code,
        f"step `{step.id}`: {message}",
        notes=[("step", step.text), ("plan", step.origin), ("claim", step.claim), *notes],
        help=f"nothing was published; `growplan explain {code}` says what this means",
    )
