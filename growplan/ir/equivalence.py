"""Are two graphs' stored tensors the same? Compared by meaning, from the disk on."""

from __future__ import annotations

from dataclasses import dataclass

from growplan.diagnostics import Diagnostic
from growplan.ir.graph import Graph
from growplan.ir.primitives import Load, Primitive
from growplan.ir.slices import Objection
from growplan.ir.symbolic import State, apply
from growplan.ir.wellformed import REPORT

Memo = dict[tuple[Primitive, tuple[State, ...]], State]


def equivalent(a: Graph, b: Graph) -> bool:
    """Whether both store the same tensors, whatever the values on disk are.

    Symbolic and strict: True is a proof; False may be said of graphs that are equal by more
    than gathers can be told to be (draws are compared by key and by what they are drawn over).
    """
    return not different_stores(a, b)


def different_stores(a: Graph, b: Graph, name: str = "the change") -> list[Diagnostic]:
    """A finding (GP272) for every stored tensor that `b` makes another value of than `a`."""
    memo: Memo = {}
    before, after = stored_states(a, memo), stored_states(b, memo)
    return [
        Diagnostic("GP272", f"{name} stores another `{tensor}`", help=(REPORT,))
        for tensor in sorted(before.keys() | after.keys())
        if before.get(tensor) != after.get(tensor)
    ]


def stored_states(graph: Graph, memo: Memo | None = None) -> dict[str, tuple[State, object]]:
    """Stored tensor -> (its meaning in terms of a tensor on disk, its type)."""
    memo = {} if memo is None else memo
    states: dict[str, State] = {}
    for node in graph.nodes.values():
        if isinstance(node.op, Load):
            states[node.id] = State.start(node.op.tensor, node.type.shape)
            continue
        key = (node.op, tuple(states[name] for name in node.inputs))
        if key not in memo:
            memo[key] = _meaning(*key)
        states[node.id] = memo[key]
    return {tensor: (states[id], graph.nodes[id].type) for tensor, id in graph.stores.items()}


@dataclass(frozen=True)
class Nonsense:
    """The base of a value without a meaning: equal only to the same primitive of the same values."""

    op: Primitive
    inputs: tuple[State, ...]


def _meaning(op: Primitive, inputs: tuple[State, ...]) -> State:
    if not any(isinstance(state.base, Nonsense) for state in inputs):
        try:
            return apply(op, inputs)
        except Objection:
            pass
    return State(Nonsense(op, inputs), ())
