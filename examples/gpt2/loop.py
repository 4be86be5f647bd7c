"""Grow the small GPT-2 in the middle of a plain loop: `python loop.py [SOURCE]`, after `python train.py`.

At one step `grow` makes a larger model of the one that is trained, with its optimizer and its scheduler;
the loss goes on where it was, and the new parts come in as their masks rise.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from transformers import GPT2LMHeadModel

from growplan.runtime import grow

HERE = Path(__file__).parent
TEXT = runpy.run_path(str(HERE / "train.py"))


def train(
    source: Path, data: torch.Tensor, plan: Path = HERE / "masked.grow", steps: int = 200, at: int = 50
) -> Iterator[tuple[int, GPT2LMHeadModel, float]]:
    """Train the model in `source` for `steps` steps, grown before step `at`; gives each step's loss."""
    model = GPT2LMHeadModel.from_pretrained(source).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    generator, masks = torch.Generator().manual_seed(0), None
    for step in range(steps):
        if step == at:
            grown = grow(plan, model, optimizer, scheduler)
            model, optimizer, scheduler = grown.model, grown.optimizer, grown.scheduler
            masks = grown.masks
        loss = TEXT["cross_entropy"](model, TEXT["windows"](data, TEXT["BATCH"], generator))
        loss.backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
        if masks is not None and masks.active:
            masks.step()
            if masks.done == masks.end:
                masks.finish()  # a plain model again
        yield step, model, float(loss.detach())


if __name__ == "__main__":
    text = TEXT["held_out"](TEXT["corpus"]())[0]
    for step, model, loss in train(Path(sys.argv[1]) if sys.argv[1:] else HERE / "model", text):
        if step % 10 == 0:
            print(f"step {step:3d} loss {loss:.3f}, {model.num_parameters():,} parameters")
