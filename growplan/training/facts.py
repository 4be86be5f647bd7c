"""What the numbers of a run depend on, kept beside it: what has changed since is refused by name."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path

import torch

from growplan.check.stages import Schedule, TypedStage
from growplan.checkpoint.files import file_sha256, path_exists
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.preprocessor import PREPROCESSOR
from growplan.diagnostics import Diagnostic, fail
from growplan.language.printing import step_text
from growplan.learn.tokenizer import TOKENIZER
from growplan.methods.training import Training
from growplan.training.data import held_for
from growplan.training.places import STAGE, read_json, write_json

Facts = Mapping[str, str]
WHERE = "where"
HARMLESS = ("every", "name", "checkpoint")  # options that no number depends on


def facts_of_stage(schedule: Schedule, stage: TypedStage) -> dict[str, str]:
    """What the plan says of a stage, and of what is held out of its data."""
    parts = {"freeze": ", ".join(stage.stage.freeze), "train-only": ", ".join(stage.stage.train_only)}
    growth = "; ".join(step_text(step, label=True) for step in stage.stage.steps)
    held = {} if stage.training is None else {"held-out": held_for(schedule, stage)}
    return {"growth": growth, **parts, **dict(_training(stage.training)), **held}


def _training(training: Training | None) -> Iterator[tuple[str, str]]:
    if training is None:
        return
    for name, value in asdict(training.recipe).items():
        if name not in HARMLESS:
            yield name.replace("_", "-"), str(value)
    yield from (
        ("optimizer", training.optimizer),
        ("tied", training.tied),
        ("sub-models", str(training.sub_models)),
        ("warmup paper", str(training.rewarm)),
    )


def source_hash(directory: Path) -> str:
    """Of config, weights, tokenizer and image settings of the model that a run begins with."""
    beside = [name for name in (*TOKENIZER, PREPROCESSOR) if (directory / name).is_file()]
    names = ("config.json", *read_headers(directory).files, *beside)
    return hashlib.sha256(" ".join(file_sha256(directory / name) for name in names).encode()).hexdigest()


def surroundings(device: torch.device) -> dict[str, str]:
    """What rounding depends on beside the plan; a run may go on with others."""
    import transformers

    return {
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "threads": str(torch.get_num_threads()),
        "device": str(device),
        "machine": platform.machine(),
    }


def hold_to(path: Path, now: Facts, what: str) -> None:
    """GP611 where the facts in `path` are others; those that are not there yet are added."""
    then = read_json(path) if path_exists(path) else {}
    changed = [name for name, value in now.items() if name in then and then[name] != value]
    if changed:
        fail(
            "GP611",
            f"{what} has changed since it began: {', '.join(f'`{name}`' for name in changed)}",
            notes=[(name, f"was {_short(then[name])}, is {_short(now[name])}") for name in changed],
            help=(
                "give the plan and the data as they were, and the run goes on",
                *([f"or move {path.parent} away, and what comes after it"] if path.name == STAGE else []),
                "or begin anew: `--force`, or another `--out DIR`",
            ),
        )
    if dict(then) != {**then, **now}:
        write_json(path, {**then, **now})


def enter(path: Path, schedule: Schedule, stage: TypedStage, here: Facts) -> Diagnostic | None:
    """The facts of a stage that begins, or goes on: GP616 where it began in other surroundings."""
    hold_to(path, facts_of_stage(schedule, stage), f"stage `{stage.name}`")
    known = read_json(path)
    then = known.setdefault(WHERE, dict(here))
    other = [name for name, value in here.items() if then.get(name, value) != value]
    if not other:
        write_json(path, known)
        return None
    notes = tuple((name, f"was {then[name]}, is {here[name]}") for name in other)
    message = f"stage `{stage.name}` goes on elsewhere than it began: losses may differ in their last digits"
    ways = ("go on where it began, for the same bytes",)
    return Diagnostic("GP616", message, notes=notes, help=ways, severity="warning")


def _short(text: str) -> str:
    line = "; ".join(text.split("\n"))
    return "nothing" if not line else line if len(line) <= 100 else line[:97] + "..."
