"""Sequences with labels: one for each, one for each token, or where an answer begins and ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from growplan.check.task import Task
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.learn.corpus import IGNORED, Batch, Readers, counts, held_units
from growplan.learn.draws import below, shuffled
from growplan.learn.forms import LABELLED
from growplan.learn.overlap import rows_repeated
from growplan.learn.records import END, LABELS, START, Record, first_of

Target = int | list[int]


@dataclass(frozen=True)
class Labelled:
    """Sequences of any length with a target each: a label, a label for each token, (start, end).

    A batch is filled up with `pad` to its longest sequence; its mask says which tokens are none. `per`
    is what a target is counted in: `sequence`, `token`, `answer`.
    """

    sequences: Sequence[Any]  # numpy arrays of ids; may lie on disk
    targets: Sequence[Target]
    sha256: str
    task: Task
    rows: int
    pad: int
    key: str
    readers: Readers = ()

    def __post_init__(self) -> None:
        """GP531 where there are not enough sequences to hold any out."""
        if len(self._asked) < 2:
            found = f"{len(self._asked)} labelled sequence: one is drawn and one is held out, at least"
            fail("GP531", found, help="give more sequences")

    @cached_property
    def _asked(self) -> list[int]:
        """The sequences that ask something of every reader, be it the one that cuts them shortest."""
        least = min((tokens for _, tokens in self.readers), default=None)
        every = enumerate(self.targets)
        return [i for i, target in every if least is None or _asks(self.task, target, least)]

    @cached_property
    def _split(self) -> tuple[list[int], list[int]]:
        """(held out, drawn): the first of an order that the key gives, and all others."""
        order = [self._asked[int(i)] for i in shuffled(len(self._asked), f"{self.key}/held out")]
        held = held_units(len(order), self.rows, self.readers)
        late = sorted(set(range(len(self.targets))) - set(order))
        return order[:held], order[held:] + late

    def batch(self, step: int) -> Batch:
        """Sequences that are not held out, each as likely as any other."""
        drawn = self._split[1]
        return self._read([drawn[i] for i in below(len(drawn), f"{self.key}/sequences", step, self.rows)])

    def held_out(self) -> Sequence[Batch]:
        """The sequences that no reader draws."""
        held = self._split[0]
        return [self._read(held[at : at + self.rows]) for at in range(0, len(held), self.rows)]

    def facts(self) -> dict[str, int]:
        """Sequences in all, those held out, and those of these that are there twice."""
        held, drawn = ([self._ids(i).numpy().tobytes() for i in part] for part in self._split)
        return counts("sequences", len(self.sequences), len(held), rows_repeated(held, drawn))

    def _read(self, which: Sequence[int]) -> Batch:
        rows = [self._ids(i) for i in which]
        inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.pad)
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(inputs.shape[1]) < lengths[:, None]
        return Batch(inputs, self._targets([self.targets[i] for i in which]), mask.to(torch.int64))

    def _ids(self, number: int) -> Tensor:
        return torch.from_numpy(self.sequences[number].astype("int64"))

    def _targets(self, found: Sequence[Target]) -> Tensor:
        if self.task != "token":
            return torch.tensor(found)
        rows = [torch.tensor(row) for row in found]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)


def _asks(task: Task, target: Target, tokens: int) -> bool:
    """Whether a target asks anything of a model that reads so many tokens of its sequence."""
    if not isinstance(target, list):
        return True
    return target[1] < tokens if task == "answer" else any(label != IGNORED for label in target[:tokens])


# reading -------------------------------------------------------------------------------------------


def labelled(
    path: Path, found: Iterator[tuple[str, Any, Record]], model: Model, task: Task
) -> tuple[list[Any], list[Target]]:
    """(sequences, targets) of encoded records; those that ask nothing are left out.

    Raises GP522 for a record without tokens, GP558 for one without a label that the model has.
    """
    names = labels_by_name(model)
    sequences, targets = list[Any](), list[Target]()
    for where, ids, record in found:
        if not len(ids):
            fail("GP522", f"{path}, {where}, has no tokens", help="take it out")
        target = _target(path, where, ids, record, model, task, names)
        if target is not None:
            sequences.append(ids)
            targets.append(target)
    return sequences, targets


def labels_by_name(model: Model) -> Mapping[str, int]:
    """Name -> number of the labels that the config names."""
    said = model.config.get("id2label")
    pairs = said.items() if isinstance(said, Mapping) else ()
    return {str(name): int(number) for number, name in pairs if str(number).isdigit()}


def _target(
    path: Path,
    where: str,
    ids: Sequence[int],
    record: Record,
    model: Model,
    task: Task,
    names: Mapping[str, int],
) -> Target | None:
    if task == "answer":
        return _answer(path, where, len(ids), record)
    label, classes = first_of(record, LABELS), model.sizes["labels"]
    if task == "sequence":
        number = names.get(label) if isinstance(label, str) else label
        if type(number) is not int or not 0 <= number < classes:
            _no_label(path, where, label, task, names, classes)
        return number
    if not isinstance(label, list) or len(label) < len(ids):
        _no_label(path, where, label, task, names, classes)
    numbers = [names.get(each) if isinstance(each, str) else each for each in label[: len(ids)]]
    for each, number in zip(label, numbers, strict=False):
        if type(number) is not int or not (0 <= number < classes or number == IGNORED):
            _no_label(path, where, each, task, names, classes)
    asked = any(number != IGNORED for number in numbers)
    return [number for number in numbers if number is not None] if asked else None


def _answer(path: Path, where: str, tokens: int, record: Record) -> list[int] | None:
    """(start, end); None where the answer lies behind the tokens that are read."""
    start, end = first_of(record, START), first_of(record, END)
    if type(start) is not int or type(end) is not int or not 0 <= start <= end:
        what = f"{path}, {where}, does not say at which token the answer starts and ends"
        fail("GP558", what, help=LABELLED["answer"])
    return [start, end] if end < tokens else None


def _no_label(
    path: Path, where: str, label: Any, task: Task, names: Mapping[str, int], classes: int
) -> NoReturn:
    if label is None or (task == "token" and isinstance(label, list)):
        what = "has no label" if task == "sequence" else "does not have a label for every token"
        fail("GP558", f"{path}, {where}, {what}", help=LABELLED[task])
    known = f", or {', '.join(list(names)[:6])}" if names else ""
    way = f"labels go from 0 to {classes - 1}{known}"
    fail("GP558", f"{path}, {where}, has the label {label!r}, which the model does not", help=way)
