"""`growir`: goldens that people read, print and parse as inverses, mistakes with their place."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings

from growplan.diagnostics import DiagnosticError
from growplan.ir.graph import Graph
from growplan.ir.text import parse_ir, print_ir
from tests.ir.build import GRAPHS
from tests.ir.strategies import graphs


@pytest.mark.parametrize("name", GRAPHS)
def test_golden(name: str, golden) -> None:
    text = print_ir(GRAPHS[name]())
    golden(text)
    assert print_ir(parse_ir(text)) == text


@pytest.mark.parametrize("name", GRAPHS)
@pytest.mark.parametrize("layers", [1, 2, 13])
def test_round_trip(name: str, layers: int) -> None:
    graph = GRAPHS[name](layers)
    text = print_ir(graph)
    assert parse_ir(text) == graph
    assert print_ir(parse_ir(text)) == text


@given(graph=graphs())
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
def test_round_trip_of_anything(graph: Graph) -> None:
    """Values that no tensor is made of may be printed in another order, so the graphs are compared."""
    text = print_ir(graph)
    assert parse_ir(text) == graph
    assert parse_ir(print_ir(parse_ir(text))) == graph


def test_folds_layers() -> None:
    """The text of 40 layers is as long as that of 3."""
    for name in ("mean_then_stack", "doubled_twice", "masked"):
        assert len(print_ir(GRAPHS[name](40)).splitlines()) == len(print_ir(GRAPHS[name](3)).splitlines())


HEAD = "growir 1\nsource {\n  h.0.w: f32[4]\n}\n"


def step(body: str) -> str:
    return f'{HEAD}step 1 s {{  // p.yaml:1:1\n  plan "p"\n  claim exact\n{body}\n}}\nstore model\n'


def test_reads_what_a_person_writes() -> None:
    graph = parse_ir(
        step(
            "  # a comment\n  h.0.w : f32[6] law [copy 0:4, zero x2]\n"
            "  | duplicate_row dim 0 by law | zero_out dim 0 at 4:6\n"
            "  for i in 1:3 { h.{i}.w = h.{i-1}.w unchanged }"
        ).replace("h.0.w: f32[4]", "for i in 0:3 { h.{i}.w: f32[4] }")
    )
    assert list(graph.nodes)[:3] == ["h.0.w@0", "h.1.w@0", "h.2.w@0"]
    assert graph.nodes["h.0.w@1.2"].type.shape == (6,)
    assert graph.nodes["h.2.w@1.1"].inputs == ("h.1.w@0",)


MISTAKES = [  # (text, place, code, message)
    ("", "1:1", "GP250", "the text ends too early"),
    ("growir 1", "1:9", "GP250", "the text ends too early"),
    (step("  h.0.w | melt dim 0"), "8:11", "GP250", "`melt` does not belong here"),
    (step("  h.0.w | duplicate_row dim 0 [copy 0 4]"), "8:39", "GP250", "`4` does not belong here"),
    (step("  h.0.w ? scale 2"), "8:9", "GP250", "`?` does not belong here"),
    (step("  h.1.w | scale 2"), "8:3", "GP251", "the model before step 1 has no tensor `h.1.w`"),
    (step("  h.0.w = %x | scale 2"), "8:14", "GP251", "no value is called `%x`"),
    (step("  h.0.w | duplicate_row dim 0 E4_6"), "8:31", "GP251", "no map is called `E4_6`"),
    (step("  h.0.w | duplicate_row dim 0 by law"), "8:31", "GP251", "no law here has a map on dim 0"),
    (step("  h.{i}.w | scale 2"), "8:3", "GP251", "`{i}` stands in no loop"),
    (step("  for i in 0:1 { h.{i-1}.w | scale 2 }"), "8:18", "GP251", "`{i-1}` is -1 where i is 0"),
    (step("  for i in 0:1 { h.{j}.w | scale 2 }"), "8:18", "GP250", "`{j}` is not of the form a*i+b"),
    (step("  h.0.w | zero_out dim 0 at 2:9"), "8:9", "GP256", "`zero_out` of `%h.0.w@1.1`: slices up"),
    (step("  h.0.w | scale 1/0"), "8:17", "GP250", "divides by zero"),
    (step("  h.0.w | duplicate_row dim 0 [copy 4:2]"), "8:32", "GP256", "4:2 is backwards"),
    (step("  h.0.w | duplicate_row dim 0 [copy 0:4] of 3"), "8:31", "GP256", "copy 0:4 reads past"),
    (step("  let %b = %h.0.w@0 | scale 2\n  let %b = %b | scale 2"), "9:3", "GP252", "the value `%b`"),
    (step("  let %a = %b | scale 2\n  let %b = %a | scale 2"), "9:3", "GP252", "`%b` is made from itself"),
    (step("  map m = [copy 0]\n  map m = [copy 0]"), "9:7", "GP252", "the map `m` is defined twice"),
    (HEAD.replace("}", "h.0.w: f32[4] }") + "store model", "4:1", "GP252", "`h.0.w` is read twice"),
    (HEAD + "store { h.0.w = %y }", "5:9", "GP251", "no value is called `%y`"),
    (step("  h.0.w | fresh dim 0 at 0:4 like key rows"), "8:35", "GP251", "a short key needs `keys`"),
    (step("  emb law same"), "8:7", "GP251", "`same` has no size"),
]


@pytest.mark.parametrize(("text", "place", "code", "message"), MISTAKES)
def test_mistakes(text: str, place: str, code: str, message: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        parse_ir(text, "x.growir")
    found = error.value.diagnostics[0]
    assert (str(found.span), found.code) == (f"x.growir:{place}", code)
    assert found.message.startswith(message)


def test_says_what_it_expected() -> None:
    with pytest.raises(DiagnosticError) as error:
        parse_ir("growir one")
    assert error.value.diagnostics[0].notes == (("expected", "int"),)
