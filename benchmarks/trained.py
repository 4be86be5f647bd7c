"""Small models trained here, and the loss of a checkpoint as stock transformers has it.

`Text` is a byte-level GPT-2 on Jane Austen, `Pictures` a ViT on Fashion-MNIST. Each has a source size, a
target size that learned growth reaches in one step, and data that neither training nor a fit sees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.datasets import austen, fashion_mnist

Pair = tuple[Tensor, Tensor]  # what a model reads, what it should say
SIZES = "hidden 64→128, heads 4→8, ffn 256→512, depth 2→4"
SOURCE, TARGET = (64, 4, 2), (128, 8, 4)  # hidden, heads, layers


class Task(Protocol):
    """A data set with a model for it. `steps` names the growth from source to target."""

    @property
    def name(self) -> str: ...

    @property
    def rate(self) -> float:
        """The highest learning rate of plain training."""

    @property
    def rows(self) -> int:
        """Windows or images of a batch."""

    def model(self, sizes: tuple[int, int, int]) -> Any:
        """A transformers model of (hidden, heads, layers), its weights drawn from torch's seed."""

    def write(self, folder: Path) -> str:
        """Write what an operator is fitted on; the name of the file."""

    def batch(self, generator: torch.Generator) -> Pair:
        """A batch to train on."""

    def test(self) -> list[Pair]:
        """Batches to test on, always the same."""

    def loss(self, model: Any, pair: Pair) -> Tensor:
        """The mean cross entropy of a batch, in nats."""


@dataclass(frozen=True)
class Text:
    """Bytes of Jane Austen, in windows of 128."""

    name: str = "austen"
    rate: float = 3e-3
    rows: int = 16
    length: int = 128
    tested: int = 256  # windows

    @cached_property
    def _parts(self) -> tuple[Tensor, Tensor]:
        train, test = austen()
        return torch.tensor(list(train)), torch.tensor(list(test))

    def model(self, sizes: tuple[int, int, int]) -> Any:
        from transformers import GPT2Config, GPT2LMHeadModel

        hidden, heads, layers = sizes
        config = GPT2Config(
            vocab_size=256,
            n_positions=self.length,
            n_embd=hidden,
            n_head=heads,
            n_layer=layers,
            n_inner=4 * hidden,
            bos_token_id=0,
            eos_token_id=0,
            resid_pdrop=0.0,
            embd_pdrop=0.0,
            attn_pdrop=0.0,
        )
        return GPT2LMHeadModel(config)

    def write(self, folder: Path) -> str:
        (folder / "austen.txt").write_bytes(austen()[0])
        return "austen.txt"

    def batch(self, generator: torch.Generator) -> Pair:
        train = self._parts[0]
        starts = torch.randint(len(train) - self.length, (self.rows,), generator=generator)
        ids = torch.stack([train[start : start + self.length] for start in starts.tolist()])
        return ids, ids

    def test(self) -> list[Pair]:
        ids = self._parts[1]
        every = len(ids) // self.tested
        rows = torch.stack([ids[at * every : at * every + self.length] for at in range(self.tested)])
        return [(part, part) for part in torch.split(rows, 32)]

    def loss(self, model: Any, pair: Pair) -> Tensor:
        logits = model(input_ids=pair[0]).logits[:, :-1]
        return F.cross_entropy(logits.flatten(0, 1), pair[1][:, 1:].flatten())


@dataclass(frozen=True)
class Pictures:
    """Fashion-MNIST: grey images of 28x28 in ten classes."""

    name: str = "fashion-mnist"
    rate: float = 1e-3
    rows: int = 64
    tested: int = 2000  # images

    @cached_property
    def _train(self) -> tuple[Any, Any]:
        return fashion_mnist("train")

    def model(self, sizes: tuple[int, int, int]) -> Any:
        from transformers import ViTConfig, ViTForImageClassification

        hidden, heads, layers = sizes
        config = ViTConfig(
            hidden_size=hidden,
            num_attention_heads=heads,
            intermediate_size=4 * hidden,
            num_hidden_layers=layers,
            image_size=28,
            patch_size=4,
            num_channels=1,
            num_labels=10,
            hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
        return ViTForImageClassification(config)

    def write(self, folder: Path) -> str:
        images, labels = self._train
        np.savez(folder / "fashion.npz", images=images, labels=labels)
        return "fashion.npz"

    def batch(self, generator: torch.Generator) -> Pair:
        images, labels = self._train
        which = torch.randint(len(labels), (self.rows,), generator=generator).numpy()
        return _pixels(images[which], labels[which])

    def test(self) -> list[Pair]:
        images, labels = fashion_mnist("t10k")
        pixels, wanted = _pixels(images[: self.tested], labels[: self.tested])
        return list(zip(torch.split(pixels, 250), torch.split(wanted, 250), strict=True))

    def loss(self, model: Any, pair: Pair) -> Tensor:
        return F.cross_entropy(model(pixel_values=pair[0]).logits, pair[1])


def _pixels(images: Any, labels: Any) -> Pair:
    """What a ViT without an image processor of its own reads: grey values from -1 to 1."""
    pixels = torch.from_numpy(images.astype(np.float32)) / 127.5 - 1
    return pixels[:, None], torch.from_numpy(labels.astype(np.int64))


TASKS: dict[str, Task] = {task.name: task for task in (Text(), Pictures())}


# training and testing ------------------------------------------------------------------------------


def train(task: Task, model: Any, steps: int, seed: int, *, rate: float | None = None) -> Any:
    """Train by AdamW, the rate up for a tenth of the steps and down by a cosine; returns the model."""
    generator = torch.Generator().manual_seed(seed)
    high = task.rate if rate is None else rate
    optimizer = torch.optim.AdamW(model.parameters(), lr=high, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, high, total_steps=steps, pct_start=0.1)
    model.train()
    for _ in range(steps):
        optimizer.zero_grad()
        task.loss(model, task.batch(generator)).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    return model.eval()


def source(task: Task, folder: Path, seed: int, steps: int) -> Path:
    """A trained source in `folder`, unless it is there already; returns it."""
    if not (folder / "model.safetensors").exists():
        torch.manual_seed(seed)
        train(task, task.model(SOURCE), steps, seed).save_pretrained(folder)
    return folder


def scratch(task: Task, seed: int) -> Any:
    """A model of the target's size as transformers draws it."""
    torch.manual_seed(seed)
    return task.model(TARGET).eval()


def load(task: Task, folder: Path) -> Any:
    """The checkpoint in `folder` through from_pretrained, with nothing missing, unexpected or mismatched."""
    cls = type(task.model(SOURCE))
    model, info = cls.from_pretrained(folder, output_loading_info=True)
    amiss = {kind: found for kind, found in info.items() if found}
    if amiss:
        raise ValueError(f"{folder} did not load clean: {amiss}")
    return model.eval()


@torch.no_grad()
def unseen_loss(task: Task, model: Any) -> float:
    """The mean loss on what is kept for testing."""
    losses = [float(task.loss(model, pair)) for pair in task.test()]
    return sum(losses) / len(losses)
