"""Memory and time of training a part of a model: MSLT's new layers, the top ones, bert2BERT's sub-models.

    python -m benchmarks.freeze_memory [--layers 12] [--rows 8]

A byte-level GPT-2 of width 256 is stacked to twice its layers. Each kind trains in a process of its own. Of a
step it says what autograd keeps for the backward pass (parameters not counted), gradients and AdamW's moments
after the first steps, what was added to the peak of the process, the median time, and how often blocks run
in forward and backward together: a frozen block never runs again, be gradient checkpointing on.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import growplan
from benchmarks.fit_step import LENGTH, MIB, gpt2, peak
from growplan.runtime import SubModels, selected, training_only
from growplan.runtime.recomputing import recompute

WIDTH, HEADS, STEPS = 256, 4, 6
KINDS = ("all", "new-layers", "top 3", "top 1", "sub-models of 3")


def prepare(folder: Path, layers: int) -> Path:
    """A random GPT-2 of half the layers, and what it is stacked to."""
    gpt2(WIDTH, HEADS, layers // 2).save_pretrained(folder / "model")
    plan = growplan.parse(f"stack depth {layers // 2}→{layers} via mslt", model=folder / "model")
    return plan.apply(folder / "grown", stock=False).target


class Kept:
    """A tensor that autograd keeps."""

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor


def kept_bytes(model: Any, forward: Callable[[], Tensor]) -> int:
    """Bytes that autograd keeps behind one forward pass, storages once, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    asked: list[weakref.ref[Kept]] = []

    def pack(x: Tensor) -> Kept:
        kept = Kept(x)
        asked.append(weakref.ref(kept))
        return kept

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda kept: kept.tensor):
        loss = forward()
    storages = [kept.tensor.untyped_storage() for each in asked if (kept := each()) is not None]
    del loss
    return sum({s.data_ptr(): s.nbytes() for s in storages if s.data_ptr() not in own}.values())


def alone(folder: Path, kind: str, rows: int, again: bool) -> None:
    """Train some steps of one kind, and print what was measured; `again`: with gradient checkpointing."""
    from transformers import GPT2LMHeadModel

    model = GPT2LMHeadModel.from_pretrained(folder).train()
    if again:
        recompute(model, {"use_reentrant": False})
    ids = torch.randint(256, (rows, LENGTH), generator=torch.Generator().manual_seed(0))
    models = SubModels.of(model, folder, 3, also=selected(model, folder, "head", tied="freeze"))
    runs = [0] * len(model.transformer.h)
    for layer, block in enumerate(model.transformer.h):
        block.ln_1.register_forward_pre_hook(lambda *_, layer=layer: runs.__setitem__(layer, runs[layer] + 1))

    def part(step: int) -> AbstractContextManager[Any]:
        if kind == "all":
            return nullcontext()
        if kind == "sub-models of 3":
            return models.at(step)
        return training_only(model, selected(model, folder, f"{kind}, head", tied="freeze"))

    def forward() -> Tensor:
        loss: Tensor = model(input_ids=ids, labels=ids).loss
        return loss

    with part(0):
        pass  # what is imported is not counted
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    before, times, gradients = peak(), list[float](), list[int]()
    for step in range(STEPS):
        runs[:] = [0] * len(runs)
        begun = time.perf_counter()
        optimizer.zero_grad()
        with part(step):
            forward().backward()  # type: ignore[no-untyped-call]
        gradients.append(sum(p.grad.nbytes for p in model.parameters() if p.grad is not None))
        optimizer.step()
        times.append(time.perf_counter() - begun)
    added, kept = peak() - before, list[int]()
    count = list(runs)
    for step in range(STEPS):
        with part(step):
            kept.append(kept_bytes(model, forward))
    moments = sum(t.nbytes for state in optimizer.state.values() for t in state.values() if t.ndim)
    facts = {"added": added, "kept": statistics.mean(kept), "gradients": statistics.mean(gradients)}
    print(json.dumps({**facts, "moments": moments, "time": statistics.median(times), "runs": count}))


def run(folder: Path, kind: str, rows: int, again: bool) -> dict[str, Any]:
    """What `alone` prints, of a process of its own; memory that is freed goes back at once."""
    command = [sys.executable, "-m", "benchmarks.freeze_memory", "--rows", str(rows)]
    command += ["--again"] if again else []
    env = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536"}
    done = subprocess.run(
        [*command, "--alone", str(folder), kind], stdout=subprocess.PIPE, text=True, check=True, env=env
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    """Parse the command line, run each kind, print a line of each."""
    parser = argparse.ArgumentParser(description="Memory and time of training a part of a model.")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--again", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--alone", nargs=2, metavar=("FOLDER", "KIND"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        alone(Path(arguments.alone[0]), arguments.alone[1], arguments.rows, arguments.again)
        return
    print(
        f"{'MiB':36}{'kept':>8}{'gradients':>11}{'moments':>9}{'peak':>8}{'ms/step':>9}  runs of each block"
    )
    with tempfile.TemporaryDirectory() as scratch:
        grown = prepare(Path(scratch), arguments.layers)
        for again in (False, True):
            for kind in KINDS:
                found = run(grown, kind, arguments.rows, again)
                sizes = [found[name] / MIB for name in ("kept", "gradients", "moments", "added")]
                numbers = "{:8.1f}{:11.1f}{:9.1f}{:8.0f}".format(*sizes)
                name = f"{kind}{', gradient checkpointing' if again else ''}"
                print(f"{name:36}{numbers}{1000 * found['time']:9.0f}  {' '.join(map(str, found['runs']))}")


if __name__ == "__main__":
    main()
