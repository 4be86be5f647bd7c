"""Large null terms multiply rounding: exact plans pass all the same, and nothing wrong passes with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from growplan.algebra import Expansion
from growplan.apply import apply
from growplan.backend.rounding import MOST
from growplan.check import rules
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.methods import bert2bert
from tests.backend.plans import Case, case
from tests.matrix.run import by_interpreter, ids_for, worst
from tests.tiny import tiny_checkpoint

WIDER = "grow hidden 48→96, heads 6→12, kv_heads 3→6, ffn 80→160 via lemon"
PLANS = {
    "llama": WIDER,
    "gpt2": "grow hidden 48→96, heads 6→12, ffn 192→400 via lemon",
    "bert": "grow hidden 48→96, heads 6→12, ffn 80→160 via lemon",
}
USUAL = 4096 * 3**0.5  # roundoffs


@pytest.mark.parametrize("family", PLANS)
def test_a_large_null_term_is_no_fault(family: str) -> None:
    """Beyond the usual tolerance, by rounding alone; and the bound that is measured is no blank cheque."""
    (m,) = case(family, f"{PLANS[family]}, init normal(0.5)", dtype="float64").assert_all()
    assert m.relative > USUAL * 2**-53, "the usual tolerance would do"
    assert m.relative < m.tolerance < 1e-8


@pytest.mark.parametrize("family", PLANS)
def test_the_usual_tolerance_stays_where_it_does(family: str) -> None:
    (m,) = case(family, PLANS[family], dtype="float64").assert_all()
    assert m.tolerance == pytest.approx(USUAL * 2**-53)
    assert m.relative < 1e-13


def failure(made: Case) -> tuple[str, dict[str, str]]:
    with pytest.raises(DiagnosticError) as caught:
        made.assert_all()
    return caught.value.diagnostics[0].code, dict(caught.value.diagnostics[0].notes)


@pytest.mark.parametrize("init", ["like", "normal(0.5)"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_wrong_rule_beside_a_large_null_term(
    init: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Query heads tiled over fixed kv heads: every law holds, and blocks are off."""

    def tiled(grow: dict[str, tuple[int, int]], *_: Any) -> dict[str, Expansion]:
        return {axis: Expansion.circular(*grow[axis]) for axis in ("heads", "kv_heads") if axis in grow}

    monkeypatch.setattr(bert2bert, "head_maps", tiled)
    monkeypatch.setattr(rules, "attention", lambda heads, kv, head_dim: heads * head_dim)
    steps = (f"widen ffn 80→160 via lemon, init {init}", f"widen heads 6→12 via lemon, init {init}")
    made = case.__wrapped__("llama", *steps, dtype=dtype, config=(("head_dim", 12),))
    code, notes = failure(made)
    assert code == "GP502"
    assert float(notes["error / spread"]) > 2 * MOST
    assert float(notes["tolerance"]) <= (1e-2 if dtype == "float32" else 1e-9)


def test_a_wrong_claim_beside_a_large_null_term() -> None:
    made = case("gpt2", "widen ffn 192→400 via lemon, init normal(0.5)", "stack depth x2", dtype="float64")
    steps = [replace(step, claim="exact") for step in made.graph.steps]
    code, notes = failure(replace(made, graph=replace(made.graph, steps=steps)))
    assert code == "GP503" and notes["step"] == "stack depth 2→4 via stackbert"


def test_what_rounding_scrambles_is_refused_with_the_reason() -> None:
    """Noise 1000 times the weights, in float32: not the source's function once it is loaded."""
    code, notes = failure(case("bert", f"{PLANS['bert']}, init normal(20)"))
    assert code == "GP513" and notes["rounding"].startswith("may move it by ")


@pytest.mark.parametrize(("init", "told"), [("normal(0.5)", True), ("like", False)])
def test_visible_rounding_is_told(init: str, told: bool, tmp_path: Path) -> None:
    """From the written float32 checkpoint: the warning is there where it is off by a thousandth."""
    source = tiny_checkpoint("llama", tmp_path / "source", dtype="float32")
    plan = parse_text(f"{WIDER}, init {init}", "<test>", "dsl")
    result = apply(plan, tmp_path / "out", model_dir=source, stock=False)
    error = worst(*(by_interpreter(d, ids_for(31, 20)) for d in (source, tmp_path / "out")))
    assert (error > 3e-4) == told
    assert [d.code for d in result.findings] == ["GP915"] * told
    for finding in result.findings:
        assert finding.severity == "warning" and finding.span is not None and "init like" in finding.help[0]
