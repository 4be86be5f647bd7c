"""Learned steps in the IR: typed, proved, printed and read back; every planted fault is found."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from growplan.check.typed import TypedPlan
from growplan.diagnostics import DiagnosticError
from growplan.ir.graph import Graph, TensorType
from growplan.ir.lower import lower
from growplan.ir.primitives import BlendLayers, Leaf, Project
from growplan.ir.text import parse_ir, print_ir
from growplan.ir.typing import Mistype, result_type
from growplan.ir.verify import verify
from tests.check.models import check
from tests.ir.mutants import mutants

GPT2: dict[str, Any] = {
    "n_embd": 8,
    "n_head": 2,
    "n_layer": 2,
    "n_inner": 6,
    "vocab_size": 5,
    "n_positions": 4,
}
LLAMA: dict[str, Any] = {
    "hidden_size": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "intermediate_size": 6,
    "vocab_size": 5,
}
WIDE = "grow hidden 8→12, ffn 6→7, depth 2→3"
LINES = {
    "official": ("gpt2", GPT2, f"{WIDE} via ligo on c.txt, tying layer"),
    "shared": ("gpt2", GPT2, f"{WIDE} via ligo on c.txt, tying shared"),
    "width-first": ("gpt2", GPT2, f"{WIDE} via ligo on c.txt, tying layer, order width-first"),
    "whole heads": (
        "smollm",
        LLAMA,
        "grow hidden 16→24, ffn 6→7, kv_heads 2→3 via ligo on c.txt, tying layer",
    ),
}


def typed(name: str) -> TypedPlan:
    family, config, line = LINES[name]
    return check(family, line, **config)


@cache
def graph(name: str) -> Graph:
    return lower(typed(name))


@pytest.mark.parametrize("name", LINES)
def test_proved_and_read_back(name: str) -> None:
    made = graph(name)
    assert verify(made) == []
    assert parse_ir(print_ir(made)) == made


@pytest.mark.parametrize("name", LINES)
def test_every_mutant_is_found(name: str) -> None:
    some = list(mutants(graph(name)))[:: 1 if name == "official" else 5]
    assert [mutant.what for mutant in some if not verify(mutant.graph)] == []
    assert len(some) > 200


def test_layers_are_one_loop() -> None:
    text = print_ir(graph("official"))
    assert text.count("blend_layers") == 12  # once for each tensor of a layer
    assert "| blend_layers {i}" in text
    assert "by grow-hidden-ffn-depth/q.{i}" in text


def test_a_source_of_another_step_is_none() -> None:
    """A tensor is made of the model before its own step, not of an earlier one."""
    family, config, line = LINES["official"]
    made = lower(check(family, f"widen ffn 6→7 via fpi; {line.replace('ffn 6→7, ', '')}", **config))
    assert verify(made) == []
    node = next(n for n in made.nodes.values() if isinstance(n.op, BlendLayers) and "c_fc.bias" in n.id)
    first = made.models[0]["transformer.h.0.mlp.c_fc.bias"]
    wrong = type(node)(node.id, node.op, (node.inputs[0], first, *node.inputs[2:]), node.type, node.step)
    found = verify(Graph({**made.nodes, node.id: wrong}, made.models, made.steps, made.stores))
    assert {d.code for d in found} & {"GP256", "GP262"}


# types ---------------------------------------------------------------------------------------------

X, W = TensorType((6, 4), "F32"), TensorType((3, 2), "F32")


def bad() -> Iterator[tuple[str, Any, tuple[TensorType, ...], str]]:
    yield "no layers", BlendLayers(0), (W,), "the tensor of each layer"
    yield "three layers of two", BlendLayers(0), (W, X, X, X), "no row 0 for 3 layers"
    yield "a row too far", BlendLayers(3), (W, X, X), "no row 3"
    yield "layers that differ", BlendLayers(0), (W, X, TensorType((6, 5), "F32")), "layers differ"
    yield "past the end", Project(0, 4, 3), (X, TensorType((1, 3), "F32")), "up to 7"
    yield "no units", Project(0, 0, 0), (X, TensorType((1, 0), "F32")), "at least one unit"
    yield "columns for others", Project(0, 0, 3, 2), (X, W), "on 3 units"
    yield "no such dim", Project(2, 0, 2), (X, W), "no dim 2"


@pytest.mark.parametrize(("op", "inputs", "reason"), [p[1:] for p in bad()], ids=[p[0] for p in bad()])
def test_mistypes(op: Any, inputs: tuple[TensorType, ...], reason: str) -> None:
    with pytest.raises(Mistype, match=reason):
        result_type(op, inputs)


def test_types() -> None:
    assert result_type(BlendLayers(2), (W, X, X)) == X
    assert result_type(Project(0, 2, 2, 2), (X, W)) == TensorType((12, 4), "F32")
    assert result_type(Project(1, 1, 2), (X, W)) == TensorType((6, 7), "F32")


@pytest.mark.parametrize("words", ["dim 0 at 0:7 units of 2", "dim 0 at 0:2, 3:4", "dim 0 at 4:2"])
def test_a_section_is_whole_units(words: str) -> None:
    made = print_ir(graph("shared"))
    line = next(line for line in made.splitlines() if "| project dim 1 at 0:8 with" in line)
    with pytest.raises(DiagnosticError) as error:
        parse_ir(made.replace(line, line.replace("dim 1 at 0:8", words), 1))
    assert error.value.diagnostics[0].code == "GP250"


def test_leaves_are_the_steps() -> None:
    made, (step,) = graph("official"), typed("official").steps
    leaves = [n.op for n in made.nodes.values() if isinstance(n.op, Leaf)]
    assert [(leaf.leaf, leaf.shape) for leaf in leaves] == [(s.name, s.shape) for s in step.leaves]
    assert {leaf.kind for leaf in leaves} == {"trainable"}
