"""What `growplan check --optimizer` says of the moments."""

from __future__ import annotations

import json
from pathlib import Path

from tests.cli.made import run

PLANS = Path("plans").resolve()
MSG, STAGED = PLANS / "msg-gpt2.grow.yaml", PLANS / "staged-gpt2-1536.grow.yaml"


def test_each_step_says_what_is_exact_and_why_not() -> None:
    shown = run("check", str(MSG), "--optimizer").stdout
    assert (
        "adam   exact in 40 tensors: unchanged; new slices of 9 begin with m = 0 and the mean of v" in shown
    )
    assert "reset in 36 tensors (transformer.h.1.ln_1.weight, transformer.h.3.ln_1.weight, …): a new" in shown
    assert "estimate in 26 tensors (transformer.wte.weight, transformer.wpe.weight, …): the backward" in shown
    assert "rule" not in shown
    staged = run("check", str(STAGED), "--optimizer", "-v").stdout
    assert "exact in 148 tensors: m × 1/2 and v × its square in 146, unchanged in 2" in staged
    assert "split_column: exact, m c, v c^2" in staged


def test_without_the_option_nothing_is_said_of_it() -> None:
    assert "adam" not in run("check", str(MSG)).stdout
    assert "optimizer" not in json.loads(run("check", str(MSG), "--json").stdout)


def test_as_data() -> None:
    data = json.loads(run("check", str(MSG), "--optimizer", "--json").stdout)
    steps = data["optimizer"]
    assert [(s["exact"], s["estimate"], s["reset"]) for s in steps[:3]] == [
        (40, 0, 0),
        (40, 0, 36),
        (50, 26, 0),
    ]
    (new,) = (group for group in steps[1]["groups"] if group["kind"] == "reset")
    assert new["why"] == "a new layer" and len(new["tensors"]) == 36
    assert steps[1]["rules"]["copy_layer"] == {"kind": "exact", "does": "m and v as they are"}
