"""No loss jumps where a masked growth begins, nor where its masks are taken away; on real text, by seeds."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from examples.gpt2.train import corpus
from tests.training.runs import held_out, losses, run, write_plan, write_source

pytestmark = pytest.mark.evidence
AXES = {
    "ffn": ["mask-in ffn 192→384 over 100 steps"],
    "depth": ["mask-in depth 2→4 over 100 steps"],
    "hidden": ["mask-in hidden 48→96 over 100 steps", "mask-in heads 3→6 over 100 steps"],
}
RAMP, LOOKED_AT = 100, 60


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("axis", AXES)
def test_masks_move_no_loss(axis: str, seed: int, tmp_path: Path) -> None:
    sizes = {"vocab_size": 256, "n_positions": 64, "n_head": 3, "layer_norm_epsilon": 1e-5}
    source = write_source(tmp_path, seed=seed, **sizes, resid_pdrop=0.0, attn_pdrop=0.0, embd_pdrop=0.0)
    assert source.is_dir()
    (tmp_path / "text.txt").write_bytes(bytes(corpus().tolist()))
    stages = f"""
{{name: small, train: {{for: 200 steps}}}}
{{name: large, steps: {AXES[axis]}, train: {{for: 200 steps}}}}
"""
    plan = write_plan(tmp_path, stages, on="text.txt", batch=16, tokens=64, lr=2e-3, every=100)
    result = run(plan, tmp_path / "run", f"seed={seed}")
    before, after = held_out(result, "large", "growth")
    assert abs(after - before) < 1e-5
    assert held_out(result, "large", "end") < before
    seen = losses(result)
    steps = [abs(b - a) for a, b in pairwise(seen)]  # from one batch to the next
    for at in (200, 200 + RAMP):  # the first masked step, and the first plain one
        assert steps[at - 1] <= 1.5 * max(steps[at - 1 - LOOKED_AT : at - 1]), (axis, at)
