from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from growplan.algebra import Expansion, Root, Run
from growplan.backend import executor
from growplan.backend.evaluate import Evaluation, ModelView, evaluate, read_rows
from growplan.backend.executor import Progress, block_rows, execute
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.layout import plan_shards
from growplan.checkpoint.reader import open_reader
from growplan.checkpoint.writer import Writer
from growplan.ir.graph import Graph
from growplan.ir.primitives import CopyLayer, DuplicateRow, Fresh, LnAverage, RescaleNorm, SplitColumn
from tests.backend.dense import random
from tests.backend.graphs import Builder, memory, on_disk

OLD, NEW = 300, 700


def source(dtype: str) -> dict[str, Tensor]:
    return {
        "w": random((OLD, 40), dtype, 1),
        "v": random((40, OLD), dtype, 2),
        "g": random((OLD,), dtype, 3),
        "n": random((3,), dtype, 4),
        "ids": random((1, 5), dtype, 5),
    }


def grown(tensors: dict[str, Tensor]) -> Graph:
    """Two steps over every kind of primitive."""
    b = Builder(tensors)
    copies = Expansion(OLD, (Run("copy", OLD), Run("copy", OLD), Run("hole", NEW - 2 * OLD)))
    rest = ((2 * OLD, NEW),)
    for tensor, dim in (("w", 0), ("g", 0)):
        old = b.now[tensor]
        b.apply(tensor, DuplicateRow(dim, copies), size=NEW)
        b.apply(tensor, LnAverage(dim, rest, Root()), old)
    old = b.now["v"]
    b.apply("v", SplitColumn(1, copies, "uneven", "0/v"), size=NEW)
    b.apply("v", Fresh(1, rest, "like", "0/v/null"), old)
    b.step()
    b.apply("g", RescaleNorm(Root.rational(3)))
    old = b.now["w"]
    wider = Expansion(40, (Run("copy", 40), Run("copy", 10, 5), Run("hole", 10)))
    b.apply("w", SplitColumn(1, wider, "uneven", "1/w"), size=60)
    b.apply("w", LnAverage(1, ((50, 60),), Root()), old)
    b.now["n2"] = b.now["n"]
    b.apply("n2", CopyLayer(0, 1))
    b.step()
    return b.finish()


def run(graph: Graph, src: Path, out: Path, **options: object) -> dict[str, str]:
    out.mkdir()
    types = {t: graph.nodes[v].type for t, v in graph.stores.items()}
    layout = plan_shards({t: (ty.dtype, ty.shape) for t, ty in types.items()})
    with open_reader(read_headers(src)) as reader, Writer(out, layout) as writer:
        return execute(graph, reader, writer, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", ["F64", "F32", "BF16", "F16"])
def test_the_written_file_is_the_last_model(tmp_path: Path, dtype: str) -> None:
    tensors = source(dtype)
    graph = grown(tensors)
    seen: list[Progress] = []
    sums = run(graph, on_disk(tmp_path / "src", tensors), tmp_path / "out", progress=seen.append)
    written = load_file(tmp_path / "out" / "model.safetensors")
    view = ModelView(graph, 2, memory(tensors), rounded=True)
    assert set(written) == set(sums) == {"w", "v", "g", "n", "n2", "ids"}
    for name, tensor in written.items():
        assert torch.equal(tensor, view.get(name)), name
        raw = tensor.view(torch.uint8).numpy().tobytes()
        assert hashlib.sha256(raw).hexdigest() == sums[name]
    assert seen[-1].done == seen[-1].total == sum(t.nbytes for t in written.values())


def test_neither_memory_nor_threads_change_a_byte(tmp_path: Path) -> None:
    tensors = source("BF16")
    graph, src = grown(tensors), on_disk(tmp_path / "src", tensors)
    threads, sums = torch.get_num_threads(), []
    try:
        for i, (memory_, n) in enumerate([(1 << 30, 1), (1 << 14, 2), (1, 1)]):
            torch.set_num_threads(n)
            sums.append(run(graph, src, tmp_path / f"out{i}", memory=memory_))
    finally:
        torch.set_num_threads(threads)
    assert sums[0] == sums[1] == sums[2]


def test_blocks_fit_the_budget() -> None:
    node = next(n for n in grown(source("BF16")).nodes.values() if n.type.shape == (NEW, 60))
    assert block_rows(node, 1 << 30) == NEW
    assert block_rows(node, 60 * 4 * 6 * 10) == 10
    assert block_rows(node, 0) == 1


def test_workers_share_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = source("F32")
    graph, src = grown(tensors), on_disk(tmp_path / "src", tensors)
    given: list[int] = []
    real = executor._write_blocks
    monkeypatch.setattr(executor, "_write_blocks", lambda *a: (given.append(a[-1]), real(*a)))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        run(graph, src, tmp_path / "out", memory=1 << 20)
    finally:
        torch.set_num_threads(threads)
    assert set(given) == {1 << 19}


def test_a_failing_write_surfaces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise OSError("disk on fire")

    monkeypatch.setattr(Writer, "write", broken)
    tensors = source("F32")
    with pytest.raises(OSError, match="on fire"):
        run(grown(tensors), on_disk(tmp_path / "src", tensors), tmp_path / "out")


def test_a_value_with_several_readers_is_evaluated_once() -> None:
    tensors = {"w": random((4, 6))}
    b = Builder(tensors)
    for k in range(12):  # without a memo: 2^12 evaluations
        old = b.now["w"]
        b.apply("w", LnAverage(1, ((0, 1),), Root()), old)
        if k % 3 == 2:
            b.step()
    reads: list[str] = []

    def read(name: str, first: int, last: int) -> Tensor:
        reads.append(name)
        return tensors[name][first:last]

    evaluate(b.finish(), b.now["w"], read)
    assert len(reads) <= 4


def test_scattered_rows_are_read_right() -> None:
    x = random((500, 2))
    read = memory({"x": x})
    for index in ([3], [4, 5, 6, 9], [9, 8, 7], list(range(0, 500, 2)), list(range(499, 0, -7)), []):
        rows = torch.tensor(index, dtype=torch.int64)
        assert torch.equal(read_rows(read, "x", rows), x[rows])


def test_model_zero_is_read_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a fault in `load` cannot hide on both sides of a comparison."""
    tensors = source("F32")
    graph = grown(tensors)
    monkeypatch.setattr(Evaluation, "whole", lambda *_: pytest.fail("used the kernels"))
    assert torch.equal(ModelView(graph, 0, memory(tensors)).get("w"), tensors["w"])


def test_a_model_view_keeps_little() -> None:
    tensors = source("F32")
    view = ModelView(grown(tensors), 2, memory(tensors), keep=1)
    first = view.get("w")
    assert view.get("w") is first
    view.get("v")
    assert view.get("w") is not first and torch.equal(view.get("w"), first)
    assert "w" in view and "missing" not in view and view.dtype("w") == "F32"


def test_values_agree_on_every_device_that_is_here() -> None:
    """On a machine with a GPU: the same bits; elsewhere this compares the CPU with itself."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tensors = source("BF16")
    graph = grown(tensors)
    for name in graph.models[2]:
        here = ModelView(graph, 2, memory(tensors), rounded=True).get(name)
        there = ModelView(graph, 2, memory(tensors), device, rounded=True).get(name)
        assert torch.equal(here, there.cpu()), name
