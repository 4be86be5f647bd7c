"""A graft that is not the one the paper names is refused twice: by the verifier, without weights, and by
the comparison of every element while the plan runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from growplan.algebra import Expansion, Run
from growplan.backend.evaluate import ModelView
from growplan.backend.provenance import moved
from growplan.diagnostics import DiagnosticError
from growplan.ir.graph import Above, BlockLaw, Graph, Node, Step
from growplan.ir.primitives import DuplicateRow, Graft, SplitColumn
from growplan.ir.verify import verify
from tests.backend.dense import random
from tests.backend.graphs import Builder, memory
from tests.backend.plans import Case, case

GROWTH = "grow hidden 48→64, heads 6→8, ffn {} via aki, reading {}"
PLANS = {
    "gpt2": ("gpt2", GROWTH.format("192→200", "rows"), (("n_layer", 3),)),
    "bert": ("bert", GROWTH.format("80→100", "inner"), (("num_hidden_layers", 3),)),
    "llama": (
        "llama",
        "grow hidden 48→72, heads 6→9, ffn 80→100 via aki",
        (("num_hidden_layers", 3),),
    ),
}


def made(name: str) -> Case:
    family, steps, config = PLANS[name]
    return case(family, steps, config=config)


def grafts(graph: Graph) -> list[Node]:
    return [node for node in graph.nodes.values() if isinstance(node.op, Graft)]


def with_nodes(graph: Graph, change: Callable[[Graph, Node], Node]) -> Graph:
    """`change` of the first graft of a matrix, and of everything it may rewrite before it."""
    node = next(n for n in grafts(graph) if len(n.type.shape) == 2)
    changed = change(graph, node)
    return replace(graph, nodes={**graph.nodes, changed.id: changed})


def another_layer(graph: Graph, node: Node) -> Node:
    other = node.inputs[1].replace(".1.", ".2.", 1)
    if graph.nodes[other].op != graph.nodes[node.inputs[1]].op:
        raise AssertionError("the layers are expanded apart")
    return replace(node, inputs=(node.inputs[0], other))


def own_layer(graph: Graph, node: Node) -> Node:
    return replace(node, inputs=(node.inputs[0], node.inputs[0]))


def other_rows(graph: Graph, node: Node) -> Node:
    op = node.op
    assert isinstance(op, Graft)
    return replace(node, op=replace(op, at=tuple((a - 1, b - 1) for a, b in op.at)))


def too_few(graph: Graph, node: Node) -> Node:
    op = node.op
    assert isinstance(op, Graft)
    (a, b), *rest = op.at
    return replace(node, op=replace(op, at=((a, b - 1), *rest)))


def undivided(graph: Graph, node: Node) -> Node:
    split = _gather(graph, node, SplitColumn)
    assert isinstance(split.op, SplitColumn)
    return replace(split, op=DuplicateRow(split.op.dim, split.op.map))


def uneven(graph: Graph, node: Node) -> Node:
    """Shares that still add up: the law of preservation would not see them."""
    split = _gather(graph, node, SplitColumn)
    assert isinstance(split.op, SplitColumn)
    return replace(split, op=replace(split.op, shares="uneven", key="some key"))


def another_unit(graph: Graph, node: Node) -> Node:
    gather = _gather(graph, node, DuplicateRow)
    assert isinstance(gather.op, DuplicateRow)
    e = gather.op.map
    units = [(row.unit + (i >= e.old)) % e.old for i, row in enumerate(e.rows())]
    return replace(gather, op=replace(gather.op, map=Expansion.of_units(e.old, units)))


def _gather(graph: Graph, node: Node, kind: type) -> Node:
    """The gather of this kind nearest to a graft, on the side of the layer above."""
    at = graph.nodes[node.inputs[1]]
    while not isinstance(at.op, kind):
        at = graph.nodes[at.inputs[0]]
    return at


FAULTS = [another_layer, own_layer, other_rows, too_few, undivided, uneven, another_unit]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", PLANS)
def test_a_wrong_graft_is_refused_twice(name: str, fault: Callable[[Graph, Node], Node]) -> None:
    right = made(name)
    wrong = replace(right, graph=with_nodes(right.graph, fault))
    assert {d.code for d in verify(wrong.graph)} & {"GP240", "GP262"}
    with pytest.raises(DiagnosticError) as caught:
        wrong.assert_all()
    (found,) = caught.value.diagnostics
    assert found.code == "GP504" and "first difference" in dict(found.notes)


@pytest.mark.parametrize("name", PLANS)
def test_every_rewritten_tensor_is_compared(name: str) -> None:
    right = made(name)
    (step,) = right.graph.steps
    assert verify(right.graph) == []
    (measured,) = right.assert_all()
    assert measured.rebuilt == len(step.laws) > 0 and measured.copies == 0
    changed = [t for t, v in right.graph.models[1].items() if right.graph.models[0][t] != v]
    assert sorted(law.tensor for law in step.laws) == sorted(changed)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_any_dtype(dtype: str) -> None:
    steps = "grow hidden 48→72, heads 6→9, ffn 80→100 via aki"
    for measured in case("llama", steps, dtype=dtype).assert_all():
        assert measured.passed


# the comparison alone ------------------------------------------------------------------------------

ROWS = Expansion(4, (Run("copy", 4), Run("copy", 2, 1)))
COLS = Expansion(3, (Run("copy", 3), Run("copy", 2, 0)))
LAW = BlockLaw("w", "own", ROWS, COLS, 0, 1, above=Above("up", 0, ((4, 6),)))


def rebuilt(change: Callable[[torch.Tensor], None], law: BlockLaw = LAW, dtype: str = "F32") -> list[str]:
    """What is found wrong with W* = [own rows ; rows of `up`], changed."""
    own, up = random((4, 3), dtype), random((4, 3), dtype, seed=1)
    g, h = torch.tensor([0, 1, 2, 3, 1, 2]), torch.tensor([0, 1, 2, 0, 1])
    share = torch.tensor([2.0, 2, 1, 2, 2], dtype=own.dtype)
    new = torch.cat([own[g][:4], up[g][4:]])[:, h] / share
    if law.row_dim == 1:
        new, own, up = new.T.contiguous(), own.T.contiguous(), up.T.contiguous()
    change(new)
    tensors = {"own": own, "up": up, "new": new}
    b = Builder(tensors)
    b.graph.models = [{"own": "own@0", "up": "up@0"}, {"w": "new@0"}]
    views = [ModelView(b.graph, k, memory(tensors)) for k in (0, 1)]
    step = Step(1, "s", "s", "none", "t:1:1", laws=(law,))
    return [f"{m.source}: {m.where}" for m in moved(step, *views)]


def nothing(w: torch.Tensor) -> None:
    pass


SIDEWAYS = replace(LAW, row_dim=1, col_dim=0, above=Above("up", 1, ((4, 6),)))


@pytest.mark.parametrize("law", [LAW, SIDEWAYS], ids=["out-in", "in-out"])
@pytest.mark.parametrize("dtype", ["F32", "F64"])
def test_what_the_law_says_passes(law: BlockLaw, dtype: str) -> None:
    assert rebuilt(nothing, law, dtype) == []


def test_one_element_is_named_with_its_source() -> None:
    assert rebuilt(lambda w: w[5, 3].mul_(1 + 1e-5)) == ["up: element [5, 3]"]
    assert rebuilt(lambda w: w[3, 4].mul_(1 + 1e-5)) == ["own: element [3, 4]"]
    assert rebuilt(lambda w: w[3, 4].fill_(float("nan"))) == ["own: element [3, 4]"]
    assert rebuilt(lambda w: w[5, 3].mul_(1 + 1e-14), dtype="F64") == ["up: element [5, 3]"]


def test_a_law_of_another_shape() -> None:
    law = replace(LAW, rows=Expansion.circular(4, 7))
    assert rebuilt(nothing, law) == ["own: its shape is (6, 5)"]


def test_columns_of_the_layer_above() -> None:
    law = replace(LAW, above=Above("up", 1, ((3, 5),)))
    assert rebuilt(nothing, law) == ["up: element [0, 3]"]
