"""A small GPT-2 that grows behind masks while it is trained: the loss never jumps."""

from __future__ import annotations

import runpy
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import growplan
from growplan.runtime import attach
from tests.real.assets import EXAMPLES

pytestmark = pytest.mark.evidence
GPT2 = EXAMPLES / "gpt2"
STEPS = 200


@pytest.fixture(scope="module")
def loop() -> dict[str, Any]:
    return runpy.run_path(str(GPT2 / "masked.py"))


@pytest.fixture(scope="module")
def source(loop: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of examples/gpt2, trained once (about a minute)."""
    beside = GPT2 / "model"
    if (beside / "model.safetensors").exists():
        return beside
    return loop["TEXT"]["train"](tmp_path_factory.mktemp("gpt2") / "model")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_jump_at_growth_or_at_the_end(
    loop: dict[str, Any], source: Path, seed: int, tmp_path: Path
) -> None:
    from transformers import GPT2LMHeadModel

    text = loop["TEXT"]
    training, evaluation = text["held_out"](text["corpus"]())
    before = text["loss_of"](GPT2LMHeadModel.from_pretrained(source), evaluation)
    growplan.load(GPT2 / "masked.grow", set=[f"seed={seed}"], model=source).apply(tmp_path / "g")
    model = GPT2LMHeadModel.from_pretrained(tmp_path / "g").train()
    growth = attach(model, tmp_path / "g")
    losses = [text["loss_of"](model, evaluation)]
    assert losses[0] == pytest.approx(before, abs=1e-5)
    for step in loop["train"](model, growth, training, STEPS, seed):
        if step % 5 == 0 or growth.end - 2 <= step <= growth.end + 2:
            losses.append(text["loss_of"](model, evaluation))
    steps = [b - a for a, b in pairwise(losses)]
    ramp, after = steps[: len(steps) // 2], steps[len(steps) // 2 :]
    assert not growth.active
    assert max(ramp) < max(0.06, 3 * max(after))  # no rise that plain training does not know
    assert losses[-1] < losses[0] + 0.01
