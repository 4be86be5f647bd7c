"""The state that transformers' Trainer keeps in a checkpoint, for the grown model.

    optimizer.pt         ->   moments by the rules of the plan, in the grown model's numbering
    scheduler.pt, rng_state*.pth, scaler.pt   ->   as they are
    trainer_state.json   ->   as it is, without the old model's best checkpoint
    growth-frozen.json   ->   which parameters do not train, for the grown model

optimizer.pt is the one pickle that growplan opens, and only its tensors and numbers (`weights_only`).
"""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch

from growplan.checkpoint.config import list_directory
from growplan.checkpoint.files import guard, read_bytes, write_bytes, write_whole
from growplan.checkpoint.training import (
    FROZEN,
    OPTIMIZER,
    STATE,
    OptimizerMode,
    carried_as_they_are,
    sharded_state,
    trainer_state,
)
from growplan.diagnostics import fail
from growplan.ir.moment_rules import MomentRules
from growplan.learn.model import build
from growplan.runtime import state_dict
from growplan.runtime.numbering import Groups, Slot, plain_groups, slots, trainer_groups
from growplan.runtime.saving import saving

PICKLE = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError)


@dataclass(frozen=True)
class OptimizerRecord:
    """What became of an optimizer's state: tensors by how exact their moments are, and the files written.

    `from_step`: the global step of the Trainer at the growth; `frozen`: parameters that do not train.
    """

    mode: OptimizerMode
    exact: int
    estimate: int
    reset: int
    files: tuple[str, ...]
    from_step: int | None
    frozen: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrainerFiles:
    """A Trainer's state, read and found to fit: `write` puts it beside the grown weights."""

    source: Path
    rules: MomentRules
    mode: OptimizerMode
    optimizer: Mapping[str, Any]
    moments: Mapping[str, Any]
    groups: Groups  # of the grown model
    frozen: tuple[str, ...]  # of the grown model, by name in memory
    trainer: dict[str, Any] | None

    @property
    def bytes(self) -> int:
        """Room on disk that the files take, about."""
        numbers = sum(torch.Size(slot.shape).numel() for group in self.groups for slot in group)
        return 2 * 4 * numbers if self.mode == "grow" else 0

    @property
    def files(self) -> tuple[str, ...]:
        """What `write` puts beside the weights."""
        known = {STATE: self.trainer is not None, FROZEN: bool(self.frozen)}
        return (OPTIMIZER, *carried_as_they_are(self.source), *(name for name in known if known[name]))

    def write(self, out: Path) -> OptimizerRecord:
        """Write the files into `out`. GP43x on an I/O error."""
        if self.mode == "grow":
            made = state_dict.grown(self.optimizer, self.rules.tensors, self.moments, self.groups)
        else:
            made = state_dict.emptied(self.optimizer, self.groups)
        with saving(out / OPTIMIZER), (out / OPTIMIZER).open("wb") as file:
            torch.save(made, file)  # into an open file: its own writer does not say why it fails
        for name in carried_as_they_are(self.source):
            with guard(out / name, f"copy {self.source / name} to"):
                shutil.copyfile(self.source / name, out / name)
        if self.trainer is not None:
            write_bytes(out / STATE, (json.dumps(self.trainer, indent=2, sort_keys=True) + "\n").encode())
        if self.frozen:
            record_frozen(out, self.frozen)
        return self._record()

    def _record(self) -> OptimizerRecord:
        counts = {"exact": 0, "estimate": 0, "reset": 0}
        for moved in self.rules.tensors.values():
            known = moved.source is not None and self.moments.get(moved.source) is not None
            counts[moved.kind if known and self.mode == "grow" else "reset"] += 1
        step = None if self.trainer is None else self.trainer.get("global_step")
        return OptimizerRecord(self.mode, **counts, files=self.files, from_step=step, frozen=self.frozen)


