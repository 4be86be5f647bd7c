"""One step of a graph as text: what it sets, its tensors, what is measured of its modules."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from growplan.ir.graph import Graph, ModuleLaw, Step
from growplan.ir.primitives import Drawn
from growplan.ir.text import words
from growplan.ir.text.fold import Statement, fold, lines, mark_number, statement
from growplan.ir.text.learned_text import group_text
from growplan.ir.text.names import Names, wrapped
from growplan.ir.text.tensor_text import TensorTexts, main_line

COMMENT = re.compile(r"\S(?:[^\n]*\S)?")


class StepText:
    """Prints step `k`. `done` are the values that earlier text has defined; it grows."""

    def __init__(self, graph: Graph, k: int, done: set[str]) -> None:
        self.graph, self.k = graph, k
        self.step: Step = graph.steps[k - 1]
        self.before, self.after = graph.models[k - 1], graph.models[k]
        self.names = Names(self.step.stream, self._key_prefix(done))
        self.tensors = TensorTexts(graph, k, done, self.names)

    def text(self) -> str:
        """The whole block, from `step` to its closing brace."""
        statements = [*self.tensors.statements(), *self.tensors.lets(), *self._drops()]
        measures = [self._measure(law) for law in self.step.modules]
        order = [*self.before, *self.after]
        body = [lines(fold(part, order), "  ") for part in (statements, measures)]
        head = [*self._head(), *self.names.definitions()]  # last: statements give maps their names
        comment = f"  // {self.step.origin}" if COMMENT.fullmatch(self.step.origin) else ""
        blocks = ["\n".join(block) for block in (head, *body) if block]
        start = f"step {self.step.index} {words.word(self.step.id)} {{{comment}\n"
        return start + "\n\n".join(blocks) + "\n}"

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
            yield from wrapped("  layers " + ", ".join(_layer_runs(step.layers)))
        yield from map(group_text, step.groups)
        if self.names.keys:
            yield f"  keys {words.quoted(self.names.keys)}"
        if step.stream is not None:
            yield from wrapped(f"  stream {words.inline(step.stream)}")

    def _sizes(self) -> Iterator[str]:
        """All sizes, or those that changed and `rest same`."""
        before = self.graph.steps[self.k - 2].sizes if self.k > 1 else ()
        sizes = [pair for pair in self.step.sizes if pair not in before]
        shorter = bool(before) and tuple(sorted({**dict(before), **dict(sizes)}.items())) == self.step.sizes
        for axis, n in sizes if shorter else self.step.sizes:
            yield f"{words.word(axis)} {n}"
        if shorter:
            yield "rest same"

    def _key_prefix(self, done: set[str]) -> str:
        """P when every draw of a tensor T in this step has a key of the form P/T/part."""
        prefixes: set[str] = set()
        for tensor, value in self.after.items():
            for node in main_line(self.graph, value, self.k, done):
                if isinstance(node.op, Drawn) and node.op.key:
                    prefix, found, _ = node.op.key.rpartition(f"/{tensor}/")
                    prefixes.add(prefix if found else "")
        return prefixes.pop() if len(prefixes) == 1 else ""

    def _drops(self) -> Iterator[Statement]:
        for tensor in self.before:
            if tensor not in self.after:
                yield statement(f"drop {words.name(tensor)}", tensor, "drop ")

    def _measure(self, law: ModuleLaw) -> Statement:
        at = "" if law.layer is None and law.source_layer is None else f" at {_layer(law.layer)}"
        origin = "" if law.source_layer == law.layer else f" from {_layer(law.source_layer)}"
        e_in = "none" if law.e_in is None else self.names.map(law.e_in)
        exact = "" if law.exact else ", approximate"
        module = words.word(law.module)
        text = f"measure {module}{at}{origin} {law.kind}: {e_in} -> {self.names.map(law.e_out)}{exact}"
        return Statement(text, law.layer, "measure", law.module)


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
