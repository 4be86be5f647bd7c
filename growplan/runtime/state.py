"""The growth state beside a checkpoint: which masks there are, where they stand, how they rise.

`growth-state.json` says it; `growth-state.safetensors` holds the raw values of the tensors that the
checkpoint itself holds times a mask of 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from growplan.check.masks import GrowthMask, Site, growth_masks, raw_config
from growplan.check.typed import TypedPlan
from growplan.checkpoint.files import path_exists, read_bytes, write_whole
from growplan.diagnostics import fail
from growplan.methods.base import Ramp
from growplan.runtime.ramps import value_at

STATE = "growth-state.json"
RAW = "growth-state.safetensors"
Count = Field(ge=0)
Pair = Annotated[list[Annotated[int, Count]], Field(min_length=2, max_length=2)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class MaskSite(_Part):
    """A place of a mask, as `check.masks.Site`; JSON has lists where that has tuples."""

    kind: Literal["input", "output", "norm", "block"]
    module: str
    layers: list[Annotated[int, Count]] | None
    at: list[Pair]

    @model_validator(mode="after")
    def _rising(self) -> Self:
        if any(start >= stop for start, stop in self.at):
            raise ValueError("`at` names units from one to a later one")
        if self.kind in ("input", "norm") and not self.at:
            raise ValueError("`at` names no units")
        return self

    @classmethod
    def of(cls, site: Site) -> MaskSite:
        layers = None if site.layers is None else list(site.layers)
        return cls(kind=site.kind, module=site.module, layers=layers, at=[list(pair) for pair in site.at])


class MaskState(_Part):
    """One mask: of which step, on which axis, how it rises, where it stands.

    `over` None: the plan says no ramp. `stock`: at 0 the stored checkpoint is exact without it.
    """

    step: str
    axis: str
    old: int = Count
    new: int = Count
    over: int | None = Field(ge=1)
    shape: Literal["linear", "cosine"]
    delay: int = Count
    stock: bool
    sites: list[MaskSite]

    @classmethod
    def of(cls, mask: GrowthMask) -> MaskState:
        return cls(
            step=mask.step,
            axis=mask.axis,
            old=mask.old,
            new=mask.new,
            over=mask.ramp.steps,
            shape=mask.ramp.shape,
            delay=mask.ramp.delay,
            stock=mask.stock,
            sites=[MaskSite.of(site) for site in mask.sites],
        )

    @property
    def ramp(self) -> Ramp:
        return Ramp(self.over, self.shape, self.delay)


class GrowthState(_Part):
    """The document. `step`: optimiser steps done since the growth; `begun`: those that were done at step 0 of
    the Trainer's training whose checkpoint this is; below 0 where it was grown at a later step of it.

    `held`: the checkpoint's tensors are `raw`, as they are trained, or `effective`, times masks of 0.
    `raw` names the tensors of `growth-state.safetensors`, and `config` holds the keys of config.json that
    have another value with them. `fingerprint`: of the weights beside it, where those are safetensors
    (`runtime.fingerprint`).
    """

    format_version: Literal[1] = 1
    family: str
    sizes: dict[str, int]
    seed: int
    held: Literal["raw", "effective"]
    step: int = Count
    begun: int | None = None
    raw: list[str]
    config: dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] = {}
    fingerprint: str | None = None
    masks: list[MaskState] = Field(min_length=1)

    @model_validator(mode="after")
    def _one_mask_a_step(self) -> Self:
        if len({mask.step for mask in self.masks}) < len(self.masks):
            raise ValueError("two masks are of one step")
        return self

    @property
    def stock(self) -> bool:
        """Whether a stock load of the checkpoint beside it is the model that was trained."""
        return self.held == "effective"


def state_of(typed: TypedPlan, raw: list[str]) -> GrowthState | None:
    """The state of what a plan makes, before any training; None where it masks nothing."""
    masks = growth_masks(typed)
    if not masks:
        return None
    return GrowthState(
        family=typed.target.family.name,
        sizes=dict(typed.target.sizes),
        seed=typed.plan.seed,
        held="effective" if typed.claim.where == "stock" else "raw",
        step=0,
        raw=sorted(raw),
        config=raw_config(typed) if raw else {},
        masks=[MaskState.of(mask) for mask in masks],
    )


def write_state(directory: Path, state: GrowthState) -> str:
    """Write growth-state.json; the file's name."""
    write_whole(directory / STATE, (state.model_dump_json(indent=2) + "\n").encode())
    return STATE


def refuse_half_grown(directory: Path, *, ended: bool = False) -> None:
    """GP588 where a checkpoint is in the middle of a ramp, and so cannot be grown as it stands.

    `ended`: its masks must be gone, as the training of a stage leaves it, and not be given up.
    """
    if not path_exists(directory / STATE):
        return
    state = read_state(directory)
    if state.stock and not ended:  # what lies on disk is the model; its masks are given up
        return
    low = {mask.step: m for mask in state.masks if (m := value_at(mask.ramp, state.step)) < 1}
    if low:
        out = f"or `growplan runtime export {directory} OUT`, where its masks can be in the weights"
        ways = () if state.stock else (out,)  # whose weights hold masks of 0 already
        fail(
            "GP588",
            f"{directory} is in the middle of a ramp: "
            + ", ".join(f"the mask of `{step}` is {m:.3g}" for step, m in low.items()),
            help=("train until every mask is 1, call `finish()`, and save the plain model elsewhere", *ways),
        )


def read_state(directory: Path | str) -> GrowthState:
    """The state beside a checkpoint. Raises GP581 where there is none, or none that can be read."""
    path = Path(directory) / STATE
    if not path_exists(path):
        fail(
            "GP581",
            f"{path} does not exist",
            help="a checkpoint that `growplan apply` made with `mask-in` has one",
        )
    try:
        return GrowthState.model_validate_json(read_bytes(path))
    except ValidationError as error:
        first: Any = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "it"
        fail(
            "GP581",
            f"{path} is no growth state: `{where}`: {first['msg']}",
            help="take the file that `growplan apply` or the runtime wrote beside the checkpoint",
        )
