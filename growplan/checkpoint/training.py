"""The files that transformers' Trainer keeps beside the weights, and what a growth does with them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

from growplan.checkpoint.config import list_directory
from growplan.checkpoint.files import read_bytes
from growplan.checkpoint.sidecars import Leave
from growplan.diagnostics import fail

OptimizerMode = Literal["grow", "reset", "drop"]
MODES: tuple[OptimizerMode, ...] = ("grow", "reset", "drop")

OPTIMIZER = "optimizer.pt"
STATE = "trainer_state.json"
FROZEN = "growth-frozen.json"
AS_THEY_ARE = ("scheduler.pt", "scaler.pt", "rng_state*.pth")  # nothing in them depends on a size
SHARDED = ("optimizer.bin", "optimizer_*", "global_step*", "pytorch_model_fsdp*", "rank*-of-*-optimizer.pt")
GROWS = "moments of the old model; `--optimizer grow` carries them through the growth"
CARRIES = "goes with the optimizer's state: `--optimizer grow` or `reset` carries it"

# in trainer_state.json: what names a checkpoint of the old model
_OF_OLD_WEIGHTS = {"best_model_checkpoint": None, "best_metric": None, "best_global_step": None}


def carried_as_they_are(source: Path) -> tuple[str, ...]:
    """The files of a Trainer's state that a grown model uses byte for byte."""
    names = sorted(list_directory(source))
    return tuple(name for name in names if any(fnmatch(name, pattern) for pattern in AS_THEY_ARE))


def sharded_state(source: Path) -> str:
    """The name of an optimizer's state in another form than one file, or an empty one."""
    names = sorted(list_directory(source))
    return next((name for name in names if any(fnmatch(name, pattern) for pattern in SHARDED)), "")


def trainer_state(source: Path) -> dict[str, Any] | None:
    """trainer_state.json for the grown model, None where there is none. Raises GP576.

    Its best checkpoint was one of the old model, which could not be loaded into the new one.
    """
    if STATE not in list_directory(source):
        return None
    try:
        state = json.loads(read_bytes(source / STATE))
    except ValueError as error:
        state, why = None, str(error)
    else:
        why = "it holds no mapping"
    if not isinstance(state, dict):
        fail(
            "GP576",
            f"{source / STATE} cannot be read: {why}",
            help=("restore the file", "or leave the state out with `--optimizer drop`"),
        )
    return {**state, **{key: value for key, value in _OF_OLD_WEIGHTS.items() if key in state}}


def left_behind(
    left: Iterable[Leave], written: Iterable[str], mode: OptimizerMode | None
) -> tuple[Leave, ...]:
    """What is not carried, without what was `written`; where nobody chose a mode, how to carry it."""
    done = set(written)
    return tuple(_told(each) if mode is None else each for each in left if each.path not in done)


def _told(left: Leave) -> Leave:
    if left.path == OPTIMIZER:
        return replace(left, why=GROWS)
    if left.path == STATE or any(fnmatch(left.path, pattern) for pattern in AS_THEY_ARE):
        return replace(left, why=CARRIES)
    return left
