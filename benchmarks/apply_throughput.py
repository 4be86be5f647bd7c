"""Time `growplan apply` on the real MiniLM against a plain copy of its output.

    python benchmarks/apply_throughput.py [--runs 3]

Fetches the model as `make demo` does. Apply includes Python's start, every assertion and fsync.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "minilm"


def apply(plan: Path, out: Path) -> float:
    """Wall seconds of one `growplan apply` process."""
    started = time.perf_counter()
    growplan = str(Path(sys.executable).with_name("growplan"))
    subprocess.run([growplan, "apply", str(plan), "--out", str(out), "-q"], check=True)
    return time.perf_counter() - started


def copy(source: Path, out: Path) -> float:
    """Wall seconds of copying a directory."""
    started = time.perf_counter()
    shutil.copytree(source, out)
    return time.perf_counter() - started


def main() -> None:
    """Print one line per plan."""
    parser = argparse.ArgumentParser(description="Time `growplan apply` on MiniLM.")
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    sys.path.insert(0, str(EXAMPLE))
    from fetch import fetch

    fetch(EXAMPLE / "model")
    print(f"{'plan':28}{'output':>10}{'apply':>9}{'MB/s':>8}{'copy':>9}   (s, median of {runs})")
    for plan in sorted(EXAMPLE.glob("*.grow.yaml")):
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            seconds = statistics.median(apply(plan, folder / str(run)) for run in range(runs))
            written = sum(f.stat().st_size for f in (folder / "0").rglob("*") if f.is_file())
            copied = statistics.median(copy(folder / "0", folder / f"copy{run}") for run in range(runs))
        print(
            f"{plan.name:28}{written / 1e6:8.0f}MB{seconds:9.2f}{written / 1e6 / seconds:8.0f}{copied:9.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
