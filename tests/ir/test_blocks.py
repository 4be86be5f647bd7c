"""Provenance of slices: what `blocks` says of a tensor is proved, and no other tensor will do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from growplan.algebra import Expansion
from growplan.ir.equivalence import equivalent, stored_states
from growplan.ir.graph import Above, BlockLaw, Graph, Node
from growplan.ir.primitives import DuplicateRow, Graft, Load, Primitive, SplitColumn
from growplan.ir.symbolic import Grafted
from growplan.ir.text import parse_ir
from growplan.ir.verify import verify
from tests.ir.build import GRAPHS
from tests.ir.builder import Builder, E

ROWS = E(4, ("copy", 4), ("copy", 2, 1))
COLS = E(3, ("copy", 3), ("copy", 1, 0))
WIDEN = (DuplicateRow(0, ROWS), SplitColumn(1, COLS, "even"))
ABOVE = Above("h.1.w", 0, ((4, 6),))
LAW = BlockLaw("h.0.w", "h.0.w", ROWS, COLS, 0, 1, above=ABOVE)
GRAFT = Graft(0, ((4, 6),))


def grafted(
    own: tuple[Primitive, ...] = WIDEN,
    other: tuple[Primitive, ...] = WIDEN,
    graft: Graft | None = GRAFT,
    after: tuple[Primitive, ...] = (),
    law: BlockLaw = LAW,
    of: str = "h.1.w",
) -> Graph:
    """h.0.w widened, with slices of `of` widened; h.1.w and h.2.w are widened without."""
    b = Builder({f"h.{i}.w": (4, 3) for i in range(3)})
    b.make("h.0.w", own)
    above = _chain(b, "let z", b.before[of], other)
    if graft is not None:
        value, type_ = b.model["h.0.w"], b.graph.nodes[above].type
        b.model["h.0.w"] = b.graph.add(Node("h.0.w@1.g", graft, (value, above), type_, 1))
    b.model["h.0.w"] = _chain(b, "h.0.w@1.a", b.model["h.0.w"], after)
    for name in ("h.1.w", "h.2.w"):
        b.make(name, WIDEN)
    b.laws = [law, *(BlockLaw(n, n, ROWS, COLS, 0, 1) for n in ("h.1.w", "h.2.w"))]
    b.end("aki", "widen ffn 4→6 via aki", "none")
    return b.done()


def _chain(b: Builder, id: str, value: str, ops: tuple[Primitive, ...]) -> str:
    from growplan.ir.typing import result_type

    for j, op in enumerate(ops):
        type_ = result_type(op, (b.graph.nodes[value].type,))
        assert type_ is not None
        value = b.graph.add(Node(f"{id}{j}", op, (value,), type_, b.k))
    return value


def test_what_the_law_says_is_proved() -> None:
    assert verify(grafted()) == []


OTHER = E(4, ("copy", 4), ("copy", 2, 2))
WRONG: dict[str, tuple[dict[str, object], str]] = {
    "another layer": ({"of": "h.2.w"}, "GP262"),
    "its own layer": ({"of": "h.0.w"}, "GP240"),
    "another layer in the law too": (
        {"of": "h.2.w", "law": replace(LAW, above=replace(ABOVE, source="h.2.w"))},
        "GP241",
    ),
    "no graft": ({"graft": None}, "GP240"),
    "a graft that no law names": ({"law": replace(LAW, above=None)}, "GP262"),
    "other rows": ({"graft": Graft(0, ((3, 5),))}, "GP240"),
    "columns": ({"graft": Graft(1, ((3, 4),))}, "GP240"),
    "another map above": ({"other": (DuplicateRow(0, OTHER), WIDEN[1])}, "GP240"),
    "another map below": ({"own": (DuplicateRow(0, OTHER), WIDEN[1])}, "GP240"),
    "undivided above": ({"other": (WIDEN[0], DuplicateRow(1, COLS))}, "GP240"),
    "undivided below": ({"own": (WIDEN[0], DuplicateRow(1, COLS))}, "GP240"),
    "uneven shares, which keep the sum": (
        {"other": (WIDEN[0], SplitColumn(1, COLS, "uneven", "k"))},
        "GP240",
    ),
    "changed after the graft": (
        {"after": (DuplicateRow(0, Expansion.of_units(6, [1, 0, 2, 3, 4, 5])),)},
        "GP240",
    ),
    "a law with mean rows": ({"law": replace(LAW, rows=E(4, ("copy", 4), ("mean", 2)))}, "GP268"),
}


@pytest.mark.parametrize("what", WRONG)
def test_anything_else_is_refused(what: str) -> None:
    changes, code = WRONG[what]
    assert {d.code for d in verify(grafted(**changes))} == {code}  # type: ignore[arg-type]


def test_a_graft_is_a_base_that_remembers_both() -> None:
    (state, _) = stored_states(grafted())["h.0.w"]
    assert isinstance(state.base, Grafted)
    assert (state.base.y.base, state.base.z.base) == ("h.0.w", "h.1.w")
    assert equivalent(grafted(), grafted())
    assert not equivalent(grafted(), grafted(of="h.2.w"))


def test_layers_are_grafted_in_a_chain() -> None:
    """Every layer's new rows are those of the next before its own graft, all from the source."""
    graph = GRAPHS["grafted"](3)
    name = "h.{}.attn.c_proj.weight"
    state, _ = stored_states(graph)[name.format(0)]
    assert isinstance(state.base, Grafted) and state.base.z.base == name.format(1)
    sources = {n.op.tensor for n in graph.chain(graph.stores[name.format(0)]) if isinstance(n.op, Load)}
    assert sources == {name.format(0), name.format(1)}


def test_reads_what_a_person_writes() -> None:
    graph = parse_ir(
        "growir 1\nsource { for i in 0:2 { h.{i}.w: f32[4] } }\n"
        'step 1 s {  // p.yaml:1:1\n plan "p" claim none\n'
        "h.0.w blocks [copy 0:4, copy 1] grafted dim 0 at 4:5 from h.1.w | duplicate_row dim 0 by law\n"
        "| graft dim 0 at 4:5 with %h.1.w@1.1\n"
        "h.1.w blocks [copy 0:4, copy 1] | duplicate_row dim 0 by law\n"
        "}\nstore model\n"
    )
    law, top = graph.steps[0].laws
    assert isinstance(law, BlockLaw) and law.above == Above("h.1.w", 0, ((4, 5),))
    assert isinstance(top, BlockLaw) and top.above is None
    assert verify(graph) == []
