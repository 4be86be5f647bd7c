"""The statement of one tensor in one step: its law, then the primitives that make it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import chain

from growplan.algebra import Expansion
from growplan.ir.graph import BlockLaw, Graph, Node, Provenance, Step, TensorLaw
from growplan.ir.layers import layers_between
from growplan.ir.primitives import CoreMatrix
from growplan.ir.rings import ring_inputs
from growplan.ir.text import words
from growplan.ir.text.fold import Statement, statement, unmark
from growplan.ir.text.implied import copies_of, implied_id, implied_inputs, inferred_type, law_map
from growplan.ir.text.learned_text import learned_text, ring_text
from growplan.ir.text.names import WIDTH, Names

INDENT = 8
CARRIED = {
    "law same, bitwise": "unchanged",
    "law same <- same, bitwise": "unchanged <-",
    "law same -> same, bitwise": "unchanged ->",
}


class TensorTexts:
    """Prints what step `k` says of tensors and values."""

    def __init__(self, graph: Graph, k: int, done: set[str], names: Names) -> None:
        self.graph, self.k, self.done, self.names = graph, k, done, names
        step: Step = graph.steps[k - 1]
        self.before, self.after = graph.models[k - 1], graph.models[k]
        self.tensors_before = {value: tensor for tensor, value in reversed(self.before.items())}
        self.laws = {law.tensor: law for law in step.laws}
        self.learned = {law.tensor: law for law in step.learned}
        self.rings = {law.tensor: law for law in step.rings}
        self.groups = {group.name: group for group in step.groups}
        self.sources = {p.tensor: p for p in step.provenance}

    def statements(self) -> Iterator[Statement]:
        """One statement per tensor that the step makes, or claims something of."""
        old = [tensor for tensor in self.before if tensor in self.after]
        for tensor in [*old, *(tensor for tensor in self.after if tensor not in self.before)]:
            value = self.after[tensor]
            claimed = any(tensor in some for some in self._claims())
            if self.before.get(tensor) != value or claimed:
                yield self._tensor(tensor, value)
        for tensor in dict.fromkeys(chain.from_iterable(self._claims())):
            if tensor not in self.after:
                yield self._tensor(tensor, None)

    def _claims(self) -> tuple[Collection[str], ...]:
        return self.laws, self.sources, self.learned, self.rings

    def _ring_of(self, tensor: str) -> tuple[str, ...]:
        """The values that the first `ring_map` of a tensor reads."""
        law = self.rings.get(tensor)
        group = self.groups.get(law.parts[0][0]) if law is not None and law.parts else None
        return () if group is None else ring_inputs(group, self.k)

    def _tensor(self, tensor: str, value: str | None) -> Statement:
        law, origin = self.laws.get(tensor), self.sources.get(tensor)
        nodes = main_line(self.graph, value, self.k, self.done) if value is not None else []
        head = value if value is not None else self.before.get(tensor)
        base = nodes[0].inputs[0] if nodes else head
        named = self._base_name(tensor, base, law, origin)
        text = words.name(tensor)
        moves = bool(nodes) or self.before.get(tensor) != value
        if nodes and self._show_type(nodes, base):
            text += f": {nodes[-1].type}"
        if named != tensor and moves and value is not None and base is not None:
            text += " = " + (words.value(base) if named is None else words.name(named))
        home = named if moves and value is not None else tensor
        claims = [self._law(law, home, value) + _grafted(law)] if law else []
        if origin:
            of = f" of {words.name(origin.source)}" if origin.source != home else ""
            grid = origin.resample
            claims.append(f"bitwise{of}" if grid is None else f"resampled{of}{words.grid(grid)}")
        rows = [", ".join(claims)] if claims else []
        learned = self.learned.get(tensor)
        rows += [learned_text(learned, home, self.names)] if learned else []
        rows += [ring_text(self.rings[tensor])] if tensor in self.rings else []
        rows += self._ops(nodes, tensor, law, named)
        carried = CARRIED.get(rows[0]) if rows else None
        if carried and (rows[1:], named != tensor) == (["| copy_layer"] if moves else [], moves):
            return statement(f"{text} {carried}", tensor)
        return statement(_joined(text, rows), tensor)

    def _base_name(
        self, tensor: str, base: str | None, law: TensorLaw | None, origin: Provenance | None
    ) -> str | None:
        """The tensor of the model before the step that the value `base` is."""
        if base is None:
            return None
        candidates = [law.source] if law else []
        candidates += [origin.source] if origin else []
        candidates += [self.learned[tensor].source] if tensor in self.learned else []
        for candidate in (*candidates, tensor):
            if self.before.get(candidate) == base:
                return candidate
        return self.tensors_before.get(base)

    def _show_type(self, nodes: list[Node], base: str | None) -> bool:
        last = nodes[-1]
        before = self.graph.nodes[base].type if base is not None else None
        return last.type != before or last.type != inferred_type(self.graph, last)

    def _law(self, law: TensorLaw, home: str | None, value: str | None) -> str:
        constant = "" if law.constant is None else f" constant {law.constant}"
        twins = "" if law.twins is None else f" twins {self.names.map(law.twins)}"
        return self._maps(law, home, value) + constant + " given" * law.given + twins

    def _maps(self, law: TensorLaw, home: str | None, value: str | None) -> str:
        shape = self.graph.nodes[value].type.shape if value is not None else ()
        word = "blocks" if isinstance(law, BlockLaw) else "law"
        source = word + " " + ("" if law.source == home else f"of {words.name(law.source)} ")
        rows = self._law_map(law.rows, law.row_dim, shape)
        if law.cols is None and law.col_dim is None and law.row_dim == 0:
            return f"{source}{rows}"
        if law.cols is not None and (law.row_dim, law.col_dim) in ((0, 1), (1, 0)):
            cols = self._law_map(law.cols, law.col_dim or 0, shape)
            return source + (f"{rows} <- {cols}" if law.row_dim == 0 else f"{cols} -> {rows}")
        cols = "none" if law.cols is None else self.names.map(law.cols)
        col_dim = "" if law.col_dim is None else f" dim {law.col_dim}"
        return f"{source}rows dim {law.row_dim} {self.names.map(law.rows)} cols{col_dim} {cols}"

    def _law_map(self, e: Expansion, dim: int, shape: tuple[int, ...]) -> str:
        return "same" if dim < len(shape) and e.is_identity and e.old == shape[dim] else self.names.map(e)

    def _ops(self, nodes: list[Node], tensor: str, law: TensorLaw | None, named: str | None) -> Iterator[str]:
        """One line per primitive, with whatever its place does not imply."""
        base = nodes[0].inputs[0] if nodes else ""
        context = words.Context(
            lambda e, dim: self._op_map(e, dim, law),
            lambda key: self.names.key(key, tensor),
            layers_between(named, tensor),
            None if named is None else (named, tensor),
        )
        for j, node in enumerate(nodes, 1):
            self.done.add(node.id)
            text = "| " + words.primitive(node.op, context)
            extra = node.inputs[1:]
            law_of = self.learned.get(tensor)
            if extra != implied_inputs(node.op, base, law_of, self.before, self._ring_of(tensor)):
                text += " with " + ", ".join(map(words.value, extra))
            if node.id != implied_id(tensor, self.k, j):
                text += f" as {words.value(node.id)}"
            if j < len(nodes) and node.type != inferred_type(self.graph, node):
                text += f": {node.type}"
            yield text

    def _op_map(self, e: Expansion, dim: int, law: TensorLaw | None) -> str:
        known = law_map(law, dim)
        return "by law" if known is not None and e == copies_of(known) else self.names.map(e)

    def lets(self) -> Iterator[Statement]:
        """Values of this step that are no tensor of the model after it."""
        context = words.Context(lambda e, dim: self.names.map(e), lambda key: f" key = {words.key(key)}")
        for node in self.graph.nodes.values():
            if node.step != self.k or node.id in self.done:
                continue
            self.done.add(node.id)
            op = words.primitive(node.op, context)
            inputs = ", ".join(map(words.value, node.inputs))
            type_ = f": {node.type}" if node.type != inferred_type(self.graph, node) else ""
            made = f"{inputs} | {op}" if node.inputs else op
            yield statement(f"let {words.value(node.id)}{type_} = {made}", node.id, "let ")


def _grafted(law: TensorLaw) -> str:
    """`grafted dim 0 at 48:72 from h.1.w`, on a line of its own."""
    if not isinstance(law, BlockLaw) or law.above is None:
        return ""
    above = law.above
    return f"\n    grafted dim {above.dim} at {words.ranges(above.at)} from {words.name(above.source)}"


def main_line(graph: Graph, value: str, k: int, done: set[str]) -> list[Node]:
    """The nodes of step `k` from first input to first input up to `value`, those `done` left out.

    The matrix of a core is of no tensor alone, like a leaf.
    """
    out: list[Node] = []
    node = graph.nodes[value]
    while node.step == k and node.inputs and node.id not in done and not isinstance(node.op, CoreMatrix):
        out.append(node)
        node = graph.nodes[node.inputs[0]]
    return out[::-1]


def _joined(head: str, rows: list[str]) -> str:
    """A statement on one line where it is short, else a line for the law and one per primitive."""
    line = "  ".join([head, *rows])
    if "\n" not in line and len(rows) <= 2 and len(unmark(line)) <= WIDTH - INDENT:
        return line
    return "".join([head, *(f"\n  {row}" for row in rows)])
