"""Which parameters a stage trains."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from growplan.check.stages import Schedule, TypedStage
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.learn.model import build
from growplan.runtime import FreezeCallback, MaskCallback, SubModelCallback, SubModels, selected
from growplan.runtime.freezing import Tied
from growplan.training.loaded import Loaded

OTHER: dict[Tied, Tied] = {"train": "freeze", "freeze": "train"}


def trained(stage: TypedStage, loaded: Loaded, start: Path) -> frozenset[str] | None:
    """The parameters in memory that a stage trains, None for all. `start` is the model that it began with.

    Raises GP590 to GP592 for words that name nothing, or not what becomes of a tied head.
    """
    assert stage.training is not None
    tied = None if stage.training.tied == "none" else stage.training.tied
    only, frozen = stage.stage.train_only, stage.stage.freeze
    if not only and not frozen:
        return None
    found = frozenset(name for name, _ in loaded.module.named_parameters())
    if only:
        found = selected(loaded.module, start, only, tied=tied, family=stage.after.family)
    if frozen:
        away = None if tied is None else OTHER[tied]
        found -= selected(loaded.module, start, frozen, tied=away, family=stage.after.family)
    return found


def check_patterns(schedule: Schedule) -> None:
    """GP590 for patterns of `train-only` and `freeze` that match no parameter in memory, in any stage."""
    found = [
        Diagnostic(
            "GP590",
            f"`{word}` matches no parameter of {stage.after.architecture} in memory",
            stage.stage.place(part),
            help=("`*` stands for anything: `*.attn.*`, `*.bias`",),
        )
        for stage in schedule.stages
        for part, words in (("train-only", stage.stage.train_only), ("freeze", stage.stage.freeze))
        for word in words
        if stage.training is not None and any(ch in word for ch in ".*?[") and not _matches(stage, word)
    ]
    if found:
        raise DiagnosticError(*found)


def _matches(stage: TypedStage, pattern: str) -> bool:
    return any(fnmatchcase(name, pattern) for name, _ in build(stage.after).named_parameters())


def callbacks(stage: TypedStage, loaded: Loaded, start: Path, seed: int) -> Iterator[Any]:
    """What moves masks, freezes, and draws sub-models while a stage trains."""
    assert stage.training is not None
    steps, part = stage.training.recipe.steps, trained(stage, loaded, start)
    if loaded.attached is not None:
        yield MaskCallback(loaded.attached)
    if stage.training.sub_models:
        each = stage.training.sub_models
        also = part or frozenset()
        models = SubModels.of(loaded.module, start, each, seed=seed, also=also, family=stage.after.family)
        yield SubModelCallback(models, steps)
    elif part is not None:
        yield FreezeCallback(part, steps)
