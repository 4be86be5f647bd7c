"""The differentiable rules against the ordinary kernels, and against finite differences."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from growplan.backend.evaluate import Evaluation, with_leaves
from growplan.ir.primitives import AddLeaf, BlendLayers, Project, Transform
from growplan.learn.materialise import RULES, Materialiser, add_leaf, blend_layers, project, transform
from tests.learn.handmade import Builder, bound, grown, random_leaves, read_of
from tests.tiny import tiny_checkpoint

GPT2 = {"hidden": 64, "heads": 8, "ffn": 224, "depth": 3}
BERT = {"hidden": 64, "heads": 8, "ffn": 96, "depth": 5}
LLAMA = {"hidden": 64, "heads": 8, "kv_heads": 4, "ffn": 96, "depth": 3}
VIT = {"hidden": 64, "heads": 8, "ffn": 96, "depth": 3}


@pytest.mark.parametrize(
    ("family", "sizes"), [("gpt2", GPT2), ("bert", BERT), ("llama", LLAMA), ("vit", VIT)]
)
def test_makes_what_the_kernels_make(tmp_path: Path, family: str, sizes: dict[str, int]) -> None:
    source = tiny_checkpoint(family, tmp_path / "m", dtype="float64")
    old = bound(source)
    graph, read = Builder(old, grown(old, sizes)).build(), read_of(source)
    make = Materialiser(graph, 1, read)
    assert make.dtype == torch.float64
    leaves = random_leaves(make.shapes, torch.float64)
    ordinary = Evaluation(graph, with_leaves(read, leaves))
    made = make(leaves)
    assert made.keys() == graph.models[1].keys()
    for name, value in graph.models[1].items():
        expected = ordinary.whole(value)
        assert made[name].shape == graph.nodes[value].type.shape
        torch.testing.assert_close(made[name], expected, rtol=1e-12, atol=1e-12)


def test_every_value_is_made_once_in_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m")
    old = bound(source)
    graph = Builder(old, grown(old, GPT2)).build()
    graph.models[1]["again"] = graph.models[1]["transformer.wte.weight"]
    make = Materialiser(graph, 1, read_of(source))
    calls: list[object] = []
    monkeypatch.setitem(RULES, Project, lambda op, inputs: (calls.append(op), project(op, inputs))[1])
    made = make(random_leaves(make.shapes, torch.float32))
    assert len(calls) == sum(isinstance(node.op, Project) for node in graph.nodes.values())
    assert any(made["again"] is tensor for name, tensor in made.items() if name != "again")


def test_a_value_that_no_leaf_reaches_is_made_once_for_all(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "m")
    old = bound(source)
    graph = Builder(old, grown(old, {"ffn": 224})).build()
    make = Materialiser(graph, 1, read_of(source))
    leaves = random_leaves(make.shapes, torch.float32)
    first, second = make(leaves), make(leaves)
    same = {name for name in first if first[name] is second[name]}
    assert same == {
        "transformer.wte.weight",
        "transformer.wpe.weight",
        "transformer.ln_f.weight",
        "transformer.ln_f.bias",
    }


@pytest.mark.parametrize(
    ("op", "x", "c"),
    [
        (Project(0, 0, 3), (3, 4), (2, 3)),
        (Project(1, 0, 4), (3, 4), (2, 4)),
        (Project(0, 2, 3), (7, 2), (2, 3)),
        (Project(1, 1, 2, 3), (2, 8), (3, 2)),
        (Project(0, 0, 2, 3), (6, 2), (1, 2)),
        (Project(0, 0, 3), (3,), (2, 3)),
        (Project(2, 0, 3), (1, 1, 3), (2, 3)),
        (Project(0, 0, 3), (3, 2, 2, 2), (2, 3)),
        (Project(1, 0, 2), (3, 2, 2), (1, 2)),
    ],
)
def test_project_has_the_gradient_of_what_it_computes(
    op: Project, x: tuple[int, ...], c: tuple[int, int]
) -> None:
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(s, generator=random, dtype=torch.float64, requires_grad=True) for s in (x, c)]
    assert torch.autograd.gradcheck(lambda *given: project(op, given), inputs)
    y = project(op, inputs)
    old = inputs[0].movedim(op.dim, 0)[op.start : op.stop].reshape(op.count, op.inner, -1)
    new = y.movedim(op.dim, 0)[op.stop : op.stop + len(inputs[1]) * op.inner]
    expected = torch.einsum("nc,cik->nik", inputs[1], old).reshape(new.shape)
    torch.testing.assert_close(new, expected)
    kept = torch.cat([y.movedim(op.dim, 0)[: op.stop], y.movedim(op.dim, 0)[op.stop + len(new) :]])
    assert torch.equal(kept, inputs[0].movedim(op.dim, 0))


@pytest.mark.parametrize(
    ("op", "x", "b"),
    [
        (Transform(0, 0, 3), (3, 4), (5, 3)),
        (Transform(1, 0, 4), (3, 4), (6, 4)),
        (Transform(0, 2, 3), (7, 2), (2, 3)),
        (Transform(1, 1, 2, 3), (2, 8), (3, 2)),
        (Transform(0, 0, 3), (3,), (5, 3)),
        (Transform(0, 1, 3), (5,), (4, 3)),
        (Transform(0, 0, 3), (3, 2, 2, 2), (2, 3)),
    ],
)
def test_transform_has_the_gradient_of_what_it_computes(
    op: Transform, x: tuple[int, ...], b: tuple[int, int]
) -> None:
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(s, generator=random, dtype=torch.float64, requires_grad=True) for s in (x, b)]
    assert torch.autograd.gradcheck(lambda *given: transform(op, given), inputs)
    slices = inputs[0].movedim(op.dim, 0)
    units = slices[op.start : op.stop].reshape(op.count, op.inner, -1)
    new = torch.einsum("nc,cik->nik", inputs[1], units).reshape(-1, *slices.shape[1:])
    expected = torch.cat([slices[: op.start], new, slices[op.stop :]])
    torch.testing.assert_close(transform(op, inputs), expected.movedim(0, op.dim))


def test_add_leaf_has_the_gradient_of_what_it_computes() -> None:
    random = torch.Generator().manual_seed(0)
    inputs = [torch.randn(3, 4, generator=random, dtype=torch.float64, requires_grad=True) for _ in "xn"]
    assert torch.autograd.gradcheck(lambda *given: add_leaf(AddLeaf(), given), inputs)
    assert torch.equal(add_leaf(AddLeaf(), inputs), inputs[0] + inputs[1])


def test_blend_layers_has_the_gradient_of_what_it_computes() -> None:
    random = torch.Generator().manual_seed(0)
    shapes = [(3, 2), (4, 5), (4, 5)]
    inputs = [torch.randn(s, generator=random, dtype=torch.float64, requires_grad=True) for s in shapes]
    assert torch.autograd.gradcheck(lambda *given: blend_layers(BlendLayers(1), given), inputs)
    weights, a, b = inputs
    torch.testing.assert_close(blend_layers(BlendLayers(2), inputs), weights[2, 0] * a + weights[2, 1] * b)


def test_gradients_of_a_whole_model_are_those_of_its_rules(tmp_path: Path) -> None:
    """The product that makes all layers of a blend at once, against finite differences."""
    source = tiny_checkpoint(
        "gpt2", tmp_path / "m", dtype="float64", n_embd=4, n_head=2, vocab_size=5, n_positions=3
    )
    old = bound(source)
    graph = Builder(old, grown(old, {"hidden": 6, "heads": 3, "depth": 3, "ffn": 18})).build()
    make = Materialiser(graph, 1, read_of(source))
    leaves = random_leaves(make.shapes, torch.float64)
    names = sorted(leaves)
    inputs = tuple(leaves[name].requires_grad_() for name in names)

    def squares(*given: torch.Tensor) -> torch.Tensor:
        made = make(dict(zip(names, given, strict=True)))
        return torch.stack(
            [(tensor * (1 + i)).square().sum() for i, tensor in enumerate(made.values())]
        ).sum()

    assert torch.autograd.gradcheck(squares, inputs, fast_mode=True)
