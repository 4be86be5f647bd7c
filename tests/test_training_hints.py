"""What the card, `growplan log` and growth.json say of training on: only what a paper says of such growth."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.checkpoint.growth_reader import read_growth
from growplan.views.record import LogReport
from growplan.views.style import Style
from tests.matrix.cases import Variant
from tests.matrix.run import grow, write_source

LLAMA = Variant("llama", "llama", "LlamaForCausalLM", "rms", {})
VIT = Variant("vit", "vit", "ViTForImageClassification", "pre-ln", {})
LEMON, STACK = "LEMON keeps the peak", "StackingBERT goes on"
UPCYCLE, IMAGES = "resets the learning rate to the peak", "ViT is fine-tuned"
SAID = (LEMON, STACK, UPCYCLE, IMAGES, "MSLT trains")


@pytest.mark.parametrize(
    ("variant", "steps", "expected"),
    [
        (LLAMA, "widen hidden 48→72", {LEMON}),
        (LLAMA, "deepen depth x2 via identity", {LEMON}),
        (LLAMA, "stack depth x2", {STACK}),
        (LLAMA, "deepen depth x2 via mslt", {"MSLT trains"}),
        (LLAMA, "upcycle ffn to 4 experts", {UPCYCLE}),
        (LLAMA, "upcycle ffn to 4 experts, drop 0.5", {UPCYCLE}),
        (LLAMA, "widen ffn x2; upcycle ffn to 4 experts", {UPCYCLE, LEMON}),
        (LLAMA, "widen ffn x2; stack depth x2", {STACK}),
        (LLAMA, "widen vocab x2", set()),
        (VIT, "widen image x2 via resample", {IMAGES}),
    ],
)
def test_of_each_kind_of_growth(variant: Variant, steps: str, expected: set[str], tmp_path: Path) -> None:
    target = grow(write_source(variant, tmp_path / "source"), steps, tmp_path / "target").target
    growth = read_growth(target)
    assert growth is not None
    card = (target / "README.md").read_text(encoding="utf-8")
    log = LogReport("target", growth).human(Style())
    for text in (card, log, "" if growth.hint is None else growth.hint.why):
        assert {said for said in SAID if said in text} == expected
    assert ("Training on" in card) == bool(expected)
    assert ("peak learning rate with" in card) == bool(expected & {LEMON, STACK})
