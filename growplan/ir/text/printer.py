"""The textual form of a graph, for people who review what a plan does to each tensor.

`parse_ir(print_ir(graph)) == graph`. Per step: what it sets, then one statement per tensor,
its law first and then the primitives that make it from the tensor before the step:

    h.{i}.mlp.c_proj.weight: f32[3072, 1024]
      law [copy 0:768, copy 0:768] -> stream
      | duplicate_row dim 1 by law
      | ln_average dim 1 at 768:1024

A law is written in the order of the tensor's dimensions, the arrow from what is read to what
is written. What follows from the rest is left out: types that a primitive implies, ids of
the form TENSOR@STEP.NUMBER, maps that are the law's, tensors that a step leaves alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from growplan.algebra import Expansion
from growplan.ir.text import words
from growplan.ir.text.fold import Statement, fold, lines, mark_number, statement, unmark
from growplan.ir.graph import Graph, ModuleLaw, Node, Provenance, Step, TensorLaw, TensorType
from growplan.ir.primitives import Fresh, SplitColumn, Store
from growplan.ir.text.implied import copies_of, implied_id, implied_layers, inferred_type, law_map

WIDTH, INDENT = 100, 8
CARRIED = {
    "law same, bitwise": "unchanged",
    "law same <- same, bitwise": "unchanged <-",
    "law same -> same, bitwise": "unchanged ->",
}
COMMENT = re.compile(r"\S(?:[^\n]*\S)?")


def print_ir(graph: Graph) -> str:
    """A graph as `growir` text, ending in a newline."""
    parts = ["growir 1", *_Source(graph).text()]
    plain = _stored_plainly(graph)
    done = set(graph.stores.values()) if plain else set()
    for k in range(1, len(graph.steps) + 1):
        parts.append(_StepPrinter(graph, k, done).text())
    parts.append("store model" if plain else _stores(graph))
    return "\n\n".join(parts) + "\n"


def _block(head: str, body: Iterable[str]) -> str:
    return "\n".join([head + " {", *body, "}"])


class _Source:
    """What is read: the tensors of `models[0]` and, apart from them, loads that are no tensor."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph

    def text(self) -> Iterator[str]:
        model = self.graph.models[0] if self.graph.models else {}
        named = [self._load(tensor, self.graph.nodes[value]) for tensor, value in model.items()]
        yield _block("source", lines(fold(named), "  "))

    def _load(self, tensor: str, node: Node) -> Statement:
        id = "" if node.id == implied_id(tensor, 0, 0) else f" as {words.value(node.id)}"
        return statement(f"{words.name(tensor)}: {node.type}{id}", tensor)


