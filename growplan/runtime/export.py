"""A checkpoint in the middle of a ramp as a plain one: what masks multiply, multiplied."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from growplan.checkpoint.card import CARD
from growplan.checkpoint.config import read_config
from growplan.checkpoint.files import guard, path_exists
from growplan.checkpoint.headers import INDEX, Headers, read_headers
from growplan.checkpoint.output import Target
from growplan.checkpoint.sidecars import Carry, Leave, SidecarAction, carry_sidecars, plan_sidecars
from growplan.diagnostics import fail
from growplan.families import bind_stored, detect, load_family
from growplan.families.model import Model, Module
from growplan.runtime.attached import check_sizes
from growplan.runtime.card import has_half_grown_card
from growplan.runtime.fingerprint import check_fingerprint
from growplan.runtime.places import lacks
from growplan.runtime.ramps import value_at
from growplan.runtime.saving import saving
from growplan.runtime.state import GrowthState, MaskSite, read_state


@dataclass(frozen=True)
class Exported:
    """A plain checkpoint, and the files that were not carried over to it."""

    path: Path
    left: tuple[Leave, ...]


def export(
    directory: Path | str, out: Path | str, *, family: str | None = None, force: bool = False
) -> Exported:
    """Write the checkpoint in `directory` with its masks in the weights, so that a stock load is the model.

    Masks on what modules read or put out are linear in the weights: W[:, at] m. Those on norms and
    blocks are not. Raises GP581 to GP583 for the state, GP587 where a mask cannot be in the weights.
    """
    directory = Path(directory)
    state = read_state(directory)
    if state.stock:
        fail("GP587", f"{directory} is exact in a stock load already", help="copy it as it is")
    check_fingerprint(state, directory)
    config, headers = read_config(directory), read_headers(directory)
    model = bind_stored(load_family(family) if family is not None else detect(config), config, headers)
    check_sizes(state, model, directory)
    factors, sidecars = _factors(state, model), _sidecars(directory)
    with Target.open(out, sources=[directory], force=force) as target:
        for file in headers.files:
            _write(directory, target.partial, file, headers, factors)
        for name in ("config.json", INDEX):
            if path_exists(directory / name):
                with guard(directory / name, "copy"):
                    shutil.copyfile(directory / name, target.partial / name)
        carry_sidecars(sidecars, directory, target.partial)
        left = tuple(action for action in sidecars if isinstance(action, Leave))
        return Exported(target.publish().path, left)


def _sidecars(directory: Path) -> tuple[SidecarAction, ...]:
    """The files to carry; not the card that says of the masks what will be so no longer."""
    ended = {CARD} if has_half_grown_card(directory) else set[str]()
    return tuple(a for a in plan_sidecars(directory) if not isinstance(a, Carry) or a.path not in ended)


Factor = tuple[int, list[list[int]], float]  # dimension, units, m


def _factors(state: GrowthState, model: Model) -> dict[str, list[Factor]]:
    """Tensor on disk -> what masks multiply of it. Raises GP587."""
    found: dict[str, list[Factor]] = {}
    for mask in state.masks:
        m = value_at(mask.ramp, state.step)
        for site in mask.sites if m < 1 else []:
            if site.kind in ("norm", "block"):
                fail(
                    "GP587",
                    f"the mask of `{mask.step}` is {m:.3g}, and stands where no weight can hold it",
                    notes=[("place", site.module or f"layers {site.layers}")],
                    help="train until it is 1; or load the checkpoint and attach its masks",
                )
            for name, factor in _of_site(site, model, m):
                found.setdefault(name, []).append(factor)
    return found


def _of_site(site: MaskSite, model: Model, m: float) -> Iterator[tuple[str, Factor]]:
    module = _module(site, model)
    for param in module.params:
        for layer in site.layers if site.layers is not None else (None,):
            name = model.tensor_name(param, layer)
            if site.kind == "output":
                yield name, (param.row_dim, [[0, model.shape(param)[param.row_dim]]], m)
            elif param.cols is not None:
                yield name, (param.col_dim, site.at, m)


def _module(site: MaskSite, model: Model) -> Module:
    """The module of a site, if the model has the place. Raises GP582."""
    module = model.modules.get(site.module)
    if module is None:
        lacks(f"module `{site.module}`")
    if module.in_layer != (site.layers is not None) or max(site.layers or [0]) >= model.depth:
        lacks(f"`{site.module}` in layers {site.layers}")
    size = 0 if module.is_norm or module.ins is None else module.ins.size(model.sizes)
    if any(stop > size for _, stop in site.at):
        lacks(f"such units of `{site.module}`")
    return module


def _write(
    directory: Path, out: Path, file: str, headers: Headers, factors: Mapping[str, list[Factor]]
) -> None:
    """One file of weights; the index beside it, if there is one, is copied with the other files."""
    from safetensors.torch import load_file, save_file

    with guard(directory / file, "read"):
        tensors = load_file(directory / file)
    made = {name: _times(tensor, factors.get(name, ())) for name, tensor in tensors.items()}
    with saving(out / file):
        save_file(made, out / file, {"format": "pt"})


def _times(tensor: Tensor, factors: list[Factor] | tuple[()]) -> Tensor:
    for dim, at, m in factors:
        index = torch.cat([torch.arange(start, stop) for start, stop in at])
        wide = torch.promote_types(tensor.dtype, torch.float32)
        scaled = (tensor.index_select(dim, index).to(wide) * m).to(tensor.dtype)
        tensor = tensor.index_copy(dim, index, scaled)
    return tensor
