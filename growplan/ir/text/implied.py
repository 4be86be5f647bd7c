"""What `growir` leaves out because it follows: ids, types, and maps that are the law's."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from growplan.algebra import Expansion, Run
from growplan.ir.graph import Graph, LearnedLaw, Node, TensorLaw, TensorType
from growplan.ir.learned_laws import sources
from growplan.ir.primitives import BlendLayers, Primitive, RingMap
from growplan.ir.typing import Mistype, result_type

FORM = "`growplan show PLAN --as ir` prints the form that is read here"


def implied_id(tensor: str, step: int, number: int) -> str:
    """The id of the `number`-th value (from 1) of a tensor in a step; `TENSOR@0` for what is read."""
    return f"{tensor}@{step}.{number}" if step else f"{tensor}@0"


def inferred_type(graph: Graph, node: Node) -> TensorType | None:
    """The type its primitive gives a node, or None where the primitive does not fit or decide."""
    try:
        return result_type(node.op, tuple(graph.nodes[name].type for name in node.inputs))
    except Mistype:
        return None


def implied_inputs(
    op: Primitive,
    base: str,
    law: LearnedLaw | None,
    before: Mapping[str, str],
    ring: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """The inputs after the first: the value the statement starts from, the layers that its law blends,
    or what its `ring` reads."""
    if isinstance(op, RingMap):
        return ring[1:]
    if isinstance(op, BlendLayers):
        names = sources(law) if law is not None and law.layers else ()
        return tuple(before[name] for name in names if name in before)
    return (base,) * ((op.arity or 1) - 1)


@lru_cache(maxsize=512)
def copies_of(e: Expansion) -> Expansion:
    """The copy rows of a map, all other rows holes: what a gather can do of it."""
    return Expansion(e.old, tuple(r if r.kind == "copy" else Run("hole", r.count) for r in e.runs))


def law_map(law: TensorLaw | None, dim: int) -> Expansion | None:
    """The map of a law on a dimension of the tensor, None where it has none or changes nothing."""
    if law is None:
        return None
    e = law.rows if dim == law.row_dim else law.cols if dim == law.col_dim else None
    return None if e is None or e.is_identity else e
