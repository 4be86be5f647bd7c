"""Grow a small GPT-2 by fitted operators: `make demo-ligo`, or `python examples/ligo/demo.py`.

Trains a source on the documentation inside Python's standard library (about a minute), grows it by copies
and by operators fitted for 100 steps, and compares held-out losses: as grown, and after some steps of
training each model plainly. Writes a picture of the latter to out/losses.png.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "gpt2"), str(HERE.parent / "common")]

from console import growplan, load, show, title  # noqa: E402
from curves import Curve, draw  # noqa: E402
from train import corpus, cross_entropy, held_out, loss_of, train, windows  # noqa: E402

MODEL, OUT = HERE / "model", HERE / "out"
SCRATCH = "drawn at random"
GROWN = {"stacked + fpi": "copies", "LiGO": "ligo", "Mango": "mango"}
BATCH, EVERY, RATE = 16, 10, 2e-3
Points = list[tuple[int, float]]


def main() -> None:
    """Train, grow, compare, print."""
    parser = argparse.ArgumentParser(description="Grow a small GPT-2 by fitted operators.")
    parser.add_argument("--steps", type=int, default=100, help="of plain training after growth")
    from transformers import GPT2LMHeadModel

    further = parser.parse_args().steps
    started = time.perf_counter()
    training, evaluation = held_out(corpus())
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    (OUT / "text.txt").write_bytes(bytes(training.tolist()))

    title("1. A small GPT-2: 4 layers of 96, reading bytes")
    if not (MODEL / "model.safetensors").exists():
        train(MODEL)
    source = load(GPT2LMHeadModel, MODEL)
    print(f"in {show(MODEL)}; held-out loss {loss_of(source, evaluation):.3f} nats a byte")

    for number, (name, plan) in enumerate(GROWN.items(), start=2):
        title(f"{number}. 8 layers of 144: {name}")
        growplan("apply", show(HERE / f"{plan}.grow"))

    title(f"{len(GROWN) + 2}. Held-out loss of the grown models, as stock transformers has it")
    models = {SCRATCH: drawn(load(GPT2LMHeadModel, OUT / "ligo").config)}
    models |= {name: load(GPT2LMHeadModel, OUT / plan) for name, plan in GROWN.items()}
    curves = {name: trained(name, model, training, evaluation, further) for name, model in models.items()}
    print(f"\n{'':18}{'as grown':>10}{f'{further} steps later':>18}")
    for name, curve in curves.items():
        print(f"{name:18}{curve[0][1]:10.3f}{curve[-1][1]:18.3f}")
    draw(
        OUT / "losses.png",
        {name: Curve(curve) for name, curve in curves.items()},
        "steps of training",
        "held-out loss",
        top=3.5,
    )
    seconds = time.perf_counter() - started
    print(f"\ndemo done in {seconds:.0f} s; a picture of the training is in {show(OUT / 'losses.png')}")


def drawn(config: Any) -> Any:
    """A model of the grown size whose weights transformers draws."""
    import torch
    from transformers import GPT2LMHeadModel

    torch.manual_seed(0)
    return GPT2LMHeadModel(config)


def trained(name: str, model: Any, training: Any, evaluation: Any, steps: int) -> Points:
    """Train plainly, the same batches for every model; (steps done, held-out loss) on the way."""
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.01)
    random = torch.Generator().manual_seed(0)
    curve = [(0, loss_of(model, evaluation))]
    print(f"{name:18}{curve[0][1]:10.3f}", flush=True)
    model.train()
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, step / EVERY)
        optimizer.zero_grad()
        cross_entropy(model, windows(training, BATCH, random)).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        if step % EVERY == 0 or step == steps:
            curve.append((step, loss_of(model, evaluation)))
    return curve


if __name__ == "__main__":
    main()
