"""The record of one lowered step: what it is called, what it claims, what can be asserted of it."""

from __future__ import annotations

from growplan.check.typed import TypedStep
from growplan.ir.graph import LearnedLaw, ModuleLaw, Provenance, SetConfig, Step, TensorLaw
from growplan.ir.rings import RingGroup, RingLaw


def record(
    step: TypedStep,
    laws: tuple[TensorLaw, ...] = (),
    modules: tuple[ModuleLaw, ...] = (),
    provenance: tuple[Provenance, ...] = (),
    learned: tuple[LearnedLaw, ...] = (),
    rings: tuple[RingLaw, ...] = (),
    groups: tuple[RingGroup, ...] = (),
) -> Step:
    """`step` as the graph keeps it, with the config keys it sets."""
    before, after = step.before.config, step.after.config
    config = tuple(SetConfig(k, after[k]) for k in sorted(after) if k not in before or before[k] != after[k])
    return Step(
        index=step.index,
        id=step.id,
        text=step.text,
        claim=str(step.proof.claim),
        origin=step.origin,
        config=config,
        sizes=tuple(sorted(step.after.sizes.items())),
        stream=step.stream,
        laws=laws,
        modules=modules,
        provenance=provenance,
        layers=tuple((s.layer, s.silent) for s in step.layers),
        learned=learned,
        rings=rings,
        groups=groups,
    )
