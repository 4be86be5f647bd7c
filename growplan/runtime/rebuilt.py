"""The optimizer of a training loop, made again on the parameters of the grown model.

    AdamW, group by group   ->   AdamW with as many groups, of the same options and rates as now

A parameter stands in the group of what it was made of. One that was made of nothing (a new layer) stands
in that of its like: of the same name in another layer, or else of as many dimensions. What comes from
parameters that were not trained is not trained.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from growplan.diagnostics import fail
from growplan.ir.moment_rules import MomentRules
from growplan.runtime import state_dict
from growplan.runtime.numbering import Slot, slots
from growplan.runtime.optimizer import WHERE, groups_of

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler

LAYER = re.compile(r"\.\d+\.")


def check_loop(
    rules: MomentRules,
    model: torch.nn.Module,
    optimizer: torch.optim.Optimizer | None,
    scheduler: LRScheduler | None,
) -> None:
    """That the optimizer is an AdamW of this model, and the scheduler of this optimizer.

    Raises GP572, GP574 and GP575 for the optimizer, GP624 for the scheduler.
    """
    if optimizer is not None and type(optimizer) is not torch.optim.AdamW:
        fail(
            "GP572",
            f"the optimizer is {type(optimizer).__name__}; moments are grown for AdamW",
            help="grow the model without it, and make a new one on the parameters of the grown model",
        )
    if optimizer is not None:
        state_dict.read(optimizer.state_dict(), groups_of(rules.source, model, optimizer, "old"), WHERE)
    if scheduler is not None and scheduler.optimizer is not optimizer:
        fail(
            "GP624",
            f"the {type(scheduler).__name__} is not of the optimizer that is given with it",
            help="give the optimizer that the scheduler was made with",
        )


def rebuilt_optimizer(
    rules: MomentRules, old_model: torch.nn.Module, optimizer: torch.optim.Optimizer, model: torch.nn.Module
) -> torch.optim.Optimizer:
    """An AdamW on the parameters of `model`, its moments empty; parameters that do not train are frozen."""
    old, new = slots(rules.source, old_model), slots(rules.target, model)
    origins = _Origins(rules, old, old_model, optimizer)
    groups: list[list[tuple[str, Any]]] = [[] for _ in optimizer.param_groups]
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(origins.trains(new[name]))
        group = origins.group(new[name])
        if group is not None:
            groups[group].append((name, parameter))
    return torch.optim.AdamW(
        [_group(given, members) for given, members in zip(optimizer.param_groups, groups, strict=True)]
    )


def _group(given: Mapping[str, Any], members: list[tuple[str, Any]]) -> dict[str, Any]:
    """A group with the options of an old one; with names, where that has them."""
    own = {key: value for key, value in given.items() if key not in ("params", "param_names")}
    return {**own, "params": members if "param_names" in given else [p for _, p in members]}


class _Origins:
    """Where in the old model, and in its optimizer, each parameter of the new one comes from."""

    def __init__(
        self,
        rules: MomentRules,
        old: Mapping[str, Slot],
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.rules, self.old = rules, old
        self.parameters = dict(model.named_parameters())
        self.holder = {tensor: name for name, slot in old.items() for tensor in slot.tensors}
        by_id = {id(p): i for i, group in enumerate(optimizer.param_groups) for p in group["params"]}
        self.groups = {name: by_id.get(id(p)) for name, p in self.parameters.items()}

    def of(self, slot: Slot) -> tuple[str, ...]:
        """The parameters of the old model that a new one is made of."""
        sources = (self.rules.tensors[tensor].source for tensor in slot.tensors)
        return tuple(self.holder[source] for source in sources if source is not None)

    def trains(self, slot: Slot) -> bool:
        """Whether it asks for a gradient: where what it is made of did, or where it is new."""
        return all(self.parameters[name].requires_grad for name in self.of(slot))

    def group(self, slot: Slot) -> int | None:
        """The number of its group; None where the optimizer holds nothing of what it is made of."""
        origins = self.of(slot)
        if origins:
            return self.groups[origins[0]]
        like = LAYER.sub(".#.", slot.name)
        near = [name for name in self.old if LAYER.sub(".#.", name) == like]
        near += [name for name, other in self.old.items() if len(other.shape) == len(slot.shape)]
        return next((group for name in near if (group := self.groups[name]) is not None), 0)
