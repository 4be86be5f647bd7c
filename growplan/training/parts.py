"""Which parameters a stage trains."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from growplan.check.stages import Schedule, TypedStage
from growplan.check.trained import HALVES
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.learn.model import build
from growplan.runtime import (
    FreezeCallback,
    MaskCallback,
    Rewarm,
    RewarmCallback,
    SubModelCallback,
    SubModels,
    selected,
)
from growplan.training.loaded import Loaded


def trained(stage: TypedStage, loaded: Loaded, start: Path) -> frozenset[str] | None:
    """The parameters in memory that a stage trains, None for all. `start` is the model that it began with.

    Raises GP590 to GP592 for words that name nothing, or not what becomes of a tied head.
    """
    assert stage.training is not None
    tied = None if stage.training.tied == "none" else stage.training.tied
    lists = [words for words in (stage.stage.train_only, stage.stage.freeze) if words]
    if not lists:
        return None
    named = [selected(loaded.module, start, words, tied=tied, family=stage.after.family) for words in lists]
    found = named.pop(0) if stage.stage.train_only else _every(loaded)
    found = found.difference(*named)
    halved = any(len(HALVES & set(words)) == 1 and "all" not in words for words in lists)
    if stage.after.tied and halved:
        weight = loaded.module.get_input_embeddings().weight
        shared = {name for name, p in loaded.module.named_parameters() if p is weight}
        return found | shared if tied == "train" else found - shared
    return found


def _every(loaded: Loaded) -> frozenset[str]:
    return frozenset(name for name, _ in loaded.module.named_parameters())


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


def rewarm_of(stage: TypedStage, start: Path) -> Rewarm | None:
    """How the rate is led up after the growth of a stage, where its plan leaves that to the literature."""
    if stage.training is None or not stage.training.rewarm or stage.typed is None:
        return None
    found = Rewarm.of(start)
    return None if found is None else replace(found, begin=0)  # a stage counts its own steps


def callbacks(
    stage: TypedStage, loaded: Loaded, start: Path, seed: int, rewarm: Rewarm | None
) -> Iterator[Any]:
    """What leads the rate up, moves masks, freezes, and draws sub-models while a stage trains."""
    assert stage.training is not None
    steps, part = stage.training.recipe.steps, trained(stage, loaded, start)
    if rewarm is not None:
        yield RewarmCallback(rewarm)
    if loaded.attached is not None:
        yield MaskCallback(loaded.attached)
    if stage.training.sub_models:
        each = stage.training.sub_models
        also = part or frozenset()
        models = SubModels.of(loaded.module, start, each, seed=seed, also=also, family=stage.after.family)
        yield SubModelCallback(models, steps)
    elif part is not None:
        yield FreezeCallback(part, steps)
