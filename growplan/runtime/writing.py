"""The growth state of a checkpoint that `apply` writes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from growplan.backend.executor import execute
from growplan.check.masks import growth_masks, live_steps
from growplan.check.typed import TypedPlan
from growplan.checkpoint.layout import plan_file
from growplan.checkpoint.reader import Reader
from growplan.checkpoint.writer import Writer
from growplan.ir.graph import Graph
from growplan.ir.passes import run_passes
from growplan.ir.unmasked import differing, only, unmasked
from growplan.runtime.fingerprint import fingerprint
from growplan.runtime.state import RAW, state_of, write_state


def write_growth_state(
    typed: TypedPlan,
    graphs: tuple[Graph, Graph],
    reader: Reader,
    out: Path,
    device: torch.device | str = "cpu",
    memory: int | None = None,
    leaves: Mapping[str, Tensor] | None = None,
    from_step: int | None = None,
) -> tuple[str, ...]:
    """Write the state of masked steps into `out`; the names of its files, none where nothing is masked.

    `graphs` are those as lowered, masks and all, of the checkpoint and of the model behind its masks; the
    weights lie in `out` already. Raw values are written of what the two have different. `from_step`: where
    the Trainer's training stands that goes on with the grown model.
    """
    if not growth_masks(typed):
        return ()
    attached = typed.claim.where == "attached"  # then the checkpoint itself is raw
    live = live_steps(typed.steps)
    stored, trained = graphs
    plain = unmasked(trained, live)
    raw = () if attached else differing(stored, plain)
    state = state_of(typed, list(raw))
    assert state is not None
    begun = None if from_step is None else -from_step
    known = state.model_copy(update={"fingerprint": fingerprint(out), "begun": begun})
    files: tuple[str, ...] = (write_state(out, known),)
    if raw:
        plain = only(plain, raw)
        types = {tensor: plain.nodes[value].type for tensor, value in plain.stores.items()}
        layout = plan_file(RAW, {tensor: (type_.dtype, type_.shape) for tensor, type_ in types.items()})
        with Writer(out, layout) as writer:
            execute(run_passes(plain), reader, writer, device, None, memory, leaves)
        files = (*files, RAW)
    return files
