"""The plan and the config of a toy: the plan's own words, small sizes in them."""

from __future__ import annotations

import pytest

from growplan.language.printing import step_text
from growplan.toy.plan import toy_config, toy_plan
from growplan.toy.sizes import toy_sizes
from tests.check.models import check, model


def lines(family: str, steps: str) -> list[str]:
    typed = check(family, steps)
    return [step_text(step) for step in toy_plan(typed, toy_sizes(typed)).steps]


@pytest.mark.parametrize(
    ("family", "steps", "toy"),
    [
        ("gpt2", "widen hidden 768→1024 via fpi", "widen hidden 12→16 via fpi"),
        ("gpt2", "widen n_embd to 1024 via fpi", "widen n_embd to 16 via fpi"),
        ("gpt2", "stack depth x2", "stack depth x2"),
        ("smollm", "stack depth 30→48 via solar, m 6", "stack depth 5→8 via solar, m 1"),
        ("smollm", "stack depth via gstack, g 4", "stack depth via gstack, g 4"),
        ("gpt2", "mask-in ffn 3072→4096 over 5000 steps", "mask-in ffn 48→64 over 5000 steps"),
    ],
)
def test_the_same_words_with_small_sizes(family: str, steps: str, toy: str) -> None:
    assert lines(family, steps) == [toy]


def test_findings_point_at_the_plan_itself() -> None:
    typed = check("gpt2", "widen ffn x2; widen hidden 768→1024 via fpi")
    small = toy_plan(typed, toy_sizes(typed))
    for step, mine in zip(typed.plan.steps, small.steps, strict=True):
        assert mine.span == step.span
        assert mine.place("via") == step.place("via")
        assert mine.growths[0].place("to") == step.growths[0].place("to")


def test_keys_that_depend_on_sizes_follow() -> None:
    source = model(
        "smollm", bos_token_id=3, eos_token_id=[2, 49151], pad_token_id=None, torch_dtype="bfloat16"
    )
    small = {**source.sizes, "vocab": 29, "depth": 2, "hidden": 36}
    config = toy_config(source, small)
    assert (config["vocab_size"], config["num_hidden_layers"], config["hidden_size"]) == (29, 2, 36)
    assert (config["bos_token_id"], config["eos_token_id"], config["pad_token_id"]) == (3, [2, 0], None)
    assert config["dtype"] == "float64"
    assert "torch_dtype" not in config
    assert "head_dim" not in config, "what was left to a formula stays so"


def test_a_key_that_repeats_a_size_follows() -> None:
    source = model("gpt2", n_ctx=1024)
    assert toy_config(source, {**source.sizes, "positions": 16})["n_ctx"] == 16
