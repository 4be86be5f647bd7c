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
from growplan.learn.corpus import HELD_BATCHES, IGNORED, Batch, counts
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

    sequences: Sequence[Sequence[int]]
    targets: Sequence[Target]
    sha256: str
    task: Task
    rows: int
    pad: int
    key: str

    def __post_init__(self) -> None:
        """GP531 where there are not enough sequences to hold any out."""
        if len(self.sequences) < 2:
            found = f"{len(self.sequences)} labelled sequence: one is drawn and one is held out, at least"
            fail("GP531", found, help="give more sequences")

    @property
    def _held(self) -> int:
        return max(1, min(len(self.sequences) // 10, HELD_BATCHES * self.rows))

    @cached_property
    def _order(self) -> list[int]:
        return [int(i) for i in shuffled(len(self.sequences), f"{self.key}/held out")]

    def batch(self, step: int) -> Batch:
        """Sequences that are not held out, each as likely as any other."""
        order = self._order[self._held :]
        return self._read([order[i] for i in below(len(order), f"{self.key}/sequences", step, self.rows)])

    def held_out(self) -> Sequence[Batch]:
        """The first sequences of an order that the key gives."""
        groups = range(0, self._held, self.rows)
        return [self._read(self._order[at : min(at + self.rows, self._held)]) for at in groups]

    def facts(self) -> dict[str, int]:
        """Sequences in all, those held out, and those of these that are there twice."""
        rows = [torch.tensor(self.sequences[i]).numpy().tobytes() for i in self._order]
        repeated = rows_repeated(rows[: self._held], rows[self._held :])
        return counts("sequences", len(self.sequences), self._held, repeated)

    def _read(self, which: Sequence[int]) -> Batch:
        rows = [torch.tensor(self.sequences[i]) for i in which]
        inputs = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=self.pad)
        lengths = torch.tensor([len(row) for row in rows])
        mask = torch.arange(inputs.shape[1]) < lengths[:, None]
        return Batch(inputs, self._targets([self.targets[i] for i in which]), mask.to(torch.int64))

    def _targets(self, found: Sequence[Target]) -> Tensor:
        if self.task != "token":
            return torch.tensor(found)
        rows = [torch.tensor(row) for row in found]
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=IGNORED)


# reading -------------------------------------------------------------------------------------------


def labelled(
    path: Path, found: Iterator[tuple[str, list[int], Record]], model: Model, task: Task
) -> tuple[list[list[int]], list[Target]]:
    """(sequences, targets) of encoded records; those that ask nothing are left out.

    Raises GP522 for a record without tokens, GP558 for one without a label that the model has.
    """
    names = labels_by_name(model)
    sequences, targets = list[list[int]](), list[Target]()
    for where, ids, record in found:
        if not ids:
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
