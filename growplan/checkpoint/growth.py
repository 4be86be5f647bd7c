"""growth.json: what was done to make a checkpoint, in full, so that it can be checked and repeated."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from growplan.checkpoint.files import write_bytes

GROWTH = "growth.json"
TRAINED = "trained"  # the claim of what a stage has trained, and what its facts stand under
FORMAT_VERSION = 1


@dataclass(frozen=True)
class StepRecord:
    """One step: its canonical line, what it claimed, what was proved, and what was measured.

    `measured` maps a quantity (`law`, `logits_max_abs`, `kl`) to its number.
    """

    id: str
    text: str
    claim: str
    proof: str
    reasons: tuple[str, ...] = ()
    measured: Mapping[str, float] = field(default_factory=dict)
    implied: str = ""


@dataclass(frozen=True)
class SegmentRecord:
    """A run of preserving steps: the ids, and source against result."""

    steps: tuple[str, ...]
    claim: str
    measured: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Hint:
    """How to go on training: factor on the usual peak learning rate, warm-up steps, and why.

    Both numbers are None where the literature gives none for growth of this kind.
    """

    lr_scale: float | None
    warmup_steps: int | None
    why: str


@dataclass(frozen=True)
class Parent:
    """The growth.json of the source, in brief; `parent` is its own, `stage` that of a plan with stages.

    `trained`: of a stage that was trained, the data, steps, tokens, FLOPs and the loss at the end.
    """

    growth_sha256: str
    plan_hash: str
    claim: str
    steps: tuple[str, ...]
    parent: Parent | None = None
    stage: str = ""
    trained: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Growth:
    """The whole document. `files` and `tensors` map a name to its sha256."""

    plan: str  # canonical text
    plan_hash: str
    seed: int
    claim: str  # the weakest of the steps
    source: str  # name of the source, no path
    source_files: Mapping[str, str]
    steps: tuple[StepRecord, ...]
    tensors: Mapping[str, str]
    files: Mapping[str, str] = field(default_factory=dict)
    segments: tuple[SegmentRecord, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    hint: Hint | None = None
    parent: Parent | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trained(self) -> Mapping[str, Any]:
        """What is recorded of the training that made it; nothing where none did."""
        found = self.extra.get(TRAINED)
        return found if isinstance(found, Mapping) else {}

    @property
    def stage(self) -> str:
        """The name of the stage that was grown or trained; empty where the plan has none."""
        for key, name in (("stage", "name"), (TRAINED, "stage")):
            found = self.extra.get(key)
            if isinstance(found, Mapping) and isinstance(found.get(name), str):
                return str(found[name])
        return ""


def growth_text(growth: Growth) -> str:
    """The JSON text: sorted, with numbers that JSON does not have as words (`"nan"`)."""
    document = {"format_version": FORMAT_VERSION, **asdict(growth)}
    return json.dumps(_finite(document), indent=2, sort_keys=True, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


def write_growth(directory: Path, growth: Growth) -> Path:
    """Write `directory`/growth.json; returns its path."""
    path = directory / GROWTH
    write_bytes(path, growth_text(growth).encode())
    return path
