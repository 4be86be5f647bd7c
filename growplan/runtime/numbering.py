"""How an optimizer numbers a model's parameters, and which tensor on disk each number is.

An optimizer's state dict knows its parameters by numbers alone: those of the first group, then those
of the next. transformers' Trainer makes two groups, of the parameters that decay (matrices) and of the
others (biases and norms), each in the order of `named_parameters`, frozen ones left out; a plain
`AdamW(model.parameters())` has one. Which is which is rebuilt from the model's class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from growplan.families.model import Model
from growplan.learn.model import names_in_memory


@dataclass(frozen=True)
class Slot:
    """One parameter: its name in memory, its shape, and the tensors on disk that it holds, in order."""

    name: str
    shape: tuple[int, ...]
    tensors: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]


Groups = tuple[tuple[Slot, ...], ...]


def slots(model: Model, module: Any) -> dict[str, Slot]:
    """Name in memory -> its slot, tied parameters once, in the module's order. Raises GP532."""
    names, packed = names_in_memory(model, module)
    shapes = {name: model.shape(param) for name, param, _ in model.tensors()}
    parameters: Mapping[str, Any] = dict(module.named_parameters(remove_duplicate=False))
    holds: dict[int, tuple[str, ...]] = {id(parameters[name]): (disk,) for disk, name in names.items()}
    holds |= {id(parameters[name]): each.names for name, each in packed.items()}
    return {
        name: Slot(name, tuple(p.shape), held, tuple(shapes[disk] for disk in held))
        for name, p in module.named_parameters()
        for held in (holds[id(p)],)
    }


def trainer_groups(module: Any, found: Mapping[str, Slot], frozen: Collection[str] = ()) -> Groups:
    """The two groups of transformers' Trainer; `frozen` by name in memory."""
    from transformers import Trainer

    decays = frozenset(Trainer.get_decay_parameter_names(None, module))
    trained = [slot for slot in found.values() if slot.name not in frozen]
    return (
        tuple(slot for slot in trained if slot.name in decays),
        tuple(slot for slot in trained if slot.name not in decays),
    )


def plain_groups(found: Mapping[str, Slot], frozen: Collection[str] = ()) -> Groups:
    """The one group of `AdamW(model.parameters())`, frozen ones left out."""
    return (tuple(slot for slot in found.values() if slot.name not in frozen),)


def numbered(groups: Sequence[Sequence[Slot]]) -> list[Slot]:
    """The slots by their numbers."""
    return [slot for group in groups for slot in group]
