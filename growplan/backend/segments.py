"""Segments: runs of preserving steps, measured from their first model to their last.

Step by step assertions hold each step to its claim; a segment says what they add up to.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from growplan.algebra import Expansion
from growplan.algebra.compose import compose
from growplan.backend.assertions import Measurement
from growplan.backend.evaluate import ModelView, Read
from growplan.backend.inputs import fitted, random_inputs
from growplan.backend.interpreter import Interpreter
from growplan.backend.outputs import output_maps
from growplan.backend.probes import OutputError, output_error
from growplan.backend.threads import one_thread_each
from growplan.check.typed import TypedPlan
from growplan.diagnostics import Diagnostic
from growplan.families.model import Model
from growplan.ir.graph import Graph


def segments(claims: Sequence[str]) -> list[tuple[int, int]]:
    """Half-open ranges of steps: runs whose claim is above `none`, and single steps without one."""
    out: list[tuple[int, int]] = []
    for k, claim in enumerate(claims):
        preserving = not claim.startswith("none")
        if preserving and out and out[-1][1] == k and not claims[out[-1][0]].startswith("none"):
            out[-1] = (out[-1][0], k + 1)
        else:
            out.append((k, k + 1))
    return out


@dataclass(frozen=True)
class SegmentError:
    """The worst output of a segment; None where the maps of its steps do not compose."""

    first: int  # 0-based, half-open
    last: int
    worst: OutputError | None


def measure_segment(
    graph: Graph,
    first: int,
    last: int,
    models: Sequence[Model],
    read: Read,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> SegmentError:
    """Outputs of model `last`, rounded as it is stored, against those of model `first`.

    Random inputs, float64. `models[k]` is the model after k steps.
    """
    before, after = models[first], models[last]
    maps = output_maps_of(graph, first, last, models)
    inputs = random_inputs(before, torch.Generator().manual_seed(seed))
    with one_thread_each():
        old, new = (
            Interpreter(model, view.get, torch.float64, device).outputs(fitted(inputs, model))
            for model, view in (
                (before, ModelView(graph, first, read, device)),
                (after, ModelView(graph, last, read, device, rounded=True)),
            )
        )
    errors = [output_error(name, e, old[name], new[name]) for name, e in maps.items()]
    return SegmentError(first, last, max(errors, key=lambda o: o.relative, default=None))


VISIBLE = {"F64": 1e-3, "F32": 1e-3}  # of an output's spread; types of half the size round that much anyway
HALF = 0.1


def visible_rounding(found: Sequence[SegmentError], typed: TypedPlan) -> tuple[Diagnostic, ...]:
    """GP915 for each segment of exact steps whose outputs, as stored, are visibly others."""
    dtype, out = typed.source.dtype, []
    for segment in found:
        steps, worst = typed.steps[segment.first : segment.last], segment.worst
        exact = all(step.proof.claim.strength == "exact" for step in steps)
        if worst is None or not exact or worst.relative <= VISIBLE.get(dtype, HALF):
            continue
        off = f"{worst.name} off by {worst.relative:.2g} of its spread"
        message = f"exact over the reals, and as stored in {dtype}: {off}"
        ways = ["smaller noise on copies: `init like`, a larger `snr_db` or `noise`, a smaller `scale`"]
        if dtype not in VISIBLE:
            ways.append("or grow the model in float32: `model.float().save_pretrained(DIR)`")
        noisy = next((s for s in steps if any(r.noise is not None for r in s.rewrites)), steps[0])
        out.append(Diagnostic("GP915", message, noisy.span, help=tuple(ways), severity="warning"))
    return tuple(out)


def of_step(index: int, measured: Measurement) -> SegmentError:
    """The segment of one step: what was measured of the step itself."""
    worst = OutputError(measured.output, measured.logit_error, measured.spread, measured.kl, True)
    return SegmentError(index, index + 1, worst)


def output_maps_of(graph: Graph, first: int, last: int, models: Sequence[Model]) -> Mapping[str, Expansion]:
    """Output -> E over steps first..last; outputs whose maps do not compose are left out."""
    total: dict[str, Expansion] = output_maps(graph.steps[first], models[first])
    for k in range(first + 1, last):
        for name, e in output_maps(graph.steps[k], models[k]).items():
            if name in total:
                both = compose(e, total[name])
                if both is None:
                    del total[name]
                else:
                    total[name] = both
    return total
