"""Which units of a grown model are equal, whatever its input: for noise that cancels over them.

Growth by copies makes activations over an axis E x. Equal units stay equal in later steps: each
step's maps are composed, and a depth step that copies layers keeps what its layers all share.
What breaks it is dropped: maps that do not compose, new units that are another layer's, layers
that are drawn. Shares and noise do not matter here: they act on sums in which copies are equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from growplan.algebra import Expansion
from growplan.check.typed import TypedStep
from growplan.families.model import Model, Param
from growplan.methods.base import LayerSource

AXES = ("hidden", "ffn", "heads", "kv_heads", "head_dim")

NONE = Expansion.identity(1)

Twins = Mapping[str, Expansion]


def after_width(before: Model, maps: Mapping[str, Expansion], grafted: bool) -> Twins:
    """The twins after a step with these maps; `grafted`: some new units are of another layer."""
    if grafted:
        return {}
    found: dict[str, Expansion] = {}
    for axis in AXES:
        size = before.sizes.get(axis)
        if size is None or not (axis in maps or axis in before.twins):
            continue
        first = before.twins.get(axis) or Expansion.identity(size)
        both = (maps.get(axis) or Expansion.identity(size)).after(first)
        if both is not None and not both.is_identity:
            found[axis] = both
    return found


def after_depth(before: Model, layers: tuple[LayerSource, ...]) -> Twins:
    """The twins after a depth step: those of before, unless some layer is drawn or predicted."""
    return {} if any(layer.fresh or layer.predicted is not None for layer in layers) else before.twins


def twins_of(model: Model, param: Param) -> Expansion | None:
    """T of what a matrix reads, or None where nothing is known of it or no unit has a copy."""
    if param.cols is None:
        return None
    try:
        e = param.cols.expansion(model.twins, model.sizes)
    except ValueError:  # an axis expression outside the row language
        return None
    return e if e.most_copies > 1 else None


def copied_readers(model: Model, writers: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the modules that read units with copies."""
    found = (model.modules[name] for name in writers)
    return tuple(m.name for m in found if any(twins_of(model, p) for p in m.params))


def lost_at(axes: Sequence[str], earlier: Sequence[TypedStep]) -> int:
    """The last step (from 1) after which no copies are known on one of `axes` that had them, or 0.

    Copies that the step makes itself count: those of AKI are units of another layer.
    """
    for step in reversed(earlier):
        for axis in axes:
            had = axis in step.before.twins or step.maps.get(axis, NONE).most_copies > 1
            if had and axis not in step.after.twins:
                return step.index
    return 0
