"""The table of the matrix: a cell holds the worst of its growths, by strength."""

from __future__ import annotations

from tests.matrix.cases import VARIANTS
from tests.matrix.report import Found, cases, cell_text, run, table

GPT2 = VARIANTS[0]


def test_a_cell_holds_the_worst_of_each_strength() -> None:
    found = [
        Found(GPT2, "widen ffn x2", "exact", 1e-15),
        Found(GPT2, "widen ffn x3", "exact", 3e-15, 2e-15),
        Found(GPT2, "widen hidden x2", "refused"),
        Found(GPT2, "stack depth x2", "none", 0.5),
    ]
    assert cell_text(found) == "exact 3.0e-15, stock 2.0e-15 (2); none 5.0e-01 (1); refused (1)"
    assert cell_text([]) == "–"


def test_a_growth_counts_for_each_method_it_names() -> None:
    head, _, *rows = table([Found(GPT2, "widen ffn x2; mask-in heads 6→12", "exact", 2e-15)]).splitlines()
    assert head == "| method | gpt2 |"
    assert rows == ["| `fpi` | exact 2.0e-15 (1) |", "| `msg` | exact 2.0e-15 (1) |"]


def test_every_case_of_a_family_is_asked() -> None:
    asked = list(cases(["gpt2"]))
    assert {variant.family for variant, _ in asked} == {"gpt2"}
    assert len(asked) == len({(variant.name, steps) for variant, steps in asked})


def test_the_first_case_as_measured() -> None:
    first = next(run(["gpt2"], stock=False))
    assert first.strength == "exact"
    assert 0 < first.error < 1e-9
