"""Running something as several processes, as torchrun does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[1]
SECONDS = 120  # a run that hangs is a failure, not a wait


def torchrun(
    world: int, *arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`torchrun --nproc-per-node WORLD ARGUMENTS`, with growplan and these tests importable."""
    command: Sequence[str] = (
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(world)),
        *arguments,
    )
    return subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", **(env or {})},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def ranked(folder: Path, body: str, world: int = 2) -> subprocess.CompletedProcess[str]:
    """The body of a script that has `ranks`, run by `world` joined processes."""
    script = folder / "ranked.py"
    lines = "".join(f"    {line}\n" for line in body.strip().splitlines())
    script.write_text(f"from growplan.learn.ranks import *\nwith joined() as ranks:\n{lines}leave(0)\n")
    return torchrun(world, str(script))
