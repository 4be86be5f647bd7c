"""Plans on tiny random checkpoints, compiled as far as the lowered graph."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from torch import Tensor

from growplan.backend.assertions import Measurement, assert_step, written_equals
from growplan.backend.evaluate import with_leaves
from growplan.backend.executor import execute, reader_rows
from growplan.check import check_plan
from growplan.check.typed import TypedPlan
from growplan.checkpoint.config import read_config
from growplan.checkpoint.headers import Headers, read_headers
from growplan.checkpoint.layout import plan_shards
from growplan.checkpoint.reader import open_reader
from growplan.checkpoint.writer import Writer
from growplan.families import bind, detect
from growplan.ir.graph import Graph, TensorType
from growplan.ir.lower import lower
from growplan.ir.primitives import Leaf
from growplan.language import parse_text
from tests.backend.dense import random
from tests.tiny import tiny_checkpoint


@dataclass(frozen=True)
class Case:
    """A typed plan with the graph it lowers to, and where its source lies."""

    source: Path
    headers: Headers
    typed: TypedPlan
    graph: Graph

    @property
    def leaves(self) -> dict[str, Tensor]:
        """Any values at all for the graph's leaves, the same in every call."""
        ops = (node.op for node in self.graph.nodes.values())
        leaves = [op for op in ops if isinstance(op, Leaf)]
        return {op.leaf: random(op.shape, op.dtype, seed) for seed, op in enumerate(leaves)}

    def assert_all(self) -> list[Measurement]:
        with open_reader(self.headers) as reader:
            read = with_leaves(reader_rows(reader), self.leaves)
            return [assert_step(self.graph, s.index, s.before, s.after, read) for s in self.typed.steps]

    def write(self, out: Path, graph: Graph | None = None) -> dict[str, str]:
        graph = graph or self.graph
        out.mkdir()
        types = {t: graph.nodes[v].type for t, v in graph.stores.items()}
        layout = plan_shards({t: (ty.dtype, ty.shape) for t, ty in types.items()})
        with open_reader(self.headers) as reader, Writer(out, layout) as writer:
            return execute(graph, reader, writer, leaves=self.leaves)

    def compare_written(self, out: Path) -> None:
        with open_reader(self.headers) as reader, open_reader(read_headers(out)) as written:
            read = with_leaves(reader_rows(reader), self.leaves)
            written_equals(self.graph, read, reader_rows(written))


@cache
def source(family: str, dtype: str, config: tuple[tuple[str, Any], ...] = ()) -> Path:
    """A tiny checkpoint, written once per test run."""
    path = Path(mkdtemp(prefix="growplan-test-")) / "source"
    return tiny_checkpoint(family, path, dtype=dtype, **dict(config))


@cache
def case(family: str, *steps: str, dtype: str = "float32", config: tuple[tuple[str, Any], ...] = ()) -> Case:
    path = source(family, dtype, config)
    lines = "".join(f"  - {step}\n" for step in steps)
    plan = parse_text(f"growplan: 1\nsource: {path}\nsteps:\n{lines}", "test.grow.yaml")
    headers, read = read_headers(path), read_config(path)
    typed = check_plan(plan, bind(detect(read), read, headers.tensors))
    types = {name: TensorType(tuple(t.shape), t.dtype) for name, t in headers.tensors.items()}
    return Case(path, headers, typed, lower(typed, types))
