"""Learned steps in the IR: typed, proved, printed and read back; every planted fault is found."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from growplan.check.typed import TypedPlan
from growplan.diagnostics import DiagnosticError
from growplan.ir.graph import Graph, LearnedLaw, Node, Step, TensorType, Widened
from growplan.ir.lower import lower
from growplan.ir.primitives import AddLeaf, BlendLayers, Leaf, Load, Primitive, Project, Store, Transform
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
    "general": ("gpt2", GPT2, f"{WIDE} via ligo on c.txt, init fpi, tying layer"),
    "general, whole heads": (
        "smollm",
        LLAMA,
        "grow hidden 16→24, ffn 6→7, depth 2→4 via ligo on c.txt, init lemon",
    ),
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


def made_anew() -> Graph:
    """Two layers of a matrix become three: blended, both dimensions made anew, a residual added."""
    out = Graph(models=[{}, {}])
    for i in range(2):
        out.models[0][f"h.{i}.w"] = _node(out, f"h.{i}.w@0", Load(f"h.{i}.w"), (), (6, 4), 0)
    leaves = {"w": (3, 2), "e": (5, 3), "d": (7, 4), "n.0": (10, 7), "n.1": (10, 7), "n.2": (10, 7)}
    for name, shape in leaves.items():
        _node(out, f"{name}@1", Leaf(name, shape, "F32", "trainable"), (), shape, 1)
    laws = []
    for i in range(3):
        tensor, old = f"h.{i}.w", tuple(out.models[0].values())
        value = _node(out, f"{tensor}@1.1", BlendLayers(i), ("w@1", *old), (6, 4), 1)
        value = _node(out, f"{tensor}@1.2", Transform(0, 0, 3, 2), (value, "e@1"), (10, 4), 1)
        value = _node(out, f"{tensor}@1.3", Transform(1, 0, 4), (value, "d@1"), (10, 7), 1)
        value = _node(out, f"{tensor}@1.4", AddLeaf(), (value, f"n.{i}@1"), (10, 7), 1)
        out.models[1][tensor] = value
        out.stores[tensor] = _node(out, f"store {tensor}", Store(tensor), (value,), (10, 7), 1)
        sides = (Widened(0, 0, 3, 2, "e", True), Widened(1, 0, 4, 1, "d", True))
        laws.append(LearnedLaw(tensor, "h.0.w", 2, "w", i, sides, residual=f"n.{i}"))
    out.steps.append(Step(1, "s", "by hand", "none", "here:1:1", learned=tuple(laws)))
    return out


def _node(
    graph: Graph, id: str, op: Primitive, inputs: tuple[str, ...], shape: tuple[int, ...], k: int
) -> str:
    return graph.add(Node(id, op, inputs, TensorType(shape, "F32"), k))


def test_made_anew_is_proved_and_read_back() -> None:
    made = made_anew()
    assert verify(made) == []
    assert parse_ir(print_ir(made)) == made
    missed = [mutant.what for mutant in mutants(made) if not verify(mutant.graph)]
    assert missed == []


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
    yield "past the end, anew", Transform(0, 4, 3), (X, TensorType((1, 3), "F32")), "up to 7"
    yield "columns for others, anew", Transform(0, 0, 3, 2), (X, W), "on 3 units"
    yield "a leaf of another shape", AddLeaf(), (X, W), "another shape"


@pytest.mark.parametrize(("op", "inputs", "reason"), [p[1:] for p in bad()], ids=[p[0] for p in bad()])
def test_mistypes(op: Any, inputs: tuple[TensorType, ...], reason: str) -> None:
    with pytest.raises(Mistype, match=reason):
        result_type(op, inputs)


def test_types() -> None:
    assert result_type(BlendLayers(2), (W, X, X)) == X
    assert result_type(Project(0, 2, 2, 2), (X, W)) == TensorType((12, 4), "F32")
    assert result_type(Project(1, 1, 2), (X, W)) == TensorType((6, 7), "F32")
    assert result_type(Transform(0, 2, 2, 2), (X, W)) == TensorType((8, 4), "F32")
    assert result_type(Transform(1, 0, 2), (X, W)) == TensorType((6, 5), "F32")
    assert result_type(AddLeaf(), (X, X)) == X


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
