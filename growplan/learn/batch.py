"""A batch for the loss of a model's own head: what it reads, and what it should say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

import torch
from torch import Tensor

from growplan.check.fitted import Fit
from growplan.diagnostics import fail
from growplan.families.model import Model
from growplan.learn.data import Data
from growplan.methods.base import uniform

IGNORED = -100  # a target that the loss leaves out
MASKED = 0.15  # of the tokens of a masked model, all of them hidden (its training keeps some)
PIECE_BYTES = 128 << 20  # of logits at a time


@dataclass(frozen=True)
class Piece:
    """Sequences of one length: `ids` [rows, tokens] as the model reads them, `targets` as the loss does.

    `targets` are [rows, tokens] with IGNORED where nothing is asked, or [rows]: a label a sequence.
    """

    ids: Tensor
    targets: Tensor


def pieces(data: Data, fit: Fit, model: Model, mask: int | None, key: str) -> list[Piece]:
    """The batch in pieces of one length each. `mask` hides tokens of a masked model, drawn by `key`.

    Raises GP522 for labels that do not fit, GP523 for labels that are not there.
    """
    rows = list(_rows(data, fit, model, mask, key))
    out: list[Piece] = []
    for length, group in groupby(rows, key=lambda row: len(row[0])):
        same = list(group)
        step = max(1, PIECE_BYTES // (8 * length * max(model.sizes["vocab"], 1)))
        for at in range(0, len(same), step):
            ids, targets = zip(*same[at : at + step], strict=True)
            out.append(Piece(torch.tensor(ids), torch.tensor(targets)))
    if all(bool((piece.targets == IGNORED).all()) for piece in out):
        fail("GP522", "the data asks nothing of the model: every label is -100", help="give labels from 0 up")
    return out


Row = tuple[list[int], list[int] | int]


def _rows(data: Data, fit: Fit, model: Model, mask: int | None, key: str) -> Iterator[Row]:
    """(ids, targets) of every sequence."""
    if fit.loss in ("sequence", "token"):
        yield from _labelled(data, fit, model)
        return
    if data.labels is not None:
        fail("GP522", "the data has labels, and a language model has no use for them", help="leave them out")
    random = uniform(f"{key}/mask")
    for number, row in enumerate(data.sequences):
        if fit.loss == "causal":
            yield list(row), [*row[1:], IGNORED]
            continue
        assert mask is not None
        hidden = [random.random() < MASKED for _ in row]
        hidden[0] |= number == 0 and not any(hidden)  # one at least
        ids = [mask if hide else token for token, hide in zip(row, hidden, strict=True)]
        yield ids, [token if hide else IGNORED for token, hide in zip(row, hidden, strict=True)]


def _labelled(data: Data, fit: Fit, model: Model) -> Iterator[Row]:
    if data.labels is None:
        way = 'write {"ids": [[…], …], "labels": […]} as .json'
        fail("GP523", "the loss of this head needs labels, and the data has none", help=way)
    many = model.sizes["labels"]
    labels: tuple[int | tuple[int, ...], ...] = data.labels
    for row, label in zip(data.sequences, labels, strict=True):
        each = isinstance(label, tuple)
        if each != (fit.loss == "token"):
            what = "a label for every token" if fit.loss == "token" else "one label a sequence"
            fail("GP522", f"this head needs {what}", help="change the `labels` of the data")
        for one in label if isinstance(label, tuple) else (label,):
            if not 0 <= one < many and not (each and one == IGNORED):
                fail(
                    "GP522",
                    f"the label {one} is none of the model's {many}",
                    help=f"labels go from 0 to {many - 1}",
                )
        yield list(row), list(label) if isinstance(label, tuple) else label
