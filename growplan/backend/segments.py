"""A run of preserving steps as a whole: the model before it against the model as stored after it.

Steps are asserted one by one before the store rounds; this is what the user gets, rounding
and all. It is measured, not asserted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from growplan.algebra import Expansion
from growplan.backend.evaluate import ModelView, Read
from growplan.backend.interpreter import Interpreter
from growplan.backend.outputs import output_maps
from growplan.backend.probes import OutputError, output_error, probe_ids
from growplan.families.model import Model
from growplan.ir.graph import Graph


@dataclass(frozen=True)
class SegmentMeasurement:
    """The outputs of steps `first` .. `last` (1-based, inclusive) taken together."""

    first: int
    last: int
    outputs: tuple[OutputError, ...]

    def numbers(self) -> dict[str, float]:
        """What growth.json records: quantity -> number."""
        found: dict[str, float] = {}
        for output in self.outputs:
            found[f"{output.name}_max_abs"] = output.error
            found[f"{output.name}_spread"] = output.spread
            if output.kl is not None:
                found["kl"] = output.kl
        return found


def segments(claims: Sequence[str]) -> list[tuple[int, int]]:
    """The runs of steps that claim to preserve something, 1-based and inclusive."""
    out: list[tuple[int, int]] = []
    for index, claim in enumerate(claims, start=1):
        if claim.startswith("none"):
            continue
        if out and out[-1][1] == index - 1:
            out[-1] = (out[-1][0], index)
        else:
            out.append((index, index))
    return out


def measure_segment(
    graph: Graph,
    first: int,
    last: int,
    models: Sequence[Model],
    read: Read,
    device: torch.device | str = "cpu",
    seed: int = 0,
) -> SegmentMeasurement:
    """Compare model `first` - 1 with model `last` as it would be stored, on random ids in float64.

    `models[k]` is the model after step k, `models[0]` the source. An output whose map has no
    name in the row language (uneven means of means) is left out.
    """
    before, after = models[first - 1], models[last]
    old = ModelView(graph, first - 1, read, device)
    new = ModelView(graph, last, read, device, rounded=True)
    ids = probe_ids(before, torch.Generator().manual_seed(seed))
    expected = Interpreter(before, old.get, torch.float64, device).outputs(ids)
    got = Interpreter(after, new.get, torch.float64, device).outputs(ids)
    found = []
    for name, x in expected.items():
        e: Expansion | None = Expansion.identity(x.shape[-1])
        for k in range(first, last + 1):
            e = None if e is None else output_maps(graph.steps[k - 1], models[k - 1])[name].after(e)
        if e is not None:
            found.append(output_error(name, e, x, got[name]))
    return SegmentMeasurement(first, last, tuple(found))
