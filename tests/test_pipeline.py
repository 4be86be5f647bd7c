"""A plan that cannot be read whole: what its readable steps get wrong is said too, in order."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.pipeline import read_for

ROOT = Path(__file__).parents[1] / "plans" / "configs" / "gpt2"


def test_mistakes_of_both_kinds_stand_in_the_order_of_the_plan() -> None:
    text = "widen hiden x2; widen ffn; mask-in haeds; stack depth twice"
    with pytest.raises(DiagnosticError) as error:
        read_for(lambda: parse_text(text, "p.grow", "dsl"), model_dir=ROOT)
    found = [(d.span.start, d.code) for d in error.value.diagnostics if d.span]
    assert found == sorted(found) and len(found) >= 3
    assert {"GP101"} < {code for _, code in found}


@pytest.mark.parametrize("step", ["{upcycle: ffn, to: 8}", "{upcycle: heads, experts: 8}"])
def test_an_upcycle_without_its_size_is_judged_no_further(step: str) -> None:
    text = f"growplan: 1\nsource: x\nsteps: [{step}]"
    with pytest.raises(DiagnosticError) as error:
        read_for(lambda: parse_text(text, "p.grow.yaml"), model_dir=ROOT)
    assert [d.code[:4] for d in error.value.diagnostics] == ["GP02"]


@pytest.mark.parametrize(
    "step",
    [
        "{stack: , to: 6}",
        "{deepen: , to: 14}",
        "{mask-in: }",
        "{upcycle: , experts: 4}",
        "{grow: , via: staged}",
    ],
)
def test_a_step_whose_axis_cannot_be_read_is_judged_no_further(step: str) -> None:
    text = f"growplan: 1\nsource: x\nsteps: [{step}]"
    with pytest.raises(DiagnosticError) as error:
        read_for(lambda: parse_text(text, "p.grow.yaml"), model_dir=ROOT)
    assert [d.code for d in error.value.diagnostics] == ["GP013"]