class _StepPrinter:
    """One step as text. `done` are the values that earlier text has defined."""

    def __init__(self, graph: Graph, k: int, done: set[str]) -> None:
        self.graph, self.k, self.done = graph, k, done
        self.step: Step = graph.steps[k - 1]
        self.before, self.after = graph.models[k - 1], graph.models[k]
        self.tensors_before = {value: tensor for tensor, value in reversed(self.before.items())}
        self.laws = {law.tensor: law for law in self.step.laws}
        self.sources = {p.tensor: p for p in self.step.provenance}
        self.names: dict[Expansion, str] = {}
        self.keys = self._key_prefix()

    def text(self) -> str:
        statements = [*self._tensors(), *self._lets(), *self._drops()]
        measures = [self._measure(law) for law in self.step.modules]
        body = [lines(fold(part), "  ") for part in (statements, measures)]
        head = [*self._head(), *self._maps()]  # last: the statements above gave maps their names
        step = f"step {self.step.index} {words.word(self.step.id)}"
        comment = f"  // {self.step.origin}" if COMMENT.fullmatch(self.step.origin) else ""
        blocks = ["\n".join(block) for block in (head, *body) if block]
        return f"{step} {{{comment}\n" + "\n\n".join(blocks) + "\n}"

    # what the step says of itself ----------------------------------------------------------------

    def _head(self) -> Iterator[str]:
        step = self.step
        yield f"  plan {words.quoted(step.text)}"
        yield f"  claim {words.word(step.claim)}"
        if not COMMENT.fullmatch(step.origin):
            yield f"  origin {words.quoted(step.origin)}"
        for edit in step.config:
            yield f"  set_config {words.word(edit.key)} = {json.dumps(edit.value, ensure_ascii=False)}"
        if step.sizes:
            yield "  sizes " + ", ".join(self._sizes())
        if step.layers:
            yield from _wrapped("  layers " + ", ".join(_layer_runs(step.layers)))
        if self.keys:
            yield f"  keys {words.quoted(self.keys)}"
        if step.stream is not None:
            yield from _wrapped(f"  stream {words.inline(step.stream)}")

    def _sizes(self) -> Iterator[str]:
        """All sizes, or those that changed and `rest same`."""
        before = self.graph.steps[self.k - 2].sizes if self.k > 1 else ()
        sizes = [pair for pair in self.step.sizes if pair not in before]
        shorter = bool(before) and tuple(sorted({**dict(before), **dict(sizes)}.items())) == self.step.sizes
        for axis, n in sizes if shorter else self.step.sizes:
            yield f"{words.word(axis)} {n}"
        if shorter:
            yield "rest same"

    def _maps(self) -> Iterator[str]:
        for e, name in self.names.items():
            yield from _wrapped(f"  map {name} = {words.inline(e)}")

    def _map(self, e: Expansion) -> str:
        """A map by name where it is the stream's, or long; else as it is."""
        if e == self.step.stream and not e.is_identity:
            return "stream"
        text = words.inline(e)
        if len(text) <= words.LONG:
            return text
        if e not in self.names:
            name = f"E{e.old}_{e.size}"
            twins = sum(given == name or given.startswith(name + "_") for given in self.names.values())
            self.names[e] = f"{name}_{twins + 1}" if twins else name
        return self.names[e]

    def _key_prefix(self) -> str:
        """P when every draw of a tensor T in this step has a key of the form P/T/part."""
        prefixes: set[str] = set()
        for tensor, value in self.after.items():
            for node in self._line(value):
                if isinstance(node.op, Fresh | SplitColumn) and node.op.key:
                    prefix, found, _ = node.op.key.rpartition(f"/{tensor}/")
                    prefixes.add(prefix if found else "")
        return prefixes.pop() if len(prefixes) == 1 else ""

    # statements ----------------------------------------------------------------------------------

    def _line(self, value: str) -> list[Node]:
        """The nodes of this step on the main line to `value` that no text defines yet."""
        out: list[Node] = []
        node = self.graph.nodes[value]
        while node.step == self.k and node.inputs and node.id not in self.done:
            out.append(node)
            node = self.graph.nodes[node.inputs[0]]
        return out[::-1]

    def _tensors(self) -> Iterator[Statement]:
        old = [tensor for tensor in self.before if tensor in self.after]
        for tensor in [*old, *(tensor for tensor in self.after if tensor not in self.before)]:
            value = self.after[tensor]
            if self.before.get(tensor) != value or tensor in self.laws or tensor in self.sources:
                yield self._tensor(tensor, value)
        for tensor in [*self.laws, *self.sources]:
            if tensor not in self.after:
                yield self._tensor(tensor, None)

    def _tensor(self, tensor: str, value: str | None) -> Statement:
        law, origin = self.laws.get(tensor), self.sources.get(tensor)
        nodes = self._line(value) if value is not None else []
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
        claims = [self._law(law, home, value)] if law else []
        if origin:
            claims.append("bitwise" + (f" of {words.name(origin.source)}" if origin.source != home else ""))
        rows = [", ".join(claims)] if claims else []
        rows += self._ops(nodes, tensor, law, implied_layers(named, tensor))
        carried = CARRIED.get(rows[0]) if rows else None
        if carried and (rows[1:], named != tensor) == (["| copy_layer"] if moves else [], moves):
            return statement(f"{text} {carried}", tensor)
        return statement(_joined(text, rows), tensor)

    def _base_name(
        self, tensor: str, base: str | None, law: TensorLaw | None, origin: Provenance | None
    ) -> str | None:
        """The tensor of the model before the step that the value `base` is."""
        for candidate in (law and law.source, origin and origin.source, tensor):
            if candidate is not None and base is not None and self.before.get(candidate) == base:
                return candidate
        return self.tensors_before.get(base) if base is not None else None

    def _show_type(self, nodes: list[Node], base: str | None) -> bool:
        last = nodes[-1]
        before = self.graph.nodes[base].type if base is not None else None
        return last.type != before or last.type != inferred_type(self.graph, last)

    def _law(self, law: TensorLaw, home: str | None, value: str | None) -> str:
        shape = self.graph.nodes[value].type.shape if value is not None else ()
        source = "" if law.source == home else f"of {words.name(law.source)} "
        rows = self._law_map(law.rows, law.row_dim, shape)
        if law.cols is None and law.col_dim is None and law.row_dim == 0:
            return f"law {source}{rows}"
        if law.cols is not None and (law.row_dim, law.col_dim) in ((0, 1), (1, 0)):
            cols = self._law_map(law.cols, law.col_dim or 0, shape)
            return f"law {source}" + (f"{rows} <- {cols}" if law.row_dim == 0 else f"{cols} -> {rows}")
        cols = "none" if law.cols is None else self._map(law.cols)
        col_dim = "" if law.col_dim is None else f" dim {law.col_dim}"
        return f"law {source}rows dim {law.row_dim} {self._map(law.rows)} cols{col_dim} {cols}"

    def _law_map(self, e: Expansion, dim: int, shape: tuple[int, ...]) -> str:
        return "same" if dim < len(shape) and e.is_identity and e.old == shape[dim] else self._map(e)

    def _ops(
        self, nodes: list[Node], tensor: str, law: TensorLaw | None, layers: tuple[int, int] | None
    ) -> Iterator[str]:
        """One line per primitive, with whatever its place does not imply."""
        base = nodes[0].inputs[0] if nodes else ""
        context = words.Context(
            lambda e, dim: self._op_map(e, dim, law), lambda key: self._key(key, tensor), layers
        )
        for j, node in enumerate(nodes, 1):
            self.done.add(node.id)
            text = "| " + words.primitive(node.op, context)
            extra = node.inputs[1:]
            if extra != (base,) * (node.op.arity - 1):
                text += " with " + ", ".join(map(words.value, extra))
            if node.id != implied_id(tensor, self.k, j):
                text += f" as {words.value(node.id)}"
            if j < len(nodes) and node.type != inferred_type(self.graph, node):
                text += f": {node.type}"
            yield text

    def _op_map(self, e: Expansion, dim: int, law: TensorLaw | None) -> str:
        known = law_map(law, dim)
        return "by law" if known is not None and e == copies_of(known) else self._map(e)

    def _key(self, key: str, tensor: str) -> str:
        start = f"{self.keys}/{tensor}/"
        part = key[len(start) :] if self.keys and key.startswith(start) else ""
        return f" key {part}" if words.BARE.fullmatch(part) else f" key = {words.key(key, tensor)}"

    def _lets(self) -> Iterator[Statement]:
        """Values of this step that are no tensor of the model after it."""
        context = words.Context(lambda e, dim: self._map(e), lambda key: f" key = {words.key(key)}")
        for node in self.graph.nodes.values():
            if node.step != self.k or node.id in self.done:
                continue
            self.done.add(node.id)
            op = words.primitive(node.op, context)
            inputs = ", ".join(map(words.value, node.inputs))
            type_ = f": {node.type}" if node.type != inferred_type(self.graph, node) else ""
            yield statement(f"let {words.value(node.id)}{type_} = {inputs} | {op}", node.id, "let ")

    def _drops(self) -> Iterator[Statement]:
        for tensor in self.before:
            if tensor not in self.after:
                yield statement(f"drop {words.name(tensor)}", tensor, "drop ")

    def _measure(self, law: ModuleLaw) -> Statement:
        at = "" if law.layer is None and law.source_layer is None else f" at {_layer(law.layer)}"
        origin = "" if law.source_layer == law.layer else f" from {_layer(law.source_layer)}"
        e_in = "none" if law.e_in is None else self._map(law.e_in)
        exact = "" if law.exact else ", approximate"
        module = words.word(law.module)
        text = f"measure {module}{at}{origin} {law.kind}: {e_in} -> {self._map(law.e_out)}{exact}"
        return Statement(text, law.layer, "measure", law.module)


