"""Time a step of fitting an operator against a plain training step of the grown model.

    python benchmarks/fit_step.py [--steps 40] [--threads 2] [--methods ligo ...]

A GPT-2 of 4 layers of 128 (bytes) grows to 6 layers of 256; a batch is 16 windows of 128. A plain step of
the target (forward, backward, clipping, AdamW) stands between every two steps of a fit, so that both see
the same machine; a fit runs as `growplan apply` runs it. Then each is run in a process of its own, for the
peak of its memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch

import growplan
from growplan.publish import Event

GROW = "grow hidden 128→256, heads 4→8, ffn 512→1024, depth 4→6"
METHODS = {
    "ligo": "via ligo on text.txt for {steps} steps",
    "ligo, shared": "via ligo on text.txt for {steps} steps, tying shared",
    "ligo, init fpi": "via ligo on text.txt for {steps} steps, init fpi",
    "mango": "via mango on text.txt for {steps} steps",
    "mango, rank 2": "via mango on text.txt for {steps} steps, rank 2",
    "mango, rank 4": "via mango on text.txt for {steps} steps, rank 4",
}
ROWS, LENGTH = 16, 128
WARM = 3  # steps that are not counted
MIB = 1 << 20


def gpt2(hidden: int, heads: int, layers: int) -> Any:
    """A byte-level GPT-2 without dropout, its weights drawn."""
    from transformers import GPT2Config, GPT2LMHeadModel, logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    drops = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
    config = GPT2Config(
        vocab_size=256,
        n_positions=LENGTH,
        n_embd=hidden,
        n_head=heads,
        n_layer=layers,
        n_inner=4 * hidden,
        bos_token_id=0,
        eos_token_id=0,
        **drops,
    )
    torch.manual_seed(0)
    return GPT2LMHeadModel(config)


def prepare(folder: Path) -> None:
    """A source and a text in `folder`."""
    gpt2(128, 4, 4).save_pretrained(folder / "model")
    drawn = torch.randint(32, 127, (1 << 16,), generator=torch.Generator().manual_seed(0))
    (folder / "text.txt").write_bytes(bytes(drawn.tolist()))


def write_plan(folder: Path, method: str, steps: int) -> growplan.LoadedPlan:
    """The growth by one of METHODS, fitted for some steps."""
    line = f"{GROW} {METHODS[method].format(steps=steps)}, batch {ROWS}, tokens {LENGTH}"
    path = folder / "plan.grow"
    path.write_text(f"source ./model\n{line}\n", encoding="utf-8")
    return growplan.load(path)


def plain_step() -> Callable[[], float]:
    """A function that trains the target for one step and returns its seconds."""
    model = gpt2(256, 8, 6).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    random = torch.Generator().manual_seed(0)

    def step() -> float:
        ids = torch.randint(256, (ROWS, LENGTH), generator=random)
        started = time.perf_counter()
        optimizer.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return time.perf_counter() - started

    return step


def fit(folder: Path, method: str, steps: int, between: Callable[[], None]) -> tuple[list[float], int]:
    """(seconds of each step of a fit, numbers of its operator); `between` is called after every step."""
    seconds: list[float] = []
    last = time.perf_counter()

    def show(event: Event) -> None:
        nonlocal last
        if event.kind != "learn":
            return
        seconds.append(time.perf_counter() - last)
        between()
        last = time.perf_counter()

    plan = write_plan(folder, method, steps)
    with tempfile.TemporaryDirectory() as out:
        result = plan.apply(Path(out) / "grown", progress=show, stock=False)
    return seconds[1:], result.fitted[0].parameters  # the first event is the loss before the fit


def compare(folder: Path, methods: list[str], steps: int) -> None:
    """One line a method: medians of its steps, of the plain steps between them, and of their ratios."""
    train = plain_step()
    print(f"{'method':16}{'operator':>12}{'fit':>9}{'plain':>9}{'ratio':>8}   (s, median of {steps})")
    for method in methods:
        plain: list[float] = []
        seconds, numbers = fit(folder, method, steps + WARM, partial(_append, plain, train))
        pairs = list(zip(seconds, plain[1:], strict=True))[WARM:]
        own, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(a / b for a, b in pairs)
        print(f"{method:16}{numbers:12,}{own:9.3f}{other:9.3f}{ratio:8.2f}", flush=True)


def _append(column: list[float], measure: Callable[[], float]) -> None:
    column.append(measure())


# memory --------------------------------------------------------------------------------------------


def peak() -> int:
    """The largest memory of this process so far, in bytes. Linux: `getrusage` would count the parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def alone(folder: Path, method: str) -> None:
    """Run a few steps of one kind; prints what they added to the peak (bytes), and the operator's numbers."""
    write_plan(folder, "ligo", WARM).lower(optimized=True)  # what is imported is counted for neither kind
    gpt2(16, 1, 1)(input_ids=torch.zeros(1, 2, dtype=torch.long)).logits.sum().backward()
    before, during = peak(), [0]
    if method == "plain":
        step, numbers = plain_step(), 0
        for _ in range(WARM):
            step()
        during.append(peak())
    else:
        _, numbers = fit(folder, method, WARM, lambda: during.append(peak()))
    print(json.dumps({"added": during[-1] - before, "numbers": numbers}))


def memory(folder: Path, methods: list[str], threads: int) -> None:
    """One line a method: its peak, beside that of plain training with the source and AdamW's state on top."""
    found = {}
    for method in ("plain", *methods):
        command = [sys.executable, __file__, "--threads", str(threads), "--alone", str(folder), method]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[method] = json.loads(done.stdout)
    source = (folder / "model" / "model.safetensors").stat().st_size
    print(
        f"\n{'method':16}{'peak':>9}{'allowed':>9}   (MiB; allowed: plain training, the source, operator x 4)"
    )
    print(f"{'plain':16}{found['plain']['added'] / MIB:9.0f}")
    for method in methods:
        added, numbers = found[method]["added"], found[method]["numbers"]
        allowed = found["plain"]["added"] + source + 4 * 4 * numbers
        print(f"{method:16}{added / MIB:9.0f}{allowed / MIB:9.0f}")


def main() -> None:
    """Parse the command line, compare, measure."""
    parser = argparse.ArgumentParser(description="Time a step of a fit against a plain training step.")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS), metavar="NAME")
    parser.add_argument("--alone", nargs=2, metavar=("FOLDER", "METHOD"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    if arguments.alone:
        alone(Path(arguments.alone[0]), arguments.alone[1])
        return
    with tempfile.TemporaryDirectory() as scratch:
        prepare(Path(scratch))
        compare(Path(scratch), arguments.methods, arguments.steps)
        memory(Path(scratch), arguments.methods, arguments.threads)


if __name__ == "__main__":
    main()
