"""What stages read. Several that read the same data hold out the same part of it, enough for each of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from growplan.check.learned import as_read
from growplan.check.stages import Schedule, TypedStage
from growplan.check.task import task_of
from growplan.learn.corpus import Readers
from growplan.learn.place import data_folder, data_path


def path_of(schedule: Schedule, stage: TypedStage) -> Path:
    """The data that a stage trains on."""
    assert stage.training is not None
    return data_path(stage.training.on, data_folder(schedule.plan))


def readers(schedule: Schedule, stage: TypedStage) -> Readers:
    """(rows, tokens) of a batch of every stage that trains on the data of this one; of images, 0 tokens."""
    path = path_of(schedule, stage).resolve()
    return tuple(
        sorted(
            {
                _batch(each)
                for each in schedule.stages
                if each.training is not None and path_of(schedule, each).resolve() == path
            }
        )
    )


def _batch(stage: TypedStage) -> tuple[int, int]:
    assert stage.training is not None
    recipe = as_read(stage.training.recipe, stage.after)
    return recipe.batch, 0 if stage.after.inputs == "image" else recipe.tokens


def held_for(schedule: Schedule, stage: TypedStage) -> str:
    """What decides how much of a stage's data is held out: the largest batches of all stages on it."""
    assert stage.training is not None
    every = readers(schedule, stage)
    shown = " and ".join(f"{rows} x {tokens}" if tokens else str(rows) for rows, tokens in _largest(every))
    labelled = task_of(stage.after) in ("sequence", "token", "answer")
    shortest = f", {min(tokens for _, tokens in every)} tokens at the shortest" if labelled else ""
    return f"enough for batches of {shown}{shortest}, the largest on {stage.training.on}"


def _largest(every: Readers) -> Sequence[tuple[int, int]]:
    """Those beside which there is none of as many rows and as many tokens."""
    return [
        one for one in every if not any(two != one and two[0] >= one[0] and two[1] >= one[1] for two in every)
    ]