def _joined(head: str, rows: list[str]) -> str:
    """A statement on one line where it is short, else a line for the law and one per primitive."""
    line = "  ".join([head, *rows])
    if len(rows) <= 2 and len(unmark(line)) <= WIDTH - INDENT:
        return line
    return "".join([head, *(f"\n  {row}" for row in rows)])


def _layer(layer: int | None) -> str:
    return "none" if layer is None else mark_number(layer)


def _layer_runs(layers: tuple[tuple[int, bool], ...]) -> Iterator[str]:
    """`0:6, 5 silent`."""
    at = 0
    while at < len(layers):
        first, silent = layers[at]
        n = 1
        while at + n < len(layers) and layers[at + n] == (first + n, silent):
            n += 1
        n = n if n > 2 else 1
        yield (f"{first}:{first + n}" if n > 1 else f"{first}") + (" silent" if silent else "")
        at += n


def _wrapped(line: str) -> Iterator[str]:
    """A long map on several lines, broken between its runs."""
    *pieces, last = line.split(", ")
    text = ""
    for piece in [f"{piece}," for piece in pieces] + [last]:
        if text and len(text) + len(piece) >= WIDTH:
            yield text
            text = "    " + piece
        else:
            text += " " * bool(text) + piece
    yield text


def _stored_plainly(graph: Graph) -> bool:
    """Whether the last model is stored, whole, by values called `store TENSOR`."""
    last = graph.models[-1] if graph.models else {}
    return graph.stores == {tensor: f"store {tensor}" for tensor in last} and all(
        graph.nodes.get(id)
        == Node(id, Store(tensor), (last[tensor],), graph.nodes[last[tensor]].type, len(graph.steps))
        for tensor, id in graph.stores.items()
    )


def _stores(graph: Graph) -> str:
    listed = [statement(f"{words.name(t)} = {words.value(v)}", t) for t, v in graph.stores.items()]
    return _block("store", lines(fold(listed), "  "))
