"""Grow the small GPT-2 while it is trained: `python masked.py [SOURCE]`, after `python train.py`.

The grown checkpoint is the old function behind masks of 0; they rise with the steps of an ordinary
loop, and at the end the model is a plain GPT-2 again.
"""

from __future__ import annotations

import argparse
import runpy
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2LMHeadModel

import growplan
from growplan.runtime import attach

HERE = Path(__file__).parent
TEXT = runpy.run_path(str(HERE / "train.py"))


def train(model: Any, growth: Any, data: torch.Tensor, steps: int, seed: int = 0) -> Iterator[int]:
    """One step after the other; masks move with them. Gives the number of steps done."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01)
    generator = torch.Generator().manual_seed(seed)
    for step in range(1, steps + 1):
        loss = TEXT["cross_entropy"](model, TEXT["windows"](data, TEXT["BATCH"], generator))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if growth.active:
            growth.step()
            if growth.done == growth.end:
                growth.finish()
        yield step


def main() -> None:
    """Grow the source, train it while its masks rise, and say what becomes of the loss."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", nargs="?", type=Path, default=HERE / "model")
    parser.add_argument("--steps", type=int, default=150)
    arguments = parser.parse_args()
    training, evaluation = TEXT["held_out"](TEXT["corpus"]())
    old = GPT2LMHeadModel.from_pretrained(arguments.source)
    print(f"before   held-out loss {TEXT['loss_of'](old, evaluation):.4f}")
    with tempfile.TemporaryDirectory() as folder:
        grown = Path(folder) / "grown"
        growplan.load(HERE / "masked.grow", model=arguments.source).apply(grown)
        model = GPT2LMHeadModel.from_pretrained(grown).train()
        growth = attach(model, grown)
    print(f"grown    held-out loss {TEXT['loss_of'](model, evaluation):.4f}, masks at 0")
    for step in train(model, growth, training, arguments.steps):
        if step % 10 == 0:
            masks = "  ".join(f"{m:.2f}" for m in growth.masks.values()) if growth.active else "gone"
            print(f"step {step:3d} held-out loss {TEXT['loss_of'](model, evaluation):.4f}, masks {masks}")


if __name__ == "__main__":
    main()
