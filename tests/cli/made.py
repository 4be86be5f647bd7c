"""Model folders that hold a config.json alone, plans beside them, and the command line in-process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from growplan.cli import cli
from tests.families.configs import CONFIGS

REPOSITORY = Path(__file__).parents[2]

A = """\
growplan: 1
source: ./gpt2
steps:
  - widen hidden 48→96 via fpi
  - {stack: depth, by: 2, id: deeper}
  - mask-in heads
"""
B = """\
growplan: 1
source: ./gpt2
seed: 3
steps:
  - mask-in heads 6→12
  - widen hidden 48→96 via bert2bert
  - widen ffn x2 via fpi, split even
  - {stack: depth, by: 2, id: deeper, via: interlace}
"""
C = """\
growplan: 1
source: ./gpt2
train: {on: corpus.txt, for: 20 steps, batch: 4, tokens: 8}
stages:
  - name: small
  - name: wide
    steps: [mask-in ffn x2 over 20 steps]
  - name: deep
    steps: [{stack: depth, by: 2, via: mslt, id: deeper}]
    train-only: new-layers
"""


def write_models(folder: Path) -> Path:
    """bert/, gpt2/ and llama/ with a config.json each, a plan, another, and one with stages beside them."""
    for family, config in CONFIGS.items():
        (folder / family).mkdir(parents=True, exist_ok=True)
        (folder / family / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "a.grow.yaml").write_text(A, encoding="utf-8")
    (folder / "b.grow.yaml").write_text(B, encoding="utf-8")
    (folder / "c.grow.yaml").write_text(C, encoding="utf-8")
    (folder / "corpus.txt").write_text("a text of some words, " * 99, encoding="utf-8")
    return folder


def run(*arguments: str | Path, input: str | bytes | None = None) -> Result:
    """The command line in this process; nothing may escape as an exception."""
    result = CliRunner().invoke(cli, [str(a) for a in arguments], input=input)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def document(*arguments: str | Path, input: str | None = None) -> dict[str, Any]:
    """The JSON document that a command prints; stdout holds nothing else."""
    command, *rest = arguments
    data = json.loads(run(command, "--json", *rest, input=input).stdout)
    assert data["format_version"] == 1
    assert isinstance(data, dict)
    return data


def process(*arguments: str | Path, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    """The command line as a process of its own, its streams piped."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **env}
    return subprocess.run(
        [sys.executable, "-m", "growplan", *map(str, arguments)],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=60,
    )
