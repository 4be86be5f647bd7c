"""Every plan that ships compiles, is formatted, and claims what its file name's method promises."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.language import parse_file
from growplan.pipeline import check

ROOT = Path(__file__).parent.parent
PLANS = sorted((ROOT / "plans").glob("*.grow*"))
EXAMPLES = sorted((ROOT / "examples").glob("*/*.grow*"))
CLAIMS = {
    "bert2bert": "none",  # with a stacked depth, which claims nothing
    "fpi": "exact",
    "identity": "exact",
    "interlace": "none",
    "msg": "exact",
    "net2net": "exact",
    "sentence": "none",
    "stackbert": "none",
}


@pytest.mark.parametrize("path", PLANS, ids=lambda path: path.name)
def test_plan_checks_and_claims(path: Path) -> None:
    typed = check(parse_file(str(path)))
    assert typed.claim.strength == CLAIMS[path.name.partition("-")[0]]


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_example_parses(path: Path) -> None:
    assert parse_file(str(path)).steps


def test_every_method_has_a_plan() -> None:
    from growplan.methods import method_names

    assert set(method_names()) <= {path.name.partition("-")[0] for path in PLANS}
