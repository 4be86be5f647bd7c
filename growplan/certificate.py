"""The certificate of a run: growth.json and the model card, from what was proved and measured."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from growplan.check.claims import weakest
from growplan.check.new_layers import new_layers
from growplan.check.typed import TypedPlan, TypedStep
from growplan.checkpoint.card import base_model_name, card_text, write_card
from growplan.checkpoint.files import file_sha256
from growplan.checkpoint.growth import Growth, Hint, SegmentRecord, StepRecord, write_growth
from growplan.checkpoint.growth_reader import parent_of
from growplan.checkpoint.headers import Headers
from growplan.language import canonical, plan_hash
from growplan.methods import get_method

if TYPE_CHECKING:
    from growplan.backend.assertions import Measurement
    from growplan.backend.probes import OutputError
    from growplan.backend.segments import SegmentError
    from growplan.backend.stock import StockDifference
    from growplan.learn.leaves import Found
    from growplan.runtime.trainer_files import OptimizerRecord

RESIZED = ("hidden", "ffn", "heads", "kv_heads", "head_dim", "depth")
Measured = tuple[tuple[TypedStep, "Measurement"], ...]


def write_certificate(
    out: Path,
    typed: TypedPlan,
    source: Headers,
    steps: Measured,
    segments: Sequence[SegmentError],
    stock: Sequence[StockDifference] | None,
    tensors: Mapping[str, str],
    files: Sequence[str],
    values: Found | None = None,
    optimizer: OptimizerRecord | None = None,
) -> Growth:
    """Write growth.json and README.md into `out`.

    `stock` is what the transformers class gave, where it was loaded; `tensors` maps each tensor
    written to its sha256, `files` names the other files in `out`, `values` what came from data,
    `optimizer` what became of an optimizer's state.
    """
    plan, directory = typed.plan, source.directory
    growth = Growth(
        plan=canonical(plan),
        plan_hash=plan_hash(plan),
        seed=plan.seed,
        claim=str(typed.claim),
        source=base_model_name(directory),
        source_files={name: file_sha256(directory / name) for name in ("config.json", *source.files)},
        steps=tuple(_step(step, measured) for step, measured in steps),
        segments=tuple(_segment(typed, segment) for segment in segments),
        tensors=tensors,
        files={name: file_sha256(out / name) for name in files},
        versions=versions(),
        hint=_hint(typed),
        parent=parent_of(directory),
        extra=_extra(typed, stock, values, optimizer),
    )
    write_growth(out, growth)
    write_card(out, card_text(growth, directory, title=f"{growth.source}, grown"))
    return growth


def _extra(
    typed: TypedPlan,
    stock: Sequence[StockDifference] | None,
    values: Found | None,
    optimizer: OptimizerRecord | None,
) -> dict[str, object]:
    """What only some runs have: a stage, a comparison by transformers, values from data, optimizer state."""
    out: dict[str, object] = {}
    if (part := typed.plan.part_of) is not None:
        of = {"of": len(part.whole.stages), "plan_hash": plan_hash(part.whole)}
        out["stage"] = {"name": part.stage, "index": part.index, **of}
    if layers := new_layers(typed):
        out["new_layers"] = list(layers)
    if stock is not None:
        out["stock"] = [asdict(difference) for difference in stock]
    if values is not None and values.learned:
        out["learned"] = [asdict(record) for record in values.learned]
    if values is not None and values.fitted:
        out["fitted"] = [asdict(record) for record in values.fitted]
    if values is not None and values.predicted:
        out["predicted"] = [asdict(record) for record in values.predicted]
    if optimizer is not None:
        out["optimizer"] = asdict(optimizer)
    return out


def _step(step: TypedStep, measured: Measurement) -> StepRecord:
    return StepRecord(
        id=step.id,
        text=step.text,
        claim=str(step.promised),
        proof=str(step.proof.claim),
        reasons=step.proof.reasons,
        measured=measured.numbers(),
        implied=step.implied or "",
    )


def _segment(typed: TypedPlan, segment: SegmentError) -> SegmentRecord:
    steps = typed.steps[segment.first : segment.last]
    claim = weakest([step.proof.claim for step in steps])
    return SegmentRecord(tuple(step.id for step in steps), str(claim), _output(segment.worst))


def _output(error: OutputError | None) -> dict[str, float]:
    if error is None:
        return {}
    kl = {} if error.kl is None else {"kl": error.kl}
    return {"output_max_abs": error.error, "output_spread": error.spread, **kl}


def versions() -> dict[str, str]:
    """Of python, growplan and torch."""
    out = {"python": platform.python_version()}
    for package in ("growplan", "torch"):
        try:
            out[package] = version(package)
        except PackageNotFoundError:
            continue
    return out


def _hint(typed: TypedPlan) -> Hint | None:
    """How the literature trains on after growth of this kind, and what of it; None where it says nothing."""
    hint = _rate(typed.steps)
    methods = dict.fromkeys(step.method for step in typed.steps)
    said = [method.training for name in methods if (method := get_method(name)) is not None]
    why = "; ".join(filter(None, [hint.why if hint else "", *said]))
    return replace(hint or Hint(None, None, ""), why=why) if why else None


def _rate(steps: Sequence[TypedStep]) -> Hint | None:
    """Learning rate and warm-up, where a paper gives them for steps like these."""
    if any(rewrite.graft for step in steps for rewrite in step.rewrites):
        why = "bert2BERT starts with a fresh optimizer; LiGO's run of it warms up for 10000 steps"
        return Hint(1.0, 10_000, why)
    if any(step.verb == "stack" for step in steps):
        why = "StackingBERT goes on at the learning rate where the small model's schedule stopped"
        return Hint(1.0, 1, why)
    if not any(map(_resized, steps)) or any(step.proof.claim.strength == "none" for step in steps):
        return None
    why = (
        "LEMON keeps the peak learning rate and decays it faster; staged training re-warms for 150-200 steps"
    )
    return Hint(1.0, 200, why)


def _resized(step: TypedStep) -> bool:
    """Whether a step widens matrices or adds silent layers, as LEMON and staged training do."""
    return any(axis in RESIZED and old != new for axis, old, new in step.axes)
