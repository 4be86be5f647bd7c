"""The README's console blocks are what the command line prints; `--update-golden` rewrites them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCK = re.compile(r"(?<=```console\n)(.*?)(?=```)", re.DOTALL)


def rerun(block: str) -> str:
    """The block with the output of each `$ growplan ...` as it is now."""
    commands = [line[2:] for line in block.splitlines() if line.startswith("$ ")]
    return "".join(f"$ {command}\n{output_of(command)}" for command in commands)


def output_of(command: str) -> str:
    program, *arguments = shlex.split(command)
    assert program == "growplan"
    done = subprocess.run(
        [sys.executable, "-m", "growplan", *arguments],
        cwd=ROOT,
        env={**os.environ, "COLUMNS": "100", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode in (0, 1), done.stdout
    return done.stdout.rstrip() + "\n"


@pytest.mark.parametrize("page", ["README.md"])
def test_console_blocks_are_real(page: str, request: pytest.FixtureRequest) -> None:
    path = ROOT / page
    text = path.read_text(encoding="utf-8")
    now = BLOCK.sub(lambda match: rerun(match.group()), text)
    if request.config.getoption("--update-golden"):
        path.write_text(now, encoding="utf-8")
    else:
        assert now == text
