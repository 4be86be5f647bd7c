"""The next 20 losses of a trained model after a growth, with AdamW's moments grown, reset and dropped."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest

from benchmarks.datasets import Missing
from benchmarks.optimizer_losses import ARMS, NONE, PLANS, above, measure
from benchmarks.trained import TASKS

pytestmark = pytest.mark.evidence


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_grown_moments_go_on_where_reset_ones_jump(
    seed: int, tmp_path: Path, measured: Callable[[str, float, float], None]
) -> None:
    """At the full rate, for every seed; behind a warm-up neither does, and neither is better."""
    try:
        found = measure(TASKS["austen"], tmp_path, seed)
    except Missing as missing:
        pytest.skip(str(missing))
    first = found[NONE][""][0]
    for title in PLANS:
        over = {arm: above(found, title, arm) for arm in ARMS}
        assert [found[title][arm][0] for arm in ARMS] == pytest.approx([first] * len(ARMS), rel=1e-4)
        jump = max(over["reset"])
        measured(f"{title}, seed {seed}: reset moments above no growth, at worst, below", -jump, -0.2)
        measured(f"{title}, seed {seed}: and grown ones", max(over["grown"]), jump / 2)
        means = {arm: fmean(losses) for arm, losses in over.items()}
        measured(
            f"{title}, seed {seed}: mean of 20 losses, grown less reset", means["grown"] - means["reset"], 0
        )
        apart = abs(means["grown, warm"] - means["dropped"])
        measured(f"{title}, seed {seed}: and behind a warm-up, grown and dropped apart", apart, 0.02)
