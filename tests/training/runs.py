"""Small runs: a source, data, a plan of stages in a file, and what a run leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language import parse_file
from growplan.language.plan import Plan
from growplan.training.run import TrainResult, train
from growplan.training.stage import Step, Tell
from tests.tiny import tiny_checkpoint

BYTES = ("model.safetensors", "config.json", "growth.json", "stage.json", "run.json", "history.jsonl")
DROPOUT = {"resid_pdrop": 0.1, "attn_pdrop": 0.1, "embd_pdrop": 0.1}


def write_source(folder: Path, family: str = "gpt2", **config: Any) -> Path:
    """A tiny random model in `folder`/source, and tokens in `folder`/data.npy."""
    given: dict[str, Any] = {"architecture": "GPT2LMHeadModel", **DROPOUT} if family == "gpt2" else {}
    tiny_checkpoint(family, folder / "source", **{**given, **config})
    np.save(folder / "data.npy", np.random.default_rng(0).integers(1, 31, 4000))
    return folder / "source"


def write_plan(folder: Path, stages: str, name: str = "plan", **train: Any) -> Path:
    """A plan on that source, its training 4 sequences of 12 tokens a step; `stages` in YAML."""
    asked = {"on": "data.npy", "lr": 1e-3, "batch": 4, "tokens": 12, "every": 2, **train}
    said = ", ".join(f"{key}: {value}" for key, value in asked.items())
    path = folder / f"{name}.grow.yaml"
    lines = [f"  - {line}" for line in stages.strip().splitlines()]
    path.write_text("\n".join(["source: ./source", f"train: {{{said}}}", "stages:", *lines]) + "\n")
    return path


def read(path: Path, *overrides: str) -> Plan:
    return parse_file(str(path), overrides)


def run(path: Path, out: Path, *overrides: str, **kwargs: Any) -> TrainResult:
    return train(read(path, *overrides), out, **{"stock": False, **kwargs})


def bytes_of(out: Path) -> dict[str, bytes]:
    """Everything that must not depend on when a run was interrupted."""
    found = [path for path in out.rglob("*") if path.name in BYTES and not path.is_symlink()]
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in found}


def losses(result: TrainResult, stage: str | None = None) -> list[float]:
    """Of every step, in order."""
    steps = [line for line in result.history if line["kind"] == "step"]
    return [line["loss"] for line in steps if stage in (None, line["stage"])]


def held_out(result: TrainResult, stage: str, kind: str) -> Any:
    """`begin` or `end` of a stage; (before, after) for `growth`."""
    (line,) = [each for each in result.history if each["stage"] == stage and each["kind"] == kind]
    return (line["before"], line["after"]) if kind == "growth" else line["held_out"]


@contextmanager
def refused(code: str) -> Iterator[list[Diagnostic]]:
    found: list[Diagnostic] = []
    with pytest.raises(DiagnosticError) as error:
        yield found
    found += error.value.diagnostics
    assert [d.code for d in found] == [code] and found[0].help


@contextmanager
def stopped(when: Callable[[Step], bool]) -> Iterator[Tell]:
    """Gives what ends a run, as `progress`, at a step of it."""

    class Stop(Exception):
        pass

    def stop(step: Step) -> None:
        if when(step):
            raise Stop

    with pytest.raises(Stop):
        yield stop
