"""Grow a small GPT-2 while it trains: `make demo-progressive`, or `python examples/progressive/demo.py`.

Trains one model by Masked Structural Growth and one by MSLT, both up to 4 layers of 96, and one of that size
from its first step on, each by `growplan train` on the documentation inside Python's standard library.
Draws their losses over the FLOPs spent to out/losses.png; dots are losses on what is held out, before and
after each growth.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent / "gpt2"), str(HERE.parent / "common")]

from console import growplan, load, show, title  # noqa: E402
from curves import Curve, Growth, draw  # noqa: E402
from train import corpus, held_out, loss_of  # noqa: E402

MODEL, OUT = HERE / "model", HERE / "out"
SOURCES = {  # name -> layers, hidden, heads, ffn
    "narrow": (2, 48, 3, 192),
    "shallow": (1, 96, 6, 384),
    "last": (4, 96, 6, 384),
}
PLANS = {
    "msg": "MSG: masks rise over ffn, layers, hidden with heads",
    "mslt": "MSLT: layers on top, which train alone",
    "scratch": "the last size from its first step on",
}
SMOOTHED = 20  # steps whose mean loss is one point


def main() -> None:
    """Draw sources, train by each plan, compare, print."""
    started = time.perf_counter()
    training, evaluation = held_out(corpus())
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    (OUT / "text.txt").write_bytes(bytes(training.tolist()))
    for name, sizes in SOURCES.items():
        draw_source(MODEL / name, *sizes)

    curves = {}
    for number, (plan, what) in enumerate(PLANS.items(), start=1):
        title(f"{number}. {what}")
        file = show(HERE / f"{plan}.grow")
        growplan("check", file)
        growplan("train", file)
        curves[what] = curve_of(OUT / plan / "history.jsonl")

    title(f"{len(PLANS) + 1}. Loss on text that nothing was trained on, by stock transformers")
    for plan, what in PLANS.items():
        spent = curves[what].points[-1][0]
        print(f"{evaluated(OUT / plan, evaluation):6.3f}  {spent:5.2f} TFLOPs  {what}")
    draw(OUT / "losses.png", curves, "FLOPs of training (10¹²)", "loss (nats a byte)", top=3.5)
    seconds = time.perf_counter() - started
    print(f"\ndemo done in {seconds:.0f} s; a picture of the training is in {show(OUT / 'losses.png')}")


def draw_source(folder: Path, layers: int, hidden: int, heads: int, ffn: int) -> None:
    """A GPT-2 over bytes whose weights transformers draws."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    ids: dict[str, Any] = {"vocab_size": 256, "bos_token_id": 0, "eos_token_id": 0}
    sizes = {"n_layer": layers, "n_embd": hidden, "n_head": heads, "n_inner": ffn, "n_positions": 64}
    off = dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)
    GPT2LMHeadModel(GPT2Config(**ids, **sizes, **off)).save_pretrained(folder)


def curve_of(history: Path) -> Curve:
    """(TFLOPs, training loss) as a run recorded them, and its growths with the losses on what is held out."""
    points: list[tuple[float, float]] = []
    steps: list[tuple[float, float]] = []
    growths: list[Growth] = []
    for line in map(json.loads, history.read_text(encoding="utf-8").splitlines()):
        spent = line["flops"] / 1e12
        if line["kind"] == "growth":
            growths.append(Growth(line["stage"], spent, line["before"], line["after"]))
            points += smoothed(steps)
            steps = []
        elif line["kind"] == "step":
            steps.append((spent, line["loss"]))
    return Curve([*points, *smoothed(steps)], growths)


def smoothed(steps: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Means of some steps each, at the last of them."""
    parts = [steps[at : at + SMOOTHED] for at in range(0, len(steps), SMOOTHED)]
    return [(part[-1][0], fmean(loss for _, loss in part)) for part in parts]


def evaluated(run: Path, data: Any) -> float:
    """The held-out loss of the model that a run ended with."""
    from transformers import GPT2LMHeadModel

    loss: float = loss_of(load(GPT2LMHeadModel, run / "model"), data)
    return loss


if __name__ == "__main__":
    main()
