"""Growth inside a training loop: the model of the loop by a plan, with its optimizer and its scheduler."""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import torch

from growplan.apply import ApplyResult, apply
from growplan.checkpoint.files import is_regular
from growplan.checkpoint.growth import GROWTH
from growplan.checkpoint.sidecars import carry_sidecars, plan_sidecars
from growplan.diagnostics import fail
from growplan.language import parse_file
from growplan.language.plan import Plan
from growplan.pipeline import check, rules_of_moments, stage_plan
from growplan.runtime.attached import Attached, attach
from growplan.runtime.hooks import below_1
from growplan.runtime.optimizer import grow_optimizer
from growplan.runtime.rebuilt import check_loop, rebuilt_optimizer
from growplan.runtime.recomputing import recomputation, recompute
from growplan.runtime.rewarm import Rewarm
from growplan.runtime.saving import saving
from growplan.runtime.state import STATE

if TYPE_CHECKING:
    from torch.optim.lr_scheduler import LRScheduler
    from torch.optim.swa_utils import AveragedModel

    from growplan.families.model import Family


class HasPlan(Protocol):
    """What `growplan.load` gives."""

    @property
    def plan(self) -> Plan: ...


AnyPlan = Plan | HasPlan | str | os.PathLike[str]


@dataclass(frozen=True)
class Grown:
    """What a loop goes on with after a growth; what was not given to `grow` is None.

    `masks`: the growth masks that are attached to `model`, where the plan has some; call their `step` behind
    each step of the optimizer. `rewarm`: how papers lead the rate up after such a growth, counted from it.
    """

    model: Any
    optimizer: Any
    scheduler: Any
    averaged: Any
    masks: Attached | None
    rewarm: Rewarm | None
    result: ApplyResult


def grow(
    plan: AnyPlan,
    model: Any,
    optimizer: torch.optim.Optimizer | None = None,
    scheduler: LRScheduler | None = None,
    *,
    averaged: AveragedModel | None = None,
    stage: str | None = None,
    out: str | os.PathLike[str] | None = None,
    origin: str | os.PathLike[str] | None = None,
    moments: Literal["grow", "reset"] = "grow",
    family: str | Path | None = None,
    stock: bool | None = None,
) -> Grown:
    """Grow a model of transformers between two steps of a loop, asserting what `growplan apply` asserts.

    The model given stays as it is. The new one is on its device, in its mode and its type; `optimizer` (an
    AdamW) is made anew on its parameters with the moments of the old one grown, or empty with `moments`
    "reset", at the same rates; `scheduler` goes on from where it stands. `averaged`, a running average of the
    weights (`torch.optim.swa_utils.AveragedModel`), is grown by the same maps. No random state moves.

    `stage`: of a plan with stages, whose growth it is. `out`: keep the checkpoint there, as `apply` writes it
    (its directory is what `selected` and `SubModels` ask for); `origin`: the directory that the model was
    loaded from, whose tokenizer and lineage go into it. `stock`: see `apply`.
    Raises GP588 (masks below 1), GP622, GP623, GP624, and what `apply` and `grow_optimizer` raise, before
    anything is made.
    """
    chosen, bare = chosen_plan(plan, stage), _bare(model)
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="growplan-")))
        held.enter_context(torch.random.fork_rng(_devices(bare)))
        source, target = folder / "model", folder / "grown" if out is None else Path(out)
        _save(bare, source, origin)
        rules = rules_of_moments(chosen, model_dir=source, family=family)
        check_loop(rules, bare, optimizer, scheduler)
        if averaged is not None:
            _refuse_learned(chosen, source, family)
        result = apply(chosen, target, model_dir=source, family=family, stock=stock)
        new, masks = _load(bare, target, result.typed.target.family)
        made = None if optimizer is None else rebuilt_optimizer(rules, bare, optimizer, new)
        if optimizer is not None and made is not None and moments == "grow":
            grow_optimizer(rules, bare, optimizer, new, made)
        hint = Rewarm.of(target)
        return Grown(
            new,
            made,
            None if scheduler is None else copy.deepcopy(scheduler, {id(optimizer): made}),
            None if averaged is None else _averaged(averaged, new, chosen, folder, result),
            masks,
            None if hint is None else replace(hint, begin=0),
            result,
        )


def chosen_plan(plan: AnyPlan, stage: str | None = None) -> Plan:
    """The plan, or the growth of one of its stages. Raises what reading it raises, and GP597."""
    if isinstance(plan, str | os.PathLike):
        plan = parse_file(plan)
    found = plan if isinstance(plan, Plan) else plan.plan
    return found if stage is None else stage_plan(found, stage)


def _bare(model: Any) -> Any:
    """The model of transformers itself, out of what torch.compile and data parallelism put around it."""
    while (inner := getattr(model, "_orig_mod", None)) is not None or not hasattr(model, "save_pretrained"):
        inner = inner if inner is not None else getattr(model, "module", None)
        if inner is None:
            fail(
                "GP623",
                f"a {type(model).__name__} is no model of transformers",
                help="give the `PreTrainedModel` that is trained, not what holds it",
            )
        model = inner
    low = below_1(model)
    if low:
        fail(
            "GP588",
            f"the model is in the middle of a ramp: {low} of its masks are below 1",
            help="train until every mask is 1, and grow it then",
        )
    return model


def _devices(model: Any) -> list[torch.device]:
    return [model.device] if model.device.type == "cuda" else []


def _save(model: Any, folder: Path, origin: str | os.PathLike[str] | None) -> None:
    """The model as a checkpoint, with the files that lie beside the one that it was loaded from."""
    with saving(folder):
        model.save_pretrained(folder)
    if origin is None:
        return
    beside = Path(origin)
    carry_sidecars(plan_sidecars(beside), beside, folder)
    if is_regular(beside / GROWTH):
        shutil.copyfile(beside / GROWTH, folder / GROWTH)


def _load(like: Any, directory: Path, family: Family) -> tuple[Any, Attached | None]:
    """The grown model as the old one is held, behind its masks where it has some."""
    new = type(like).from_pretrained(
        directory,
        dtype=like.dtype,
        attn_implementation=like.config._attn_implementation,
        experts_implementation=like.config._experts_implementation,
    )
    new.to(like.device).train(like.training)
    keywords = recomputation(like)
    if keywords is not None:
        recompute(new, keywords)
    masks = attach(new, directory, family=family) if is_regular(directory / STATE) else None
    return new, masks


def _refuse_learned(plan: Plan, source: Path, family: str | Path | None) -> None:
    """GP622 where the plan learns something, which it would learn anew from the running average."""
    steps = check(plan, model_dir=source, family=family).steps
    learning = [step for step in steps if step.fit or step.operator or step.predictor]
    if learning:
        fail(
            "GP622",
            f"`{learning[0].id}` learns weights: from the running average it would learn others",
            learning[0].span,
            help="grow without `averaged`, and begin the average anew on the grown model",
        )


def _averaged(
    averaged: AveragedModel, new: Any, plan: Plan, folder: Path, result: ApplyResult
) -> AveragedModel:
    """The running average of a model, grown as the model was: behind the same masks, its weights its own."""
    inner, family = _bare(averaged.module), result.typed.target.family
    _save(inner, folder / "average", None)
    apply(plan, folder / "grown-average", model_dir=folder / "average", family=family.path, stock=False)
    weights, _ = _load(inner, folder / "grown-average", family)
    made = copy.copy(averaged)
    made._modules = {"module": copy.deepcopy(new).train(inner.training)}
    made._buffers = copy.deepcopy(averaged._buffers)
    made.module.load_state_dict(weights.state_dict())
    return made
