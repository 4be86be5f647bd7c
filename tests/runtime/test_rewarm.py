"""Rates led up again after a growth: a function of the global step, on top of any schedule."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from growplan.diagnostics import DiagnosticError
from growplan.runtime import Rewarm
from tests.matrix.run import grow, write_source
from tests.runtime.gradients import BY_NAME


def moved(rewarm: Rewarm | None, first: int, count: int) -> list[float]:
    """How far each of some steps of SGD goes under a schedule that halves the rate, and the rates between."""
    weight = torch.nn.Parameter(torch.zeros(1, dtype=torch.float64))
    optimizer = torch.optim.SGD([weight], lr=1.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5**step)
    end = None if rewarm is None else rewarm.attach(optimizer, first)
    out = []
    for step in range(count):
        before = weight.item()
        weight.grad = -torch.ones_like(weight)
        optimizer.step()
        out.append(weight.item() - before)
        assert optimizer.param_groups[0]["lr"] == 0.5**step
        schedule.step()
    if end is not None:
        end()
        weight.grad = -torch.ones_like(weight)
        before = weight.item()
        optimizer.step()
        assert weight.item() - before == pytest.approx(0.5**count)
    return out


def test_the_schedule_s_rates_times_the_factor() -> None:
    plain, warmed = moved(None, 100, 6), moved(Rewarm(100, 4), 100, 6)
    assert [b / a for a, b in zip(plain, warmed, strict=True)] == pytest.approx([0.25, 0.5, 0.75, 1, 1, 1])


def test_taken_up_in_the_middle_it_goes_on_where_it_was() -> None:
    rewarm = Rewarm(100, 4, 0.5)
    whole = [rewarm.factor(step) for step in range(98, 106)]
    assert whole == [1, 1, 0.125, 0.25, 0.375, 0.5, 0.5, 0.5]
    assert moved(rewarm, 102, 1) == [0.375]


def test_a_grown_checkpoint_says_it(tmp_path: Path) -> None:
    source = write_source(BY_NAME["gpt2-tied"], tmp_path / "source", dtype="float32")
    made = grow(source, "widen ffn 80→160", tmp_path / "target")
    assert Rewarm.of(made.target) == Rewarm(0, 200, 1.0)
    other = grow(source, "widen positions 24→32", tmp_path / "other")
    assert Rewarm.of(other.target) is None


def test_a_folder_that_says_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError, match="GP578"):
        Rewarm.of(tmp_path)
    (tmp_path / "growth.json").write_text("[]", encoding="utf-8")
    with pytest.raises(DiagnosticError, match="GP578"):
        Rewarm.of(tmp_path)
