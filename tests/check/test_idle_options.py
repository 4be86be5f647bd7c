"""Options that would be ignored are refused; defaults are words; errors name a way out that works."""

from __future__ import annotations

from typing import Any

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.methods import get_method, method_names
from tests.check.models import check

TINY = {"hidden_size": 48, "num_attention_heads": 6, "num_key_value_heads": 2, "intermediate_size": 80}


def refusal(name: str, steps: str, **config: Any) -> tuple[str, str, tuple[str, ...]]:
    with pytest.raises(DiagnosticError) as caught:
        check(name, steps, **config)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    return found.code, found.message, found.help


@pytest.mark.parametrize(
    ("name", "steps", "option"),
    [
        ("smollm", "upcycle ffn to 4 experts, scale sqrt", "`scale`"),
        ("gpt2", "deepen depth x2 via mslt, init normal(0.1)", "`init`"),
        ("gpt2", "deepen depth x2 via identity, init normal(0.1)", "`init`"),
        ("gpt2", "deepen depth x2 via identity, new copy, init like", "`init`"),
        ("gpt2", "widen vocab x2 via fpi, noise 10", "`noise`"),
        ("smollm", "widen head_dim 64→80 via fpi, noise 10", "`noise`"),
        ("gpt2", "widen vocab x2 via fpi, rows mean, init normal(0.1)", "`init`"),
        ("gpt2", "widen positions x2 via fpi, rows copy, init normal(0.1)", "`init`"),
    ],
)
def test_an_option_that_nothing_reads_is_refused(name: str, steps: str, option: str) -> None:
    code, message, help = refusal(name, steps)
    assert code == "GP230"
    assert option in message
    assert help


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("smollm", "upcycle ffn to 4 experts, granularity 2, scale sqrt"),
        ("gpt2", "deepen depth x2 via mslt, new fresh, init normal(0.1)"),
        ("gpt2", "widen vocab x2 via fpi, noise none"),
        ("gpt2", "widen hidden 768→832 via fpi, noise 10"),  # the heads that it implies are copied
        ("gpt2", "widen hidden 768→768 via fpi, noise 10"),
        ("gpt2", "widen vocab x2 via fpi, init normal(0.1)"),
        ("gpt2", "grow hidden 768→832, vocab x2 via fpi, rows mean, init normal(0.1)"),
        ("smollm", "upcycle ffn to 4 experts, noise none, drop none"),
        ("smollm", "upcycle ffn to 4 experts, noise 0, drop 0"),
    ],
)
def test_an_option_that_something_reads_is_not(name: str, steps: str) -> None:
    assert check(name, steps).steps


def test_no_default_stands_for_something_else() -> None:
    for name in method_names():
        method = get_method(name)
        assert method is not None
        zeros = {o.name for o in method.options if o.default in (0, -1)}
        assert zeros <= {"weight-decay"}, name  # no decay is what it says


def test_each_default_can_be_written() -> None:
    assert check("gpt2", "stack depth x2 via solar, m size").target.sizes["depth"] == 24
    assert check("gpt2", "stack depth x2 via gstack, g size").target.sizes["depth"] == 24
    assert check("gpt2", "stack depth x2 via midas, block largest").target.sizes["depth"] == 24


def test_solar_without_a_seam() -> None:
    step = check("gpt2", "stack depth via solar, m 0").steps[0]
    assert [source.layer for source in step.layers] == [*range(12), *range(12)]


@pytest.mark.parametrize("option", ["m 1.5", "m -1", "m seven", "m true"])
def test_a_count_is_a_whole_number(option: str) -> None:
    code, _, help = refusal("gpt2", f"stack depth x2 via solar, {option}")
    assert code == "GP116"
    assert "whole number" in help[0]


@pytest.mark.parametrize(
    ("name", "steps", "code", "way"),
    [
        ("gpt2", "stack depth via solar", "GP105", "or give `m N` of `solar`"),
        ("gpt2", "stack depth via gstack", "GP105", "or give `g N` of `gstack`"),
        ("gpt2", "deepen depth 12→16 via solar", "GP113", "write `stack depth 12→16 via solar`"),
        ("gpt2", "stack depth x2 via identity", "GP113", "write `deepen depth 12→24 via identity`"),
        ("gpt2", "stack depth x3 via mslt", "GP121", "or `new fresh`, which takes any depth"),
        ("smollm", "widen head_dim 64→71", "GP201", "widen head_dim to 70"),
        ("smollm", "widen head_dim 64→71", "GP201", "widen head_dim to 72"),
        ("gpt2", "widen hidden x2, noise off", "GP009", "`noise none`"),
        ("gpt2", "widen hidden x2 via fpi, noise 10 dB", "GP020", "write `noise 10`"),
        ("gpt2", "widen hidden x2 via fpi, noise 10 split even", "GP020", "write `, split VALUE`"),
    ],
)
def test_ways_out(name: str, steps: str, code: str, way: str) -> None:
    found, _, help = refusal(name, steps)
    assert found == code
    assert any(way in text for text in help), help


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("gpt2", "stack depth via gstack, g 2"),
        ("gpt2", "stack depth 12→16 via solar"),
        ("gpt2", "deepen depth 12→24 via identity"),
        ("gpt2", "stack depth x3 via mslt, new fresh"),
        ("smollm", "widen head_dim 64→70"),
        ("smollm", "widen head_dim 64→72"),
        ("gpt2", "widen hidden x2 via fpi, noise 10"),
    ],
)
def test_ways_out_work(name: str, steps: str) -> None:
    assert check(name, steps).steps


def test_a_size_that_a_step_implies_is_said_to_be_implied() -> None:
    code, message, _ = refusal("bert", "widen head_dim 32→48")
    assert code == "GP201"
    assert message == "`fpi` cannot grow `hidden` 384→576, which the step implies, in the bert family"
