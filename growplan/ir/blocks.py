"""Provenance of one tensor, proved on its symbolic state: every slice is the one the method names.

    new = rows . old . D        D = the even shares of the columns
    new[above.at] = rows . above . D

Nothing is preserved, so a tensor that satisfies the preservation law is not enough: the state
must be this very one, with these maps and these shares.
"""

from __future__ import annotations

from growplan.algebra import Expansion, even_inverse
from growplan.ir.graph import BlockLaw
from growplan.ir.laws import check_form
from growplan.ir.layers import in_layer, layers_between
from growplan.ir.slices import Axis, Objection
from growplan.ir.symbolic import Grafted, State


def check_blocks(state: State, law: BlockLaw, shape: tuple[int, ...]) -> None:
    """Raise the `Objection` that `state` is not what `law` says is made of tensors of `shape`."""
    check_form(state, law, shape)
    for what, e in (("rows", law.rows), ("columns", law.cols)):
        if e is not None and (e.kinds != {"copy"} or (what == "columns" and not e.keeps_every_unit)):
            raise Objection("GP268", f"the {what} of a block law are copies of every unit, not `{e}`")
    own, above = state, None
    if isinstance(state.base, Grafted):
        if state != State.start(state.base, tuple(axis.size for axis in state.axes)):
            raise Objection("GP240", "is changed after its slices were grafted")
        own, above = state.base.y, state.base.z
    found = (state.base.dim, state.base.at) if isinstance(state.base, Grafted) else None
    wanted = None if law.above is None else (law.above.dim, law.above.at)
    if found != wanted:
        raise Objection("GP240", f"has slices of the layer above {_said(found)}, not {_said(wanted)}")
    for which, part, base in (("own", own, "old"), ("the layer above's", above, "above")):
        if part is not None and not _is(part, law, base, shape):
            raise Objection(
                "GP240",
                f"its slices of {which} tensor are not those of the maps and shares in the law",
                "copies along the rows, even shares along the columns, and nothing else",
            )


def check_above(law: BlockLaw) -> None:
    """Raise the `Objection` that the slices come from another tensor than that of the layer above."""
    if law.above is None:
        return
    layers = layers_between(law.source, law.above.source)
    lifted = None if layers is None else in_layer(law.source, layers[0], layers[0] + 1)
    if lifted != law.above.source:
        raise Objection("GP241", f"takes slices of `{law.above.source}`, the method says `{lifted}`")


def _is(state: State, law: BlockLaw, base: str, shape: tuple[int, ...]) -> bool:
    """Whether a state is the tensor `base`, expanded by the maps of the law."""
    axes = [Axis.identity(n) for n in shape]
    axes[law.row_dim] = axes[law.row_dim].gather(law.rows)
    if law.cols is not None and law.col_dim is not None:
        axes[law.col_dim] = axes[law.col_dim].gather(_shares(law.cols))
    return state == State(base, tuple(axes))


def _shares(e: Expansion) -> Expansion:
    return e if e.is_identity else even_inverse(e)


def _said(slices: tuple[int, tuple[tuple[int, int], ...]] | None) -> str:
    if slices is None:
        return "nowhere"
    return f"at dim {slices[0]} {', '.join(f'{a}:{b}' for a, b in slices[1])}"
