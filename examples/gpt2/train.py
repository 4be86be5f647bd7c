"""Train a small GPT-2 on bytes for about a minute: `python train.py [FOLDER] [--steps N]`.

The text is the documentation inside Python's own standard library, so nothing is downloaded.
Writes a Hugging Face directory (4 layers, hidden 96, 6 heads, vocab 256).
"""

from __future__ import annotations

import argparse
import ast
import sysconfig
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel

WINDOW = 64
BATCH = 16


def docstrings() -> Iterator[str]:
    """Every docstring of the standard library's modules, in the order of their names."""
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.glob("*.py")) + sorted(library.glob("[a-z]*/*.py")):
        if "site-packages" in path.parts or "test" in path.parts:
            continue
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SyntaxWarning)
                tree = ast.parse(path.read_text(encoding="utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def corpus() -> torch.Tensor:
    """All docstrings as one row of bytes."""
    text = "\n\n".join(text for text in docstrings() if text)
    return torch.tensor(list(text.encode()), dtype=torch.long)


def held_out(data: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Split into (training, evaluation): the last twentieth is never trained on."""
    cut = len(data) - len(data) // 20
    return data[:cut], data[cut:]


def windows(data: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    """`count` random stretches of text, [count, WINDOW]."""
    starts = torch.randint(len(data) - WINDOW, (count,), generator=generator)
    return torch.stack([data[start : start + WINDOW] for start in starts.tolist()])


def cross_entropy(model: Any, batch: torch.Tensor) -> torch.Tensor:
    """Mean loss of predicting each byte from those before it (nats)."""
    logits = model(input_ids=batch).logits[:, :-1]
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())


@torch.no_grad()
def loss_of(model: Any, data: torch.Tensor, count: int = 64) -> float:
    """Mean cross entropy per byte (nats) on fixed stretches of `data`, in eval mode."""
    was_training = model.training
    model.eval()
    batch = windows(data, count, torch.Generator().manual_seed(1))
    loss = float(cross_entropy(model, batch))
    model.train(was_training)
    return loss


def train(folder: Path, steps: int = 600, seed: int = 0) -> Path:
    """Train from random weights and save to `folder`; returns it."""
    torch.manual_seed(seed)
    config = GPT2Config(
        vocab_size=256,
        n_positions=WINDOW,
        n_embd=96,
        n_head=6,
        n_layer=4,
        initializer_range=0.05,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
    )
    model = GPT2LMHeadModel(config).train()
    training, evaluation = held_out(corpus())
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    started = time.perf_counter()
    for step in range(1, steps + 1):
        batch = windows(training, BATCH, generator)
        loss = cross_entropy(model, batch)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            held = loss_of(model, evaluation)
            seconds = time.perf_counter() - started
            print(f"step {step:4d}/{steps}  held-out loss {held:.3f}  {seconds:4.0f} s", flush=True)
    model.save_pretrained(folder)
    return folder


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parent / "model")
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()
    print(train(arguments.folder, arguments.steps))


if __name__ == "__main__":
    main()
