"""Growing the state of a `torch.optim.AdamW` between two models in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.ir.moment_rules import MomentRules
from growplan.runtime import state_dict
from growplan.runtime.numbering import Groups, slots

if TYPE_CHECKING:
    import torch

WHERE = "the optimizer's state"


def grow_optimizer(
    rules: MomentRules,
    old_model: torch.nn.Module,
    old_optimizer: torch.optim.Optimizer,
    new_model: torch.nn.Module,
    new_optimizer: torch.optim.Optimizer,
) -> None:
    """Fill `new_optimizer`, made on the grown model's parameters, with the moments of `old_optimizer`.

    Both are AdamW; groups may be cut in any way, and parameters may be left out of either: what the
    old one does not hold is reset. Rates and other options of `new_optimizer` stay. The models are of
    the transformers classes that their configs name. Raises GP532, GP572, GP574 and GP575.
    """
    old = groups_of(rules.source, old_model, old_optimizer, "old")
    new = groups_of(rules.target, new_model, new_optimizer, "new")
    moments = state_dict.read(old_optimizer.state_dict(), old, WHERE)
    made = state_dict.grown(new_optimizer.state_dict(), rules.tensors, moments, new)
    # what nothing moved is still the old optimizer's own tensor, and `load_state_dict` copies none
    made["state"] = {n: {k: v.clone() for k, v in state.items()} for n, state in made["state"].items()}
    new_optimizer.load_state_dict(made)


def groups_of(model: Model, module: Any, optimizer: torch.optim.Optimizer, which: str) -> Groups:
    """The optimizer's groups as slots of the model. Raises GP575 for a parameter that is not the model's."""
    found = slots(model, module)
    by_id = {id(parameter): found[name] for name, parameter in module.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        if not all(id(parameter) in by_id for parameter in group["params"]):
            fail(
                "GP575",
                f"the {which} optimizer holds parameters that the {which} model does not have",
                help=f"give the model that the {which} optimizer was made with",
            )
        groups.append(tuple(by_id[id(parameter)] for parameter in group["params"]))
    return tuple(groups)
