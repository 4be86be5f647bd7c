"""Models of images: their positions are a grid of patches, so image, grid and positions grow together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from growplan.diagnostics import Diagnostic
from growplan.families.expr import evaluate_size
from growplan.families.model import Model
from growplan.families.sizes import LARGEST
from growplan.language.plan import Step
from growplan.methods.base import Method

COUPLED = ("image", "grid", "positions")  # each given by the one before it
Growths = Mapping[str, tuple[int, int]]


def with_grid(grow: dict[str, tuple[int, int]], model: Model) -> dict[str, tuple[int, int]]:
    """`grow` with the image, grid and positions that belong to the one it names.

    It is returned as it is where it names none of them, or a size that no image has.
    """
    if not is_grid(model) or not set(COUPLED) & set(grow):
        return grow
    found = _of_growth(grow, model)
    if found is None or any(axis in grow and grow[axis][1] != found[axis] for axis in COUPLED):
        return grow
    return {**grow, **{axis: (model.sizes[axis], found[axis]) for axis in COUPLED if axis not in grow}}


def mistakes(step: Step, method: Method, grow: Growths, model: Model) -> Iterator[Diagnostic]:
    """GP360 (positions that no image has), GP361 and GP362 (a method for the other kind of positions)."""
    if not is_grid(model):
        if method.grids:
            message = f"`{method.name}` interpolates a grid of patches, and {model.family.name} reads tokens"
            help = "`widen positions … via fpi` adds rows at the end"
            yield Diagnostic("GP362", message, step.place("via"), help=(help,))
        return
    named = [axis for axis in COUPLED if axis in grow]
    if not named or all(grow[axis][0] == grow[axis][1] for axis in named):
        return
    if not method.grids:
        message = f"`{method.name}` adds rows at the end, and every image reads all of its positions"
        help = f"`widen {named[0]} {grow[named[0]][0]}→{grow[named[0]][1]} via resample` interpolates them"
        yield Diagnostic("GP361", message, step.place("via") or step.span, help=(help,))
    found = _of_growth(grow, model)
    wrong = next((axis for axis in named if found is None or found[axis] != grow[axis][1]), None)
    if wrong is not None:
        message = f"no square image of {model.family.name} has `{wrong}` {grow[wrong][1]}"
        help = _nearest(grow[wrong][1], model)
        if found is not None:
            message = f"`{named[0]}` {grow[named[0]][1]} is `{wrong}` {found[wrong]}, not {grow[wrong][1]}"
            help = f"write one of `{named[0]}` and `{wrong}`; the other follows from it"
        growth = dict(zip(grow, step.growths, strict=False))[wrong]
        yield Diagnostic("GP360", message, step.where(growth.axis), help=(help,))


def is_grid(model: Model) -> bool:
    """Whether positions are those of an image's patches."""
    derived = {rule.axis for rule in model.family.sizes if rule.key is None}
    return model.inputs == "image" and {"grid", "positions"} <= derived and "image" in model.sizes


def _of_growth(grow: Growths, model: Model) -> dict[str, int] | None:
    """Image, grid and positions where the first of the named axes has its new size."""
    if "image" in grow:
        return of_image(grow["image"][1], model)
    if "grid" in grow:
        return _of_grid(grow["grid"][1], model)
    new = grow["positions"][1]
    found = _below(new, model)
    return found if found["positions"] == new else None


def of_image(image: int, model: Model, given: Mapping[str, int] | None = None) -> dict[str, int]:
    """Image, grid and positions of an image size; `given` takes the place of the model's own sizes."""
    sizes = {**(given or model.sizes), "image": image}
    for axis in ("grid", "positions"):
        rule = next(rule for rule in model.family.sizes if rule.axis == axis)
        sizes[axis] = int(evaluate_size(str(rule.default), sizes))
    return {axis: sizes[axis] for axis in COUPLED}


def _of_grid(grid: int, model: Model) -> dict[str, int]:
    """The smallest image with so many patches a side."""
    return of_image(grid * model.sizes["patch"], model)


def _below(positions: int, model: Model) -> dict[str, int]:
    """The largest grid with at most so many positions, by bisection."""
    low, high = model.sizes["grid"], max(model.sizes["grid"] + 1, int(positions**0.5) + 2)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _of_grid(middle, model)["positions"] <= positions else (low, middle)
    return _of_grid(low, model)


def _nearest(positions: int, model: Model) -> str:
    below = _below(positions, model)
    ways = [below, _of_grid(below["grid"] + 1, model)]
    found = [f"{way['positions']} (image {way['image']})" for way in ways if way["image"] <= LARGEST]
    return f"use positions {' or '.join(found)}"
