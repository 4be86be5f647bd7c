"""The moments of AdamW that a stage begins with: those that lie beside the checkpoint it begins with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from growplan.checkpoint.config import list_directory
from growplan.checkpoint.training import OPTIMIZER
from growplan.families.model import Model
from growplan.runtime import state_dict
from growplan.runtime.numbering import numbered, plain_groups, slots, trainer_groups
from growplan.runtime.trainer_files import frozen_parameters, load_state, of_another_model

Entries = Mapping[str, Mapping[str, Any]]
"""Parameter in memory -> its state: `step`, `exp_avg`, `exp_avg_sq`."""


def moments_beside(directory: Path, model: Model, module: Any) -> Entries:
    """The state in `directory`, by the parameters of `module`; empty where there is none.

    Raises GP571 to GP574 where it is not AdamW's of this model.
    """
    if OPTIMIZER not in list_directory(directory):
        return {}
    path = directory / OPTIMIZER
    state = load_state(path)
    lengths = state_dict.lengths(state, str(path))
    found, frozen = slots(model, module), frozen_parameters(directory)
    both = (trainer_groups(module, found, frozen), plain_groups(found, frozen))
    groups = next((each for each in both if [len(group) for group in each] == lengths), None)
    if groups is None:
        of_another_model(path, lengths, found, frozen)
    state_dict.read(state, groups, str(path))
    held = {number: slot for number, slot in enumerate(numbered(groups)) if number in state["state"]}
    return {slot.name: state["state"][number] for number, slot in held.items()}


def begin_with(optimizer: Any, module: Any, entries: Entries) -> None:
    """Give `optimizer`, made on the parameters of `module`, these moments; its rates stay."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    own = optimizer.state_dict()
    order = [names[id(parameter)] for group in optimizer.param_groups for parameter in group["params"]]
    own["state"] = {number: _copied(entries[name]) for number, name in enumerate(order) if name in entries}
    optimizer.load_state_dict(own)


def _copied(entry: Mapping[str, Any]) -> dict[str, Any]:
    """In memory of its own: what was read may be a part of a mapped file."""
    return {key: torch.as_tensor(value).clone() for key, value in entry.items()}
