"""The verifier: it accepts what lowering makes, and objects to every single fault."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from random import Random
from time import perf_counter

import pytest

from growplan.algebra import Expansion, Root
from growplan.diagnostics import Diagnostic
from growplan.ir.graph import Graph, Node, TensorLaw
from growplan.ir.primitives import (
    AddNull,
    CopyLayer,
    DuplicateRow,
    Fresh,
    FromLeaf,
    Leaf,
    LnAverage,
    Mask,
    Scale,
    SplitColumn,
    ZeroOut,
)
from growplan.ir.verify import verify
from growplan.ir.wellformed import well_formed
from tests.ir.build import GRAPHS, mean_then_stack, noisy
from tests.ir.builder import Builder, E, copies
from tests.ir.dense import law_holds, run
from tests.ir.mutants import mutants

IDENTITY = Expansion.identity


def one_step(shape: tuple[int, ...], ops: list, law: TensorLaw | None = None, **more) -> Graph:
    b = Builder({"h.0.w": shape, "h.1.w": shape})
    b.make("h.0.w", ops)
    b.laws = [law] if law else []
    b.end("s1", "widen hidden 4→6 via fpi", **more)
    return b.done()


def only(findings: list[Diagnostic]) -> Diagnostic:
    assert len(findings) == 1, findings
    return findings[0]


@pytest.mark.parametrize("name", GRAPHS)
def test_accepts_realistic_graphs(name: str) -> None:
    assert verify(GRAPHS[name]()) == []


@cache
def outcomes(name: str) -> tuple[list[str], Counter[str]]:
    """Mutants that live, and how many die by each code."""
    alive: list[str] = []
    killed: Counter[str] = Counter()
    for mutant in mutants(GRAPHS[name](2)):
        findings = verify(mutant.graph)
        if findings:
            killed[findings[0].code] += 1
        else:
            alive.append(mutant.what)
    return alive, killed


@pytest.mark.parametrize("name", [name for name in GRAPHS if name != "noisy"])
def test_kills_every_mutant(name: str) -> None:
    alive, killed = outcomes(name)
    assert alive == []
    assert killed.total() > 300


def test_only_other_null_terms_live() -> None:
    """Noise over another map may cancel all the same: in fractions, just the mutants that live do."""
    rng = Random(0)
    for mutant in mutants(noisy(1)):
        if mutant.what.startswith("add_null") and not well_formed(mutant.graph):
            values = run(mutant.graph, rng)
            before, after = mutant.graph.models
            true = all(
                law_holds(law, values[before[law.source]], values[after[law.tensor]], rng)
                for law in mutant.graph.steps[0].laws
            )
            found = verify(mutant.graph)
            if not any("before they are written" in d.message for d in found):  # strict by itself
                assert true == (not found), mutant.what
    alive, killed = outcomes("noisy")
    assert all("add_null" in what or "input 0 is" in what for what in alive), alive
    assert killed.total() > 200


def test_noise_must_be_over_the_map_of_the_input() -> None:
    e = E(4, ("copy", 4), ("copy", 4))
    law = TensorLaw("h.0.w", "h.0.w", IDENTITY(4), e, 0, 1)
    split = SplitColumn(1, e, "even")
    noise = AddNull(1, e, "centred", "like", "k")
    assert verify(one_step((4, 4), [split, noise], law)) == []
    other = replace(noise, map=E(4, ("copy", 4), ("copy", 3, 1), ("copy", 1)))
    d = only(verify(one_step((4, 4), [split, other], law)))
    assert (d.code, "the noise is null for [copy 0:4, copy 1:4, copy 0]" in d.message) == ("GP266", True)
    rows = TensorLaw("h.0.w", "h.0.w", e, IDENTITY(4), 0, 1)
    found = verify(one_step((4, 4), [DuplicateRow(0, e), replace(noise, dim=0)], rows))
    assert only(found).code == "GP264"
    for bad in (Scale(Root.rational(2)), Mask(1, ((0, 1),), "heads")):
        assert verify(one_step((4, 4), [split, noise, bad], law))
    swapped = DuplicateRow(1, E(8, ("copy", 1, 1), ("copy", 1), ("copy", 6, 2)))
    assert only(verify(one_step((4, 4), [split, noise, swapped], law))).code == "GP266"


def test_noise_may_vanish_on_twins_alone() -> None:
    """Two units known to be equal at the input: noise that cancels over them is null there, and no other."""
    zero, twins = E(4, ("zero", 4)), E(2, ("copy", 2), ("copy", 2))
    law = TensorLaw("h.0.w", "h.0.w", zero, IDENTITY(4), 0, 1, twins=twins)
    ops = [ZeroOut(0, ((0, 4),)), AddNull(1, twins, "centred", "like", "k")]
    assert verify(one_step((4, 4), ops, law)) == []
    other = [ops[0], replace(ops[1], map=E(2, ("copy", 1), ("copy", 1), ("copy", 1), ("copy", 1, 1)))]
    assert only(verify(one_step((4, 4), other, law))).code == "GP266"
    assert only(verify(one_step((4, 4), ops, replace(law, twins=E(2, ("copy", 2)))))).code == "GP268"
    free = E(2, ("copy", 2), ("copy", 1), ("free", 1))
    assert only(verify(one_step((4, 4), ops, replace(law, twins=free)))).code == "GP266"


def test_noise_after_zeroed_rows_is_still_held_to_the_input() -> None:
    """0 . E = 0 whatever E is, but noise that is added later is not."""
    zero = E(4, ("zero", 4))
    law = TensorLaw("h.0.w", "h.0.w", zero, IDENTITY(4), 0, 1)
    pairs = E(2, ("copy", 2), ("copy", 2))
    ops = [ZeroOut(0, ((0, 4),)), AddNull(1, pairs, "centred", "like", "k")]
    assert verify(one_step((4, 4), ops[:1], law)) == []
    assert only(verify(one_step((4, 4), ops, law))).code == "GP266"


def test_mutants_reach_every_law_code() -> None:
    """The faults are not all caught by their shape: each rule of the law objects to some."""
    codes = {code for name in GRAPHS for code in outcomes(name)[1]}
    assert codes >= {f"GP{n}" for n in (255, 256, 260, 261, 262, 264, 265, 266, 267, 268, 269)}


# one case per objection ---------------------------------------------------------------------------


ROWS = E(4, ("copy", 4), ("zero", 2))
GATHER = DuplicateRow(0, E(4, ("copy", 4), ("hole", 2)))
LAW = TensorLaw("h.0.w", "h.0.w", ROWS, None, 0, None)


def test_hole() -> None:
    d = only(verify(one_step((4,), [GATHER], LAW)))
    assert (d.code, d.message) == ("GP260", "`h.0.w` leaves slices 4:6 of dim 0 unwritten")
    assert d.notes == (("step", "widen hidden 4→6 via fpi  (plan.grow.yaml:4:5)"),)


def test_partly_filled() -> None:
    assert only(verify(one_step((4,), [GATHER, ZeroOut(0, ((4, 5),))], LAW))).code == "GP260"


def test_written_twice() -> None:
    ops = [GATHER, ZeroOut(0, ((4, 6),)), Fresh(0, ((5, 6),), "like", "k")]
    d = only(verify(one_step((4,), ops, LAW)))
    assert d.code == "GP261"
    assert d.message == "`fresh` of `h.0.w` writes over slices 5:6 of dim 0, which hold something already"


def test_wrong_coefficient() -> None:
    ops = [GATHER, ZeroOut(0, ((4, 6),)), Scale(Root.rational(3))]
    d = only(verify(one_step((4,), ops, LAW)))
    assert (d.code, d.message) == ("GP264", "`h.0.w` rows 0:4 hold `copy 0:4*3`, the law says `copy 0:4`")


def test_a_leaf_may_only_stand_where_anything_may() -> None:
    """Columns that read zeros; never columns that read a unit, nor rows that the law speaks of."""
    e = E(4, ("copy", 4), ("zero", 2))
    split, fill = SplitColumn(1, copies(e), "even"), FromLeaf(1, ((4, 6),))
    law = TensorLaw("h.0.w", "h.0.w", IDENTITY(4), e, 0, 1)
    assert verify(one_step((4, 4), [split, fill], law)) == []
    free = replace(law, cols=e.map_kind("zero", "free"))
    assert only(verify(one_step((4, 4), [split, fill], free))).code == "GP266"
    copied = replace(law, cols=E(4, ("copy", 4), ("copy", 2)))
    assert only(verify(one_step((4, 4), [split, fill], copied))).code == "GP265"
    rows = TensorLaw("h.0.w", "h.0.w", ROWS, IDENTITY(4), 0, 1)
    assert only(verify(one_step((4, 4), [GATHER, FromLeaf(0, ((4, 6),))], rows))).code == "GP264"


def test_a_leaf_of_one_shape_with_a_tensor_is_not_that_tensor() -> None:
    graph = one_step((4, 4), [], TensorLaw("h.0.w", "h.0.w", IDENTITY(4), IDENTITY(4), 0, 1))
    store = graph.nodes.pop("store h.0.w")
    leaf = Node("leaf", Leaf("s/h.0.w", (4, 4), "F32"), (), store.type, 1)
    graph.nodes |= {"leaf": leaf, store.id: replace(store, inputs=("leaf",))}
    graph.models[1]["h.0.w"] = "leaf"
    assert only(verify(graph)).code == "GP262"


def test_one_leaf_for_two_tensors() -> None:
    graph = GRAPHS["learned"](2)
    shared = {n.id: n for n in graph.nodes.values() if isinstance(n.op, FromLeaf)}
    first, second = shared.values()
    graph.nodes[second.id] = replace(second, op=first.op, inputs=(second.inputs[0], first.inputs[1]))
    assert "GP270" in {d.code for d in verify(graph)} or verify(graph)[0].code == "GP256"


def test_mean_of_another_dimension() -> None:
    law = TensorLaw("h.0.w", "h.0.w", E(4, ("copy", 4), ("mean", 2)), IDENTITY(4), 0, 1)
    good = [GATHER, LnAverage(0, ((4, 6),), Root())]
    assert verify(one_step((4, 4), good, law)) == []
    assert only(verify(one_step((4, 4), good, replace(law, rows=ROWS)))).code == "GP264"


def test_shares_do_not_add_up() -> None:
    e = E(4, ("copy", 4), ("copy", 2))
    law = TensorLaw("h.0.w", "h.0.w", IDENTITY(4), e, 0, 1)
    assert verify(one_step((4, 4), [SplitColumn(1, e, "even")], law)) == []
    d = only(verify(one_step((4, 4), [DuplicateRow(1, e)], law)))
    assert d.code == "GP265"
    assert d.message == "`h.0.w` gives back 1 of units 2:4 where the units before get 2"


def test_scaled_copies_need_scaled_shares() -> None:
    half = E(4, ("copy", 4, 0, Root.rational(2)), ("copy", 4))
    law = TensorLaw("h.0.w", "h.0.w", IDENTITY(4), half, 0, 1)
    assert verify(one_step((4, 4), [SplitColumn(1, half, "even")], law)) == []
    assert only(verify(one_step((4, 4), [SplitColumn(1, half.plain(), "even")], law))).code == "GP264"


def test_uneven_shares_need_all_copies() -> None:
    e = E(4, ("copy", 4), ("copy", 2))
    law = TensorLaw("h.0.w", "h.0.w", IDENTITY(4), e, 0, 1)
    split = SplitColumn(1, e, "uneven", "k")
    assert verify(one_step((4, 4), [split], law)) == []
    swapped = DuplicateRow(1, E(6, ("copy", 1, 4), ("copy", 3, 1), ("copy", 1, 0), ("copy", 1, 5)))
    assert only(verify(one_step((4, 4), [split, swapped], law))).code == "GP265"
    masked = Mask(1, ((0, 1),), "heads")
    assert only(verify(one_step((4, 4), [split, masked], law))).code == "GP265"


def test_null_term_meets_an_input() -> None:
    for kind, code in (("zero", None), ("free", "GP266"), ("mean", "GP266")):
        law = TensorLaw("h.0.w", "h.0.w", IDENTITY(4), E(4, ("copy", 4), (kind, 2)), 0, 1)
        ops = [SplitColumn(1, E(4, ("copy", 4), ("hole", 2)), "even"), Fresh(1, ((4, 6),), "like", "k")]
        assert [d.code for d in verify(one_step((4, 4), ops, law))] == ([code] if code else [])


def test_foreign_source() -> None:
    law = replace(LAW, source="h.1.w", rows=ROWS)
    assert only(verify(one_step((4,), [GATHER, ZeroOut(0, ((4, 6),))], law))).code == "GP262"


def test_no_law() -> None:
    d = only(verify(one_step((4,), [GATHER, ZeroOut(0, ((4, 6),))])))
    assert (d.code, d.message) == ("GP267", "`h.0.w` changes, but no law says how")


def test_copy_layer_must_tell_the_truth() -> None:
    b = Builder({"h.0.w": (4,), "h.1.w": (4,)})
    b.copy("h.2.w", "h.1.w", (1, 2))
    b.end("deeper", "stack depth x2", "none")
    graph = b.done()
    assert verify(graph) == []
    node = graph.nodes["h.2.w@1.1"]
    graph.nodes["h.2.w@1.1"] = replace(node, op=CopyLayer(0, 2))
    assert {d.code for d in verify(graph)} == {"GP269"}


def test_provenance_is_bit_equal() -> None:
    b = Builder({"h.0.w": (4,), "h.1.w": (4,)})
    b.copy("h.2.w", "h.1.w", (1, 2))
    b.end("deeper", "stack depth x2", "none")
    graph = b.done()
    graph.nodes["h.2.w@1.1"] = replace(graph.nodes["h.2.w@1.1"], op=Scale(Root.rational(2)))
    assert {d.code for d in verify(graph)} == {"GP264", "GP271"}


def test_shared_key() -> None:
    b = Builder({"h.0.w": (4,), "h.1.w": (4,)})
    free = E(4, ("copy", 4), ("free", 2))
    for tensor in ("h.0.w", "h.1.w"):
        b.make(tensor, [GATHER, Fresh(0, ((4, 6),), "like", "one key")])
        b.laws.append(TensorLaw(tensor, tensor, free, None, 0, None))
    b.end("s1", "widen hidden 4→6")
    d = only(verify(b.done()))
    assert d.code == "GP270" and "`h.1.w` draws by the key `one key`, as h.0.w in step 1 does" in d.message


def test_equal_findings_are_one() -> None:
    graph = mean_then_stack(3)
    for i in range(3):
        node = graph.nodes[f"h.{i}.ln_1.bias@1.1"]
        shifted = E(8, ("copy", 1, 1), ("copy", 1), ("copy", 6, 2), ("hole", 4))
        graph.nodes[node.id] = replace(node, op=DuplicateRow(0, shifted))
    d = only(verify(graph))
    assert d.message == "`h.0.ln_1.bias` rows 0:1 hold `copy 1`, the law says `copy 0`"
    assert ("also", "2 more tensors, up to h.2.ln_1.bias") in d.notes


def test_linear_in_layers() -> None:
    """160 layers in a moment: chains that differ in their layer are proved once."""
    graph = mean_then_stack(80)
    begin = perf_counter()
    assert verify(graph) == []
    assert perf_counter() - begin < 2


def test_half_of_the_uneven_shares_twice_are_not_the_whole() -> None:
    """Even shares would add up: uneven ones only where all of them are there."""
    e = E(4, ("copy", 4), ("copy", 4))
    law = TensorLaw("h.0.w", "h.0.w", IDENTITY(4), e, 0, 1)
    rest = [DuplicateRow(1, E(8, ("copy", 4), ("hole", 4))), ZeroOut(1, ((4, 8),)), Scale(Root.rational(2))]
    assert verify(one_step((4, 4), [SplitColumn(1, e, "even"), *rest], law)) == []
    d = only(verify(one_step((4, 4), [SplitColumn(1, e, "uneven", "k"), *rest], law)))
    assert (d.code, "not all there" in d.message) == ("GP265", True)
