"""Values as written in one step of a text, put in order and given the types that follow."""

from __future__ import annotations

from dataclasses import dataclass

from growplan.diagnostics import Span, fail
from growplan.ir.graph import Graph, Node, TensorType
from growplan.ir.primitives import Primitive
from growplan.ir.text.implied import FORM
from growplan.ir.typing import Mistype, result_type


@dataclass(frozen=True)
class Pending:
    """A value as written; its type may still follow from its inputs."""

    op: Primitive
    inputs: tuple[str, ...]
    type: TensorType | None
    span: Span


class Values:
    """The values that step `k` defines, before they are in the graph."""

    def __init__(self, graph: Graph, k: int) -> None:
        self.graph, self.k = graph, k
        self.pending: dict[str, Pending] = {}

    def define(self, id: str, pending: Pending) -> None:
        """Note a value. GP252 if its name is taken."""
        if id in self.pending or id in self.graph.nodes:
            fail("GP252", f"the value `%{id}` is defined twice", pending.span, help=FORM)
        self.pending[id] = pending

    def settle(self) -> None:
        """Add the values of this step in an order in which inputs come first, with their types."""
        open_: set[str] = set()
        for id in self.pending:
            stack = [id]
            while stack:
                at = stack[-1]
                if at in self.graph.nodes:
                    stack.pop()
                    continue
                waiting = [name for name in self.pending[at].inputs if name not in self.graph.nodes]
                for name in waiting:
                    if name not in self.pending:
                        fail("GP251", f"no value is called `%{name}`", self.pending[at].span, help=FORM)
                    if name in open_:
                        fail("GP252", f"`%{at}` is made from itself", self.pending[at].span, help=FORM)
                if waiting:
                    open_.add(at)
                    stack += waiting
                else:
                    self._add(at)
                    stack.pop()

    def _add(self, id: str) -> None:
        pending = self.pending[id]
        types = tuple(self.graph.nodes[name].type for name in pending.inputs)
        type_ = pending.type
        if type_ is None:
            try:
                type_ = result_type(pending.op, types)
            except Mistype as reason:
                fail("GP256", f"`{pending.op.name}` of `%{id}`: {reason}", pending.span, help=FORM)
        if type_ is None:
            fail("GP251", f"`%{id}` needs a type", pending.span, help=FORM)
        self.graph.nodes[id] = Node(id, pending.op, pending.inputs, type_, self.k)
