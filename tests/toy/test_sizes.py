"""Toy sizes: small, and alike in everything a checker can ask."""

from __future__ import annotations

from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from growplan.toy.sizes import few, toy_sizes
from tests.check.models import check

LLAMA = {"hidden_size": 576, "num_attention_heads": 9, "num_key_value_heads": 3, "intermediate_size": 1536}
CASES = {
    "gpt2": ("gpt2", {}, "widen hidden 768→1024 via fpi; widen ffn 3072→4096 via fpi"),
    "gpt2 with a formula": ("gpt2", {"n_inner": None}, "widen hidden 768→1024 via fpi"),
    "bert": ("bert", {}, "widen hidden x2 via fpi; stack depth x2"),
    "grouped": ("smollm", LLAMA, "widen hidden 576→960 via fpi; widen ffn 1536→2560 via fpi"),
    "head_dim": ("smollm", LLAMA, "widen head_dim 64→96 via fpi"),
    "free width": ("smollm", {**LLAMA, "head_dim": 80}, "widen hidden 576→720 via fpi"),
    "three sizes": ("gpt2", {}, "widen ffn to 4096 via fpi; widen ffn to 6144 via net2net"),
}


@pytest.mark.parametrize("case", CASES)
def test_ratios_remainders_and_relations_stay(case: str) -> None:
    family, config, steps = CASES[case]
    typed = check(family, steps, **config)
    models = [typed.source, *(step.after for step in typed.steps)]
    small = toy_sizes(typed)
    assert len(small) == len(models)
    for model, toy in zip(models, small, strict=True):
        assert toy.keys() == model.sizes.keys()
        family_file = model.family
        for left, right in (*family_file.equations, *family_file.keeps):
            assert (_value(left, model.sizes) == _value(right, model.sizes)) == (
                _value(left, toy) == _value(right, toy)
            )
        for left, right in family_file.constraints:
            a, b = (_value(left, s) % _value(right, s) for s in (model.sizes, toy))
            assert (a == 0) == (b == 0)
    for axis in ("hidden", "ffn", "heads", "head_dim", "depth"):
        for a, b, x, y in zip(models, models[1:], small, small[1:], strict=False):
            assert a.sizes[axis] * y[axis] == b.sizes[axis] * x[axis]
    assert prod(small[0][axis] for axis in ("hidden", "ffn")) < 10_000


def _value(expression: str, sizes: dict[str, int]) -> int:
    return prod(sizes[name] if name in sizes else int(name) for name in expression.split("*"))


def test_what_a_formula_gives_it_gives_the_toy() -> None:
    typed = check("gpt2", "widen hidden 768→1024 via fpi", n_inner=None)
    first, *_ = toy_sizes(typed)
    assert first["ffn"] == 4 * first["hidden"]


def test_head_dims_stay_even_and_heads_stay_grouped() -> None:
    for sizes in toy_sizes(check("smollm", "widen head_dim 64→96 via fpi", **LLAMA)):
        assert sizes["head_dim"] % 2 == 0
        assert sizes["heads"] > sizes["kv_heads"] > 1


def test_an_axis_of_its_own_needs_no_common_divisor() -> None:
    first, last = toy_sizes(check("gpt2", "widen ffn 3072→3073 via fpi", n_inner=3072))
    assert (first["ffn"], last["ffn"]) == (29, 30)


@given(st.lists(st.integers(0, 40_000), min_size=1, max_size=4), st.integers(30, 200_000))
def test_few_keeps_quotients_and_whether_there_is_a_rest(grown: list[int], first: int) -> None:
    chain = [first]
    for more in grown:
        chain.append(chain[-1] + more)
    small = few(tuple(chain), 29)
    for a, b, x, y in zip(chain, chain[1:], small, small[1:], strict=False):
        assert b // a == y // x
        assert (b % a == 0) == (y % x == 0)
