"""Checkpoints as transformers' Trainer writes them, without running it: its own optimizer, a few steps."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from tests.float64 import no_float32_islands
from tests.runtime.gradients import loss

RATE = 1e-3


def trainer_optimizer(module: Any, **options: Any) -> torch.optim.AdamW:
    """The optimizer that the Trainer would make for a model."""
    from transformers import Trainer

    asks = SimpleNamespace(
        model=module,
        optimizer=None,
        args=SimpleNamespace(weight_decay=0.01),
        optimizer_cls_and_kwargs=(torch.optim.AdamW, {"lr": RATE, **options}),
    )
    asks.get_decay_parameter_names = lambda model: Trainer.get_decay_parameter_names(asks, model)
    made: torch.optim.AdamW = Trainer.create_optimizer(asks)
    return made


def train(
    module: Any, optimizer: torch.optim.Optimizer, inputs: Tensor, steps: int, first: int = 1
) -> list[float]:
    """A few steps of AdamW; step i has labels of its own, the same for a source and what it grew to."""
    losses = []
    for step in range(first, first + steps):
        optimizer.zero_grad()
        with no_float32_islands():
            found = loss(module, inputs, seed=step)
        found.backward()
        optimizer.step()
        losses.append(float(found.detach()))
    return losses


def save(module: Any, optimizer: Any, folder: Path, step: int = 3, state: Any = None) -> Path:
    """What `Trainer._save_checkpoint` leaves in a folder."""
    module.save_pretrained(folder)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, _flat) if state is None else None
    torch.save(optimizer.state_dict() if state is None else state, folder / "optimizer.pt")
    torch.save({} if scheduler is None else scheduler.state_dict(), folder / "scheduler.pt")
    torch.save({"cpu": torch.get_rng_state()}, folder / "rng_state.pth")
    (folder / "training_args.bin").write_bytes(b"never opened")
    text = {
        "global_step": step,
        "best_model_checkpoint": "out/checkpoint-2",
        "best_metric": 1.5,
        "epoch": 0.5,
    }
    (folder / "trainer_state.json").write_text(json.dumps(text), encoding="utf-8")
    return folder


def _flat(step: int) -> float:
    return 1.0


def named_state(module: Any, optimizer: torch.optim.Optimizer) -> dict[str, dict[str, Tensor]]:
    """Parameter in memory -> its state."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return {names[id(p)]: dict(state) for p, state in optimizer.state.items()}


def frozen(module: Any, words: Sequence[str]) -> list[str]:
    """Freeze every parameter whose name has one of the words; their names."""
    found = [name for name, _ in module.named_parameters() if any(word in name for word in words)]
    for name, parameter in module.named_parameters():
        parameter.requires_grad_(name not in found)
    return found
