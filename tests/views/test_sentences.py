"""Sentences that depend on where they stand: after a check, or after an apply."""

from __future__ import annotations

import pytest

from growplan.checkpoint.growth import StepRecord
from growplan.views.check import verdict
from growplan.views.record import _step_facts
from growplan.views.style import Style
from tests.check.models import check


@pytest.mark.parametrize(
    ("measured", "named"), [(False, "named above"), (True, "that `growplan check` names")]
)
def test_the_norms_of_an_approximate_plan_are_named_where_it_says(measured: bool, named: str) -> None:
    typed = check("bert", "widen hidden 384→512 via bert2bert; widen heads 12→16 via bert2bert")
    text = " ".join(verdict(typed, Style(), measured=measured))
    assert f"only the norms {named} do not" in " ".join(text.split())


def test_tensors_are_counted_in_whole_numbers() -> None:
    fields = {"copies": 112.0, "rebuilt": 0.0, "law": 0.0}
    record = StepRecord(id="a", text="t", claim="none", proof="none", measured=fields)
    assert dict(_step_facts(record))["measured"] == "copies 112, law 0"
