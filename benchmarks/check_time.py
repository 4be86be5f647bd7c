"""Time `growplan check` as a whole process on a LLaMA-3-70B-shaped config.

    python benchmarks/check_time.py [--runs 15]

Only a config.json is written, no weights. The table also shows a quarter and four times the
layers: typing folds equal blocks, so depth should not matter.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LLAMA_3_70B: dict[str, Any] = {
    "architectures": ["LlamaForCausalLM"],
    "attention_bias": False,
    "attention_dropout": 0.0,
    "bos_token_id": 128000,
    "dtype": "bfloat16",
    "eos_token_id": 128001,
    "hidden_act": "silu",
    "hidden_size": 8192,
    "initializer_range": 0.02,
    "intermediate_size": 28672,
    "max_position_embeddings": 8192,
    "model_type": "llama",
    "num_attention_heads": 64,
    "num_hidden_layers": 80,
    "num_key_value_heads": 8,
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "tie_word_embeddings": False,
    "use_cache": True,
    "vocab_size": 128256,
}
PLAN = """growplan: 1
source: ./model
steps:
  - widen hidden 8192→12288 via fpi
  - stack depth x2
"""


def write_plan(folder: Path, layers: int = 80) -> Path:
    """Write `model/config.json` and `plan.grow.yaml` into `folder`; returns the plan."""
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    config = {**LLAMA_3_70B, "num_hidden_layers": layers}
    (model / "config.json").write_text(json.dumps(config, indent=2))
    plan = folder / "plan.grow.yaml"
    plan.write_text(PLAN, encoding="utf-8")
    return plan


def cpu_seconds() -> float:
    """Processor time of all children so far."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def time_command(command: list[str], runs: int) -> list[tuple[float, float]]:
    """(wall, processor) seconds of `runs` processes, after one that warms the caches."""
    seconds = []
    for run in range(runs + 1):
        started, used = time.perf_counter(), cpu_seconds()
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr}")
        if run:
            seconds.append((time.perf_counter() - started, cpu_seconds() - used))
    return seconds


def main() -> None:
    """Print one line per command: wall time, and the processor time that a busy machine hides."""
    parser = argparse.ArgumentParser(description="Time `growplan check` and `growplan diff`.")
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    growplan = str(Path(sys.executable).with_name("growplan"))
    print(f"{'command':32}{'median':>9}{'fastest':>9}{'slowest':>9}{'cpu':>9}   (s, {runs} runs)")
    with tempfile.TemporaryDirectory() as scratch:
        plans = {layers: str(write_plan(Path(scratch) / str(layers), layers)) for layers in (20, 80, 320)}
        other = Path(scratch) / "other.grow.yaml"
        other.write_text(PLAN.replace("12288", "16384"), encoding="utf-8")
        commands = {
            "python -c pass": [sys.executable, "-c", "pass"],
            **{f"growplan check, {n} layers": [growplan, "check", p] for n, p in plans.items()},
            "growplan diff": [growplan, "diff", plans[80], str(other)],
        }
        for name, command in commands.items():
            wall, cpu = zip(*time_command(command, runs), strict=True)
            numbers = (statistics.median(wall), min(wall), max(wall), statistics.median(cpu))
            print(f"{name:32}" + "".join(f"{value:9.3f}" for value in numbers), flush=True)


if __name__ == "__main__":
    main()
