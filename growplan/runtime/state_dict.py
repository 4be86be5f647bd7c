"""Reading and making the state dict of a `torch.optim.AdamW`, every shape checked before it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import Any, NoReturn

import torch
from torch import Tensor

from growplan.diagnostics import fail
from growplan.ir.moments import Moved
from growplan.runtime.adam import Moments, grow_moments
from growplan.runtime.numbering import Groups, Slot, numbered

ADAM = {"step", "exp_avg", "exp_avg_sq"}
ANEW = "begin anew with `--optimizer reset`, or leave the state out with `--optimizer drop`"
OTHERS: tuple[tuple[str, str], ...] = (
    ("qmap1", "an 8-bit optimizer of bitsandbytes"),
    ("absmax1", "an 8-bit optimizer of bitsandbytes"),
    ("state1", "an optimizer of bitsandbytes"),
    ("max_exp_avg_sq", "AdamW with `amsgrad`"),
    ("exp_avg_sq_row", "Adafactor"),
    ("exp_avg_sq_col", "Adafactor"),
    ("RMS", "Adafactor"),
    ("row_var", "Adafactor"),
    ("exp_inf", "Adamax"),
    ("mu_product", "NAdam"),
    ("momentum_buffer", "SGD or Muon with momentum"),
    ("square_avg", "RMSprop"),
    ("sum", "Adagrad"),
    ("ax", "ASGD"),
)


def read(state: Mapping[str, Any], groups: Groups, where: str) -> dict[str, Moments | None]:
    """Tensor on disk -> its moments, None where there are none yet. Raises GP571, GP572 and GP574.

    `groups` must be as long as those of `state`.
    """
    entries = state["state"]
    found: dict[str, Moments | None] = {}
    for number, slot in zip(_numbers(state, where), numbered(groups), strict=True):
        entry = entries.get(number)
        if entry is None:
            found |= dict.fromkeys(slot.tensors)
        else:
            found |= _unpacked(slot, _moments(entry, slot, where))
    return found


def grown(
    options: Mapping[str, Any],
    rules: Mapping[str, Moved],
    moments: Mapping[str, Moments | None],
    groups: Groups,
) -> dict[str, Any]:
    """The state dict of the grown model's AdamW: `moments` of the source by `rules`, in `groups`.

    The groups have the options (rates, decay) of the state dict `options`.
    """
    made = dict(grow_moments(rules, moments.get))
    return _assembled(options, groups, lambda slot: _packed(slot, made))


def emptied(options: Mapping[str, Any], groups: Groups) -> dict[str, Any]:
    """The same optimizer for the grown model with no moments: it begins anew, at the rates that it had."""
    return _assembled(options, groups, lambda slot: None)


def lengths(state: Any, where: str) -> list[int]:
    """How many parameters each group of a state dict has. Raises GP571."""
    return [len(group["params"]) for group in _groups(state, where)]


def _assembled(
    options: Mapping[str, Any], groups: Groups, moments: Callable[[Slot], Moments | None]
) -> dict[str, Any]:
    made, entries, number = [], dict[int, dict[str, Tensor]](), 0
    for given, members in zip(options["param_groups"], groups, strict=True):
        made.append({**given, "params": list(range(number, number + len(members)))})
        for slot in members:
            found = moments(slot)
            if found is not None:
                entries[number] = {"step": found.step, "exp_avg": found.first, "exp_avg_sq": found.second}
            number += 1
    return {"state": entries, "param_groups": made}


# what a state dict must be ---------------------------------------------------------------------------


def _groups(state: Any, where: str) -> list[Mapping[str, Any]]:
    groups = state.get("param_groups") if isinstance(state, Mapping) else None
    entries = state.get("state") if isinstance(state, Mapping) else None
    listed = isinstance(groups, list) and all(
        isinstance(group, Mapping)
        and isinstance(group.get("params"), list)
        and all(type(number) is int for number in group["params"])
        for group in groups
    )
    if not listed or not isinstance(entries, Mapping):
        fail(
            "GP571",
            f"{where} is no optimizer's state dict",
            notes=[("needs", "`state` and `param_groups`, as `optimizer.state_dict()` gives them")],
            help=("save it again from the optimizer", ANEW),
        )
    return list(groups or ())


def _numbers(state: Mapping[str, Any], where: str) -> Iterator[Any]:
    for group in _groups(state, where):
        yield from group["params"]


def _moments(entry: Any, slot: Slot, where: str) -> Moments:
    keys = {str(key) for key in entry} if isinstance(entry, Mapping) else set[str]()
    name = next((name for mark, name in OTHERS if mark in keys), "")
    if not name and not keys >= ADAM:
        name = "Lion" if keys - {"step"} == {"exp_avg"} else "an optimizer that is not known"
    if name:
        _another(where, name, slot, keys)
    first, second, step = entry["exp_avg"], entry["exp_avg_sq"], entry["step"]
    for key, tensor in (("exp_avg", first), ("exp_avg_sq", second)):
        if not _plain(tensor):
            _another(where, f"an optimizer whose `{key}` is no plain tensor", slot, keys)
        if tuple(tensor.shape) != slot.shape:
            fail(
                "GP574",
                f"`{key}` of `{slot.name}` in {where} has the wrong shape",
                notes=[("model", str(list(slot.shape))), ("found", str(list(tensor.shape)))],
                help=("use the optimizer state saved with these weights", ANEW),
            )
    if type(step) not in (int, float) and not (_plain(step, integers=True) and step.numel() == 1):
        _another(where, "an optimizer whose `step` is no number", slot, keys)
    return Moments(torch.as_tensor(step, dtype=torch.float32).detach().reshape(()), first, second)


def _plain(tensor: Any, *, integers: bool = False) -> bool:
    """Whether it is a tensor of real numbers that lie somewhere, one after the other."""
    if type(tensor) is not Tensor or tensor.layout is not torch.strided or tensor.is_meta:
        return False
    return tensor.is_floating_point() or (integers and not tensor.is_complex())


def _another(where: str, name: str, slot: Slot, keys: set[str]) -> NoReturn:
    fail(
        "GP572",
        f"{where} is of {name}; moments are grown for AdamW",
        notes=[("found", f"{', '.join(sorted(keys)) or 'nothing'} for `{slot.name}`")],
        help=ANEW,
    )


# parameters that hold several tensors ----------------------------------------------------------------


def _unpacked(slot: Slot, moments: Moments) -> dict[str, Moments | None]:
    if slot.shapes == (slot.shape,):
        return {slot.tensors[0]: moments}
    found: dict[str, Moments | None] = {}
    rows = [prod(shape[:-1]) for shape in slot.shapes]
    flat = (x.reshape(-1, slot.shape[-1]) for x in (moments.first, moments.second))
    first, second = (torch.split(x, rows) for x in flat)
    for name, shape, m, v in zip(slot.tensors, slot.shapes, first, second, strict=True):
        found[name] = Moments(moments.step, m.view(shape), v.view(shape))
    return found


def _packed(slot: Slot, made: Mapping[str, Moments | None]) -> Moments | None:
    """The moments of a parameter; none where one of its tensors has none."""
    parts = [part for name in slot.tensors if (part := made[name]) is not None]
    if len(parts) < len(slot.tensors):
        return None
    if len(parts) == 1:
        return parts[0]
    first, second = (
        torch.cat([x.reshape(-1, slot.shape[-1]) for x in column]).view(slot.shape)
        for column in ([part.first for part in parts], [part.second for part in parts])
    )
    return Moments(parts[0].step, first, second)
