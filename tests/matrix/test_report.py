"""The table of the matrix: a cell holds the worst of its growths, by strength."""

from __future__ import annotations

from pathlib import Path

from tests.matrix.cases import DEPTH, GRAFTED, HEADS_ONLY, VARIANTS
from tests.matrix.report import Found, cases, cell_text, measure, named, run, table
from tests.matrix.run import write_source

GPT2 = VARIANTS[0]


FPI = frozenset({"fpi"})


def test_a_cell_holds_the_worst_of_each_strength() -> None:
    found = [
        Found(GPT2, "widen ffn x2", "exact", FPI, 1e-15),
        Found(GPT2, "widen ffn x3", "exact", FPI, 3e-15, 2e-15),
        Found(GPT2, "widen hidden x2", "refused", FPI),
        Found(GPT2, "stack depth x2", "none", FPI, 0.5),
    ]
    assert cell_text(found) == "exact 3.0e-15, stock 2.0e-15 (2); none 5.0e-01 (1); refused (1)"
    assert cell_text([]) == "–"


def test_a_growth_counts_for_each_of_its_methods() -> None:
    steps = "widen ffn x2; mask-in heads 6→12"
    assert named(steps) == {"fpi", "msg"}
    head, _, *rows = table([Found(GPT2, steps, "exact", named(steps), 2e-15)]).splitlines()
    assert head == "| method | gpt2 |"
    assert rows == ["| `fpi` | exact 2.0e-15 (1) |", "| `msg` | exact 2.0e-15 (1) |"]


def test_a_weak_growth_counts_for_what_is_weak_in_it(tmp_path: Path) -> None:
    source = write_source(GPT2, tmp_path / "source")
    found = measure(GPT2, source, "widen ffn x2; stack depth x2", tmp_path / "target", stock=False)
    assert (found.strength, found.methods) == ("none", {"stackbert"})
    assert found.error > 1e-6


def test_every_case_of_a_family_is_asked() -> None:
    everything = {(variant.name, steps) for variant, steps in cases([])}
    assert {(name, steps) for name, steps, *_ in (*HEADS_ONLY, *GRAFTED, *DEPTH)} <= everything
    asked = list(cases(["gpt2"]))
    assert {variant.family for variant, _ in asked} == {"gpt2"}
    assert len(asked) == len({(variant.name, steps) for variant, steps in asked})


def test_the_first_case_as_measured() -> None:
    first = next(run(["gpt2"], stock=False))
    assert first.strength == "exact"
    assert 0 < first.error < 1e-9
