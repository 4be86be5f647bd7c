"""Tensor rings in the IR: types, and Mango's steps proved, printed and read back."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.ir.graph import Graph, TensorType
from growplan.ir.lower import lower
from growplan.ir.passes import run_passes
from growplan.ir.primitives import CoreMatrix, Cut, Join, Pack, RingMap
from growplan.ir.text import parse_ir, print_ir
from growplan.ir.typing import Mistype, result_type
from growplan.ir.verify import verify
from tests.check.models import check
from tests.ir.mutants import mutants
from tests.ir.test_learned import GPT2, LLAMA


def f32(*shape: int) -> TensorType:
    return TensorType(shape, "F32")


CORES = (f32(2, 3, 4, 3), f32(3, 2, 5, 1), f32(1, 2, 3, 4), f32(4, 3, 6, 2))
OLD = (f32(3, 4, 3), f32(3, 4, 3))  # a unit that is written is two slices


def test_types() -> None:
    assert result_type(RingMap(2, Cut(0, 4, 2)), CORES + OLD) == f32(20, 12)
    assert result_type(RingMap(2, Cut(1, 3, 1, True)), CORES + OLD) == f32(6, 30)
    assert result_type(Pack(2, 3, (Cut(0, 4, 2), Cut(1, 2))), (f32(4, 6), f32(5, 3))) == f32(6, 2, 3)
    assert result_type(Pack(2, 3, (Cut(0, 4, 2, True),)), (f32(6, 4),)) == f32(4, 2, 3)
    assert result_type(CoreMatrix(), CORES[:1]) == f32(4, 3)
    assert result_type(Join(1), (f32(2, 3), f32(2, 4))) == f32(2, 7)


def bad() -> Iterator[tuple[str, Any, tuple[TensorType, ...], str]]:
    s_b, s_o, s_l, s_i = CORES
    yield "no layers", RingMap(0, Cut(0, 1)), CORES, "each old layer"
    yield "a bond open", RingMap(0, Cut(0, 1)), (s_b, s_o, s_l, f32(3, 3, 6, 2), *OLD), "last bond of S_L"
    yield "the ring open", RingMap(0, Cut(0, 1)), (s_b, s_o, s_l, f32(4, 3, 6, 1), *OLD), "last bond of S_I"
    yield "no core", RingMap(0, Cut(0, 1)), (f32(3, 4), s_o, s_l, s_i, *OLD), "S_B is no core"
    yield "a layer too many", RingMap(0, Cut(0, 1)), (*CORES, *OLD, OLD[0]), "3 layers of 3 blocks"
    yield "a block too many", RingMap(0, Cut(0, 1)), (*CORES, *(f32(4, 4, 3),) * 2), "2 layers of 4 blocks"
    yield "half a unit", RingMap(0, Cut(0, 1)), (*CORES, *(f32(3, 5, 3),) * 2), "no whole units"
    yield "layers that differ", RingMap(0, Cut(0, 1)), (*CORES, OLD[0], f32(3, 4, 6)), "same blocks"
    yield "a layer past the last", RingMap(3, Cut(0, 1)), CORES + OLD, "no layer 3"
    yield "a block past the last", RingMap(0, Cut(2, 3)), CORES + OLD, "blocks up to 5"
    yield "no blocks", RingMap(0, Cut(0, 0)), CORES + OLD, "no grid"
    yield "no whole line", RingMap(0, Cut(0, 3, 2)), CORES + OLD, "no grid"
    yield "a cut too few", Pack(2, 3, (Cut(0, 1),)), (f32(2, 3), f32(2, 3)), "1 cuts for 2"
    yield "past the rows", Pack(2, 3, (Cut(1, 1),)), (f32(2, 3),), "has no 1 x 1 blocks"
    yield "other columns", Pack(2, 3, (Cut(0, 1),)), (f32(2, 6),), "has no 1 x 1 blocks"
    yield "two dtypes", Pack(2, 3, (Cut(0, 1),) * 2), (f32(2, 3), TensorType((2, 3), "BF16")), "one dtype"
    yield "of a vector", Pack(1, 3, (Cut(0, 1),)), (f32(3),), "matrices"
    yield "of nothing", Pack(0, 3, (Cut(0, 1),)), (f32(2, 3),), "hold nothing"
    yield "a matrix of a matrix", CoreMatrix(), (f32(2, 3),), "two bonds"
    yield "parts that differ", Join(0), (f32(2, 3), f32(2, 4)), "cannot follow"
    yield "along nothing", Join(2), (f32(2, 3),), "along 2"


@pytest.mark.parametrize(("op", "inputs", "reason"), [p[1:] for p in bad()], ids=[p[0] for p in bad()])
def test_mistypes(op: Any, inputs: tuple[TensorType, ...], reason: str) -> None:
    with pytest.raises(Mistype, match=reason):
        result_type(op, inputs)


# steps ---------------------------------------------------------------------------------------------

WIDE = "grow hidden 8→12, ffn 16→24, depth 2→3 via mango on c.txt"
LINES: dict[str, tuple[str, dict[str, Any], str]] = {
    "one ring": ("gpt2", GPT2 | {"n_inner": 16}, f"{WIDE}, rank 2"),
    "an ffn of its own": ("gpt2", GPT2, "grow hidden 8→12, ffn 6→7 via mango on c.txt, mix heads"),
    "grouped heads": ("smollm", LLAMA, "grow hidden 16→24, ffn 6→7, kv_heads 2→3 via mango on c.txt"),
    "after another step": ("gpt2", GPT2, f"widen ffn 6→16; {WIDE}"),
}


@cache
def graph(name: str) -> Graph:
    family, config, line = LINES[name]
    return lower(check(family, line, **config))


@pytest.mark.parametrize("name", LINES)
def test_proved_and_read_back(name: str) -> None:
    made = graph(name)
    assert verify(made) == []
    assert parse_ir(print_ir(made)) == made
    run_passes(made)  # verifies between passes that each stores the same


@pytest.mark.parametrize("name", LINES)
def test_every_mutant_is_found(name: str) -> None:
    some = list(mutants(graph(name)))[:: 1 if name == "one ring" else 4]
    assert [mutant.what for mutant in some if not verify(mutant.graph)] == []
    assert len(some) > 150


def test_what_a_ring_reads_is_implied() -> None:
    """Cores and packed layers stand in the group, once for all tensors; other inputs are spelled out."""
    text = print_ir(graph("one ring"))
    assert text.count("| ring_map {i} at 0:3 transposed\n") == 1
    made = graph("one ring")
    node = made.nodes["transformer.h.0.attn.c_attn.weight@1.1"]
    wrong = type(node)(node.id, node.op, (*node.inputs[:4], *node.inputs[:3:-1]), node.type, node.step)
    other = Graph({**made.nodes, node.id: wrong}, made.models, made.steps, made.stores)
    assert " with %" in print_ir(other)
    assert parse_ir(print_ir(other)) == other
    assert {d.code for d in verify(other)} == {"GP274"}


@pytest.mark.parametrize("words", ["at 3:1", "at 0:3 across 2"])
def test_a_cut_is_whole_blocks(words: str) -> None:
    text = print_ir(graph("one ring")).replace("| ring_map {i} at 0:3", f"| ring_map {{i}} {words}", 1)
    with pytest.raises(DiagnosticError) as error:
        parse_ir(text)
    assert error.value.diagnostics[0].code in ("GP250", "GP256")


def test_weights_of_several_dtypes_are_no_ring() -> None:
    family, config, line = LINES["one ring"]
    typed = check(family, line, **config)
    model = typed.source
    types = {n: TensorType(model.shape(p), "BF16" if "c_fc" in n else "F32") for n, p, _ in model.tensors()}
    with pytest.raises(DiagnosticError, match=r"GP537.*BF16 and F32"):
        lower(typed, types)
