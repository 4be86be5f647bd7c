"""Memory of fitting an operator: as a whole, block by block, and cut over two processes.

    python -m benchmarks.fit_memory [--layers 12]

A GPT-2 of half as many layers of 256 (bytes) grows to layers of 512; batches are small, so that weights are
what fills the memory. Each kind runs in a process of its own, with its peak over what was there before
the fit, beside plain training of the target: its weights, gradients and AdamW's two moments.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

import growplan
from benchmarks.fit_step import MIB, gpt2, peak
from growplan.publish import Event

STEPS, ROWS, LENGTH = 3, 4, 32
KINDS = {
    "plain": "training the target",
    "whole": "fit, all weights at once",
    "blocks": "fit, block by block",
    "shards": "fit, cut over two (first keeps state)",
}


def prepare(folder: Path, layers: int) -> None:
    """A source, a text and a plan in `folder`."""
    gpt2(256, 4, layers // 2).save_pretrained(folder / "model")
    drawn = torch.randint(32, 127, (1 << 14,), generator=torch.Generator().manual_seed(0))
    (folder / "text.txt").write_bytes(bytes(drawn.tolist()))
    grow = f"grow hidden 256→512, heads 4→8, ffn 1024→2048, depth {layers // 2}→{layers}"
    options = f"batch {ROWS}, tokens {LENGTH}, tying layer"
    for kind, how in (("whole", "none"), ("blocks", "blocks"), ("shards", "none")):
        line = f"{grow} via ligo on text.txt for {STEPS} steps, {options}, checkpoint {how}"
        (folder / f"{kind}.grow").write_text(f"source ./model\n{line}\n", encoding="utf-8")


def train(layers: int) -> None:
    """Some steps of plain training."""
    model = gpt2(512, 8, layers).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(STEPS):
        ids = torch.randint(256, (ROWS, LENGTH))
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def alone(folder: Path, kind: str, layers: int) -> None:
    """Run one kind; prints what it added to the peak (bytes), and the numbers of the operator.

    Of two processes the first gathers and keeps the state of the fit, and writes later, uncounted.
    """
    plan = growplan.load(folder / f"{'whole' if kind == 'plain' else kind}.grow")
    plan.lower(optimized=True)  # what is imported is counted for no kind
    importlib.import_module("growplan.learn.shards")
    gpt2(16, 1, 1)(input_ids=torch.zeros(1, 2, dtype=torch.long)).logits.sum().backward()
    before, during, numbers = peak(), [0], 0
    if kind == "plain":
        train(layers)
        during.append(peak())
    else:

        def show(event: Event) -> None:
            if event.kind == "learn":
                during.append(peak())

        with tempfile.TemporaryDirectory() as out:
            result = plan.apply(Path(out) / "grown", progress=show, stock=False, shard=kind == "shards")
        numbers = result.fitted[0].parameters
    rank = int(os.environ.get("RANK", "0"))
    if rank:
        during.append(peak())
    print(json.dumps({"rank": rank, "added": during[-1] - before, "numbers": numbers}))


def run(folder: Path, kind: str, layers: int) -> list[dict[str, int]]:
    """What `alone` prints, of a process or two of its own; memory that is freed goes back at once."""
    command = ["-m", "benchmarks.fit_memory", "--layers", str(layers), "--alone", str(folder), kind]
    two = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [sys.executable, *(two if kind == "shards" else []), *command]
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=env)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"rank"')]
    return sorted(found, key=lambda each: int(each["rank"]))


def main() -> None:
    """Parse the command line, run each kind, print a line of each."""
    parser = argparse.ArgumentParser(description="Memory of fitting an operator.")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--alone", nargs=2, metavar=("FOLDER", "KIND"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        alone(Path(arguments.alone[0]), arguments.alone[1], arguments.layers)
        return
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, arguments.layers)
        found = {kind: run(folder, kind, arguments.layers) for kind in KINDS}
        source = (folder / "model" / "model.safetensors").stat().st_size
    allowed = found["plain"][0]["added"] + source + 4 * 4 * found["whole"][0]["numbers"]
    for kind, words in KINDS.items():
        print(f"{words:42}" + ",".join(f"{each['added'] / MIB:8.0f} MiB" for each in found[kind]))
    print(f"{'plain training + source + operator x 4':42}{allowed / MIB:8.0f} MiB")


if __name__ == "__main__":
    main()
