"""Every family x method x size: a proof of `exact` is exact, a weaker one has a counterexample."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from growplan.apply import apply
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.pipeline import check
from tests.matrix.cases import (
    DEPTH,
    GRAFTED,
    HEADS_ONLY,
    LEARNED,
    NO_LOSS,
    TABLES,
    VARIANTS,
    Case,
    Variant,
    full,
    pairwise,
)
from tests.matrix.run import Grown, by_interpreter, by_transformers, grow, inputs_for, worst, write_source

EXACT = 1e-9  # of the logits' spread, float64
STOCK_RMS = 1e-5  # transformers keeps float32 inside RMSNorm, softmax and rotary tables

BY_NAME = {variant.name: variant for variant in VARIANTS}


def differences(case_architecture: str, grown: Grown) -> tuple[float, float]:
    """(through the interpreter, through stock transformers)."""
    inputs = inputs_for(grown.typed.source)
    a, b = by_interpreter(grown.source, inputs), by_interpreter(grown.target, inputs)
    x, y = (by_transformers(d, case_architecture, inputs) for d in (grown.source, grown.target))
    return worst(a, b), worst(x, y)


def check_case(case: Case, tmp_path: Path) -> None:
    source = write_source(case.variant, tmp_path / "source")
    if case.claim == "refused":
        with pytest.raises(DiagnosticError) as refused:
            grow(source, case.steps, tmp_path / "target")
        assert {d.code for d in refused.value.diagnostics} <= {"GP201", "GP204"}
        assert not (tmp_path / "target").exists()
        return
    keeps_claim(case.variant, grow(source, case.steps, tmp_path / "target"), case.claim)


def keeps_claim(variant: Variant, grown: Grown, claim: str) -> None:
    assert grown.typed.claim.strength == claim
    inner, stock = differences(variant.architecture, grown)
    if claim == "exact":
        assert inner < EXACT
        assert stock < (STOCK_RMS if variant.norm == "rms" else EXACT)
    else:
        assert inner > 1e-6, "a claim below exact without a counterexample"
        assert torch.isfinite(torch.tensor([inner, stock])).all()


@pytest.mark.parametrize("case", pairwise(), ids=lambda case: case.id)
def test_pairwise(case: Case, tmp_path: Path) -> None:
    check_case(case, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("case", full(), ids=lambda case: case.id)
def test_full(case: Case, tmp_path: Path) -> None:
    check_case(case, tmp_path)


@pytest.mark.parametrize(("variant", "steps"), HEADS_ONLY + TABLES)
def test_heads(variant: str, steps: str, tmp_path: Path) -> None:
    source = write_source(BY_NAME[variant], tmp_path / "source")
    keeps_claim(BY_NAME[variant], grow(source, steps, tmp_path / "target"), "exact")


@pytest.mark.parametrize(("variant", "steps", "claim"), DEPTH)
def test_depth(variant: str, steps: str, claim: str, tmp_path: Path) -> None:
    source = write_source(BY_NAME[variant], tmp_path / "source")
    keeps_claim(BY_NAME[variant], grow(source, steps, tmp_path / "target"), claim)


@pytest.mark.parametrize(("variant", "steps"), GRAFTED)
def test_grafted(variant: str, steps: str, tmp_path: Path) -> None:
    source = write_source(BY_NAME[variant], tmp_path / "source")
    grown = grow(source, steps, tmp_path / "target")
    assert grown.typed.claim.strength == "none"
    inner, stock = differences(BY_NAME[variant].architecture, grown)
    assert inner > 1e-3, "another function was promised"
    assert torch.isfinite(torch.tensor([inner, stock])).all()


@pytest.mark.parametrize(("variant", "steps"), LEARNED)
def test_learned(variant: str, steps: str, tmp_path: Path) -> None:
    """Fitted in float64, written, and loaded clean by the stock class."""
    source = write_source(BY_NAME[variant], tmp_path / "source")
    keeps_claim(BY_NAME[variant], grow(source, steps, tmp_path / "target"), "none")


@pytest.mark.parametrize("variant", NO_LOSS)
def test_no_head_has_no_loss(variant: str, tmp_path: Path) -> None:
    """What `apply` cannot fit, `check` refuses."""
    source = write_source(BY_NAME[variant], tmp_path / "source")
    data = tmp_path / "ids.npy"
    np.save(data, np.arange(600) % 31)
    depth = BY_NAME[variant].config.get("n_layer", 2)
    plan = parse_text(f'grow depth {depth}→3 via ligo on "{data}" for 2 steps', "<test>", "dsl")
    for refused in (check, lambda plan, model_dir: apply(plan, tmp_path / "t", model_dir=model_dir)):
        with pytest.raises(DiagnosticError, match="GP523"):
            refused(plan, model_dir=source)