def read_trainer_files(source: Path, rules: MomentRules, mode: OptimizerMode) -> TrainerFiles:
    """The state beside the source's weights, checked as far as can be before anything is written.

    Raises GP532 (no such class), GP570 (no state), GP571 to GP574 (not AdamW's of this model), GP576.
    """
    path = source / OPTIMIZER
    if OPTIMIZER not in list_directory(source):
        _missing(source)
    state = load_state(path)
    lengths = state_dict.lengths(state, str(path))
    before, after = build(rules.source), build(rules.target)
    old, new = slots(rules.source, before), slots(rules.target, after)
    frozen = frozen_parameters(source)
    both = (trainer_groups(before, old, frozen), plain_groups(old, frozen))
    groups = next((each for each in both if [len(group) for group in each] == lengths), None)
    if groups is None:
        of_another_model(path, lengths, old, frozen)
    kept = _frozen_after(old, new, frozen, rules)
    grown = plain_groups(new, kept) if len(lengths) == 1 else trainer_groups(after, new, kept)
    moments = state_dict.read(state, groups, str(path))
    return TrainerFiles(source, rules, mode, state, moments, grown, kept, trainer_state(source))


def frozen_parameters(source: Path) -> tuple[str, ...]:
    """Names of the parameters that did not train, as `growth-frozen.json` records them; none without it."""
    if FROZEN not in list_directory(source):
        return ()
    try:
        frozen = json.loads(read_bytes(source / FROZEN))["frozen"]
        if not all(isinstance(name, str) for name in frozen):
            raise TypeError("`frozen` is no list of names")
    except (ValueError, TypeError, KeyError) as error:
        fail(
            "GP577",
            f"{source / FROZEN} cannot be read: {error}",
            help='restore the file, or write `{"frozen": ["NAME", …]}` into it',
        )
    return tuple(frozen)


def record_frozen(directory: Path | str, names: Iterable[str]) -> None:
    """Write beside a checkpoint which parameters did not train, by their names in memory. GP43x."""
    text = json.dumps({"frozen": sorted(names)}, indent=2) + "\n"
    write_whole(Path(directory) / FROZEN, text.encode())


def _frozen_after(
    old: Mapping[str, Slot], new: Mapping[str, Slot], frozen: tuple[str, ...], rules: MomentRules
) -> tuple[str, ...]:
    """The parameters of the grown model whose tensors all come from frozen ones."""
    stays = {tensor for name in frozen if name in old for tensor in old[name].tensors}

    def frozen_tensors(slot: Slot) -> Iterator[bool]:
        return (rules.tensors[tensor].source in stays for tensor in slot.tensors)

    return tuple(name for name, slot in new.items() if stays and all(frozen_tensors(slot)))


def load_state(path: Path) -> Any:
    """An optimizer's state dict, of tensors and numbers alone. Raises GP571."""
    with guard(path, "read"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        except PICKLE as error:
            reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
            fail(
                "GP571",
                f"{path} cannot be read as plain tensors: {reason}",
                notes=[("why", "anything else in it would be code that runs when it is read")],
                help=("save `optimizer.state_dict()` by `torch.save`, of plain tensors", state_dict.ANEW),
            )


def _missing(source: Path) -> NoReturn:
    other = sharded_state(source)
    if other:
        fail(
            "GP570",
            f"the optimizer's state in {source} is not one `{OPTIMIZER}`",
            notes=[("found", f"`{other}`, which FSDP, DeepSpeed or XLA wrote in parts")],
            help=("gather it into one state dict first", "or leave it out with `--optimizer drop`"),
        )
    fail(
        "GP570",
        f"there is no optimizer's state in {source}",
        notes=[("needs", f"`{OPTIMIZER}`, as transformers' Trainer writes it into a checkpoint")],
        help=("give a checkpoint of the Trainer as the source", "or leave `--optimizer` out"),
    )


def of_another_model(
    path: Path, lengths: list[int], old: Mapping[str, Slot], frozen: tuple[str, ...]
) -> NoReturn:
    """GP573: the groups of an optimizer's state are not those of the model."""
    count, known = sum(lengths), len(old) - len([name for name in frozen if name in old])
    ways = ["use the optimizer state saved with these weights"]
    if count < known:
        ways.append(f'or say what was frozen: `{{"frozen": ["NAME", …]}}` in `{FROZEN}` beside it')
    said = " + ".join(map(str, lengths)) or "no"
    fail(
        "GP573",
        f"{path} is of {said} parameters, the model trains {known}",
        notes=[
            ("why", "its numbers mean nothing without the model, and the frozen set, that they belong to")
        ],
        help=[*ways, state_dict.ANEW],
    )
