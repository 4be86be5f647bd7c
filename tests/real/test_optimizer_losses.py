"""The next 20 losses of a trained model after a growth, with AdamW's moments grown, reset and dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.datasets import Missing
from benchmarks.optimizer_losses import PLANS, after_growth, trained, unchanged
from benchmarks.trained import TASKS

pytestmark = pytest.mark.evidence


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grown_moments_go_on_where_reset_ones_jump(
    seed: int, tmp_path: Path, measured: Callable[[str, float, float], None]
) -> None:
    task = TASKS["austen"]
    try:
        source = trained(task, tmp_path / "source", seed)
    except Missing as missing:
        pytest.skip(str(missing))
    found = {
        title: after_growth(task, source, steps, tmp_path / title.replace(" ", "-"), seed)
        for title, steps in PLANS.items()
    }
    plain = unchanged(task, source, seed)
    for title, losses in found.items():
        grown, reset, dropped = (losses[arm] for arm in ("grown", "reset", "dropped"))
        assert grown[0] == reset[0] == dropped[0] == pytest.approx(plain[0], rel=1e-4)
        worst = max(a - b for a, b in zip(grown, plain, strict=True))
        jump = max(a - b for a, b in zip(reset, plain, strict=True))
        measured(f"{title}, seed {seed}: grown moments above no growth, at worst", worst, 0.2)
        measured(f"{title}, seed {seed}: and reset ones, below", -jump, -0.2)
        means = [sum(arm) / len(arm) for arm in (grown, reset, dropped)]
        measured(f"{title}, seed {seed}: mean of 20 losses, grown, beside reset", means[0], means[1])
