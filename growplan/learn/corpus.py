"""What an operator is fitted on: batches drawn from a user's file, and others that are never drawn.

A corpus is a long row of token ids, or images with labels. Batch number s is a pure function of the
key and s, so that an interrupted fit draws what an uninterrupted one would have drawn. The last part of
a text (a part of the images) is held out: the loss before and after is measured there. How much that is
depends on the batch; several readers of the same data hold out the same part, enough for each of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Protocol

import torch
from torch import Tensor

from growplan.backend.inputs import resized
from growplan.diagnostics import fail
from growplan.learn.draws import below, chosen, shuffled, uniform
from growplan.learn.overlap import SEARCHED, rows_repeated, windows_repeated

IGNORED = -100  # a target that the loss leaves out
MASKED = 0.15  # of the tokens of a masked model are asked for
HIDDEN, OTHER = 0.8, 0.1  # of these: replaced by the mask token, by any token; the rest stand as they are
HELD_SHARE = 20  # one part in so many is held out
HELD_BATCHES = 8  # and no more than this
Readers = tuple[tuple[int, int], ...]
"""(rows of a batch, tokens of a row) of everything that reads the same data."""


@dataclass(frozen=True)
class Batch:
    """What the model reads, and what it should say.

    `inputs`: ids [rows, tokens], or pixels [rows, channels, size, size] in float32. `targets`:
    [rows, tokens] with IGNORED where nothing is asked, a label a row, or (start, end) a row. `mask`
    [rows, tokens]: 1 at a token, 0 at what fills a row up; None where every row is full.
    """

    inputs: Tensor
    targets: Tensor
    mask: Tensor | None = None

    def asked(self) -> int:
        """How many targets the loss is a mean of."""
        return int((self.targets != IGNORED).sum())

    def share(self, rank: int, world: int) -> Batch:
        """The rows that one of several ranks reads; none where there are fewer rows than ranks."""
        return self if world == 1 else self._cut(world)[rank]

    def by(self, rows: int) -> list[Batch]:
        """Batches of so many rows each, one after the other; the last may have fewer."""
        masks = [None] * -(-len(self.inputs) // rows) if self.mask is None else torch.split(self.mask, rows)
        pieces = zip(torch.split(self.inputs, rows), torch.split(self.targets, rows), masks, strict=True)
        return [Batch(*piece) for piece in pieces]

    def parts(self, count: int) -> Iterator[Batch]:
        """The rows in `count` pieces (fewer where there are fewer rows), as equal as they can be."""
        yield from (piece for piece in self._cut(count) if len(piece.inputs))

    def _cut(self, count: int) -> list[Batch]:
        masks = [None] * count if self.mask is None else self.mask.tensor_split(count)
        pieces = zip(self.inputs.tensor_split(count), self.targets.tensor_split(count), masks, strict=True)
        return [Batch(*piece) for piece in pieces]


class Corpus(Protocol):
    """Batches by number, and those held out."""

    @property
    def sha256(self) -> str:
        """Of the file."""

    def batch(self, step: int) -> Batch:
        """The batch of a step, counted from 0."""

    def held_out(self) -> Sequence[Batch]:
        """The batches that no step draws: the same in every run."""

    def facts(self) -> dict[str, int]:
        """Counts that a record should name; `repeated`: of what is held out, as much as is drawn too."""


def held_units(units: int, rows: int, readers: Readers) -> int:
    """How many of so many images or sequences are held out, for every reader: 1 at least."""
    return max(1, min(units // 10, HELD_BATCHES * max(rows, *(batch for batch, _ in readers), 0)))


def counts(unit: str, total: int, held_out: int, repeated: int) -> dict[str, int]:
    """What a corpus says of itself; `repeated` is left out where nothing is."""
    found = {unit: total, "held_out": held_out}
    return found | {"repeated": repeated} if repeated else found


@dataclass(frozen=True)
class Tokens:
    """One long row of ids, read through windows of `length` tokens that begin anywhere.

    `edges`: ids that stand before and after every window (BERT's [CLS] and [SEP]), counted in `length`.
    `vocab`: ids lie below it.
    """

    ids: Any  # a numpy array or a torch tensor of whole numbers, [N]; may lie on disk
    sha256: str
    task: Literal["causal", "masked"]
    rows: int
    length: int
    key: str
    vocab: int
    mask: int | None = None
    edges: tuple[int, int] | None = None
    readers: Readers = ()

    def __post_init__(self) -> None:
        """GP531 where there are not enough tokens for a window to draw and one to hold out."""
        longest = max(inner for _, inner in self._all)
        if len(self.ids) < 2 * longest:
            ways = ("give a longer text", f"or shorter windows: `tokens {max(2, len(self.ids) // 2)}`")
            found = f"{len(self.ids)} tokens are too few for windows of {longest + self._ends}"
            fail("GP531", f"{found}: {2 * longest} at least", help=ways)

    @property
    def _ends(self) -> int:
        return 0 if self.edges is None else len(self.edges)

    @property
    def _inner(self) -> int:
        """Tokens of a window that come from the text."""
        return self.length - self._ends

    @property
    def _all(self) -> Readers:
        """(rows, tokens from the text) of this reader and of the others."""
        return tuple((rows, n - self._ends) for rows, n in ((self.rows, self.length), *self.readers))

    @property
    def _drawn(self) -> int:
        """Tokens before the part that is held out."""
        share = len(self.ids) // HELD_SHARE
        return len(self.ids) - max(max(n, min(share, HELD_BATCHES * rows * n)) for rows, n in self._all)

    @property
    def _held_starts(self) -> Sequence[int]:
        return range(self._drawn, len(self.ids) - self._inner + 1, self._inner)

    def batch(self, step: int) -> Batch:
        """Windows that begin anywhere in the part that is drawn from."""
        starts = below(self._drawn - self._inner + 1, f"{self.key}/windows", step, self.rows)
        return self._windows(starts, f"{self.key}/mask", step)

    def held_out(self) -> Sequence[Batch]:
        """The windows of the last part, one after the other: the same whatever the rows of a batch."""
        return self._windows(self._held_starts, f"{self.key}/held mask", 0).by(self.rows)

    def facts(self) -> dict[str, int]:
        """Tokens in all, those held out, and those of these that stand among the others too."""
        repeated = windows_repeated(self.ids, self._drawn, self._held_starts, self._inner) * self._inner
        return counts("tokens", len(self.ids), len(self.ids) - self._drawn, repeated)

    def _windows(self, starts: Sequence[int], key: str, step: int) -> Batch:
        rows = [torch.as_tensor(self.ids[at : at + self._inner].astype("int64")) for at in starts]
        ids = torch.stack(rows)
        if self.task == "causal":
            return Batch(ids, torch.nn.functional.pad(ids[:, 1:], (0, 1), value=IGNORED))
        asked = chosen(MASKED, key, step, (len(starts), self._inner))
        inputs, targets = self._corrupted(ids, asked, key, step), ids.masked_fill(~asked, IGNORED)
        if self.edges is None:
            return Batch(inputs, targets)
        first, last = (torch.full((len(starts), 1), edge) for edge in self.edges)
        ignored = torch.full_like(first, IGNORED)
        return Batch(
            torch.cat([first, inputs, last], 1),
            torch.cat([ignored, targets, ignored], 1),
        )

    def _corrupted(self, ids: Tensor, asked: Tensor, key: str, step: int) -> Tensor:
        """What a masked model reads: most tokens asked for are hidden, some are others, some stand."""
        assert self.mask is not None
        kind = uniform(f"{key}/kind", step, ids.shape)
        others = torch.tensor(below(self.vocab, f"{key}/other", step, ids.numel())).view(ids.shape)
        other = asked & (kind >= HIDDEN) & (kind < HIDDEN + OTHER)
        return torch.where(other, others, ids).masked_fill(asked & (kind < HIDDEN), self.mask)


@dataclass(frozen=True)
class Images:
    """Images with a label each. `pixels` is [N, channels, height, width], in any type.

    What the model reads is (pixels * scale - mean) / std, resized where its image size is another.
    """

    pixels: Any  # numpy
    labels: Any  # numpy, [N]
    sha256: str
    rows: int
    size: int
    key: str
    scale: float = 1.0
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    readers: Readers = ()

    def __post_init__(self) -> None:
        """GP531 where there are not enough images to hold any out."""
        if len(self.labels) < 2:
            found = f"{len(self.labels)} image: one is drawn and one is held out, at least"
            fail("GP531", found, help="give more images")

    @property
    def _held(self) -> int:
        return held_units(len(self.labels), self.rows, self.readers)

    @cached_property
    def _order(self) -> Tensor:
        return shuffled(len(self.labels), f"{self.key}/held out")

    def batch(self, step: int) -> Batch:
        """Images that are not held out, each as likely as any other."""
        order = self._order[self._held :]
        picked = below(len(order), f"{self.key}/images", step, self.rows)
        return self._read(order[picked])

    def held_out(self) -> Sequence[Batch]:
        """The first images of an order that the key gives."""
        return [
            self._read(self._order[at : min(at + self.rows, self._held)])
            for at in range(0, self._held, self.rows)
        ]

    def facts(self) -> dict[str, int]:
        """Images in all, those held out, and those of these that are there twice (of arrays)."""
        repeated = 0
        if 0 < getattr(self.pixels, "nbytes", 0) <= SEARCHED:
            held, drawn = self._order[: self._held], self._order[self._held :]
            repeated = rows_repeated(*((self.pixels[i].tobytes() for i in part) for part in (held, drawn)))
        return counts("images", len(self.labels), self._held, repeated)

    def _read(self, which: Tensor) -> Batch:
        index = which.numpy()
        pixels = torch.as_tensor(self.pixels[index].astype("float32")) * self.scale
        mean, std = (torch.tensor(each).view(1, -1, 1, 1) for each in (self.mean, self.std))
        labels = torch.as_tensor(self.labels[index].astype("int64"))
        return Batch(resized((pixels - mean) / std, self.size), labels)
