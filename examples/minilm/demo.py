"""Grow all-MiniLM-L6-v2 twice and compare: `make demo`, or `python examples/minilm/demo.py`.

Fetches the real model, then runs `growplan check`, `apply` and `verify` on the two plans of
this folder, loads the results with stock transformers, and compares sentence similarities.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from fetch import fetch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))

from console import growplan, load, show, title  # noqa: E402

OUT = HERE / "out"

PAIRS = [
    ("A cat sleeps on the sofa.", "A kitten is napping on the couch."),
    ("He plays the piano every evening.", "Every night he practises piano."),
    ("The train to Lyon was late.", "The railway service was delayed."),
    ("How do I reset my password?", "I forgot my login credentials."),
    ("The soup needs more salt.", "This broth tastes bland."),
    ("Stocks fell sharply on Monday.", "The market dropped at the start of the week."),
    ("A cat sleeps on the sofa.", "Stocks fell sharply on Monday."),
    ("food", "bread"),
    ("food", "quarks"),
    ("The theorem follows by induction.", "We prove the claim step by step."),
    ("The theorem follows by induction.", "She bought fresh bread at the market."),
    ("It never rains in the desert.", "It often rains in the desert."),
]


def main() -> int:
    """Fetch, grow, compare, print; the exit code says whether the first growth was exact."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    started = time.perf_counter()
    title("1. A real model: all-MiniLM-L6-v2 (BERT, 6 layers, hidden 384)")
    print(f"in {show(fetch(HERE / 'model'))}")
    shutil.rmtree(OUT, ignore_errors=True)

    for number, (name, what) in enumerate(
        [("minilm-768", "Twice as wide"), ("minilm-12l", "Twice as deep")], start=2
    ):
        title(f"{number}. {what}")
        growplan("check", show(HERE / f"{name}.grow.yaml"))
        growplan("apply", show(HERE / f"{name}.grow.yaml"), "--out", show(OUT / name))
        growplan("verify", show(OUT / name))

    title("4. The three models, loaded with AutoModel.from_pretrained")
    folders = {"source": HERE / "model", "768 wide": OUT / "minilm-768", "12 layers": OUT / "minilm-12l"}
    columns = {name: similarities(folder) for name, folder in folders.items()}
    table(columns)
    source, wide, deep = (columns[name] for name in folders)
    drift = max(abs(a - b) for a, b in zip(source, wide, strict=True))
    change = max(abs(a - b) for a, b in zip(source, deep, strict=True))
    print(f"768 wide:  the same similarities; max difference {drift:.1e} (float32 rounding).")
    print("           Twice the units in every layer to train, and no knowledge lost.")
    print(f"12 layers: the six layers run twice, so the meaning shifts: max difference {change:.2f}.")
    print("           `check` said so: stack claims nothing. It is a start for training, not a drop-in.")
    print(f"\ndemo done in {time.perf_counter() - started:.0f} s; the grown models are in {show(OUT)}")
    return 0 if drift < 1e-6 else 1


def similarities(folder: Path) -> list[float]:
    """Cosine similarity of each pair, in float32; refuses a load with anything amiss."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    model = load(AutoModel, folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    config = model.config
    print(
        f"{show(folder):32} hidden {config.hidden_size}, heads {config.num_attention_heads}, "
        f"layers {config.num_hidden_layers}, {model.num_parameters() / 1e6:.1f} M parameters",
        flush=True,
    )
    with torch.no_grad():
        left, right = (embed(model.eval(), tokenizer, list(side)) for side in zip(*PAIRS, strict=True))
    return torch.nn.functional.cosine_similarity(left, right).tolist()


def embed(model: Any, tokenizer: Any, sentences: list[str]) -> Any:
    """Mean of the token states, padding left out (the model's own 1_Pooling)."""
    tokens = tokenizer(sentences, padding=True, return_tensors="pt")
    states = model(**tokens).last_hidden_state
    mask = tokens["attention_mask"].unsqueeze(-1).to(states.dtype)
    return (states * mask).sum(1) / mask.sum(1)


def table(columns: dict[str, list[float]]) -> None:
    """One line a pair, one column a model."""
    print("\n" + "".join(f"{name:>10}" for name in columns) + "   similarity of")
    for row, (a, b) in zip(zip(*columns.values(), strict=True), PAIRS, strict=True):
        print("".join(f"{value:10.4f}" for value in row) + f"   {a} | {b}")
    print()


if __name__ == "__main__":
    sys.exit(main())
