"""Sizes written back to a config, equations, size arithmetic."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError, Source
from growplan.families import (
    ExpressionError,
    bind,
    evaluate_size,
    explicit_config,
    kept_equations,
    open_equations,
)
from growplan.families.expr import parse_axes
from growplan.families.load import parse_family
from growplan.families.sizes import broken_constraints
from growplan.families.text import DATA
from tests.families.configs import CONFIGS, config, model


def test_nothing_moves_nothing_is_written() -> None:
    gpt2 = model("gpt2")
    assert explicit_config(gpt2, gpt2.sizes)["n_inner"] is None
    assert explicit_config(gpt2, gpt2.sizes, {"x": 1})["x"] == 1


def test_derived_defaults_become_explicit() -> None:
    gpt2 = model("gpt2", n_ctx=24)
    grown = explicit_config(gpt2, {**gpt2.sizes, "hidden": 96, "heads": 12, "positions": 48})
    assert (grown["n_embd"], grown["n_head"], grown["n_inner"]) == (96, 12, 192)
    assert (grown["n_positions"], grown["n_ctx"]) == (48, 48)
    assert "head_dim" not in grown
    llama = model("llama", num_key_value_heads=None)
    grown = explicit_config(llama, {**llama.sizes, "heads": 12, "kv_heads": 6})
    assert (grown["num_key_value_heads"], grown["head_dim"], grown["hidden_size"]) == (6, 8, 48)


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("n_inner ?? hidden//0", "`ffn = hidden//0` divides by zero"),
        ("n_inner ?? hidden // (heads - heads)", "divides by zero"),
        ("n_inner ?? 4*ffn", "`ffn = 4*ffn` needs ffn"),
    ],
)
def test_a_default_without_a_value_is_reported(formula: str, words: str) -> None:
    text = (DATA / "gpt2.yaml").read_text(encoding="utf-8").replace("n_inner ?? 4*hidden", formula)
    family = parse_family(Source("mine.yaml", text))
    with pytest.raises(DiagnosticError) as caught:
        bind(family, config(CONFIGS["gpt2"]))
    (found,) = caught.value.diagnostics
    assert found.code == "GP316" and words in found.message
    assert found.help == ("give `n_inner` in config.json",)
    assert bind(family, config({**CONFIGS["gpt2"], "n_inner": 96})).sizes["ffn"] == 96


def test_labels_and_other_keys_are_untouched() -> None:
    kept = {"id2label": {"0": "a", "1": "b", "2": "c"}, "_name_or_path": "x", "torch_dtype": "bfloat16"}
    bert = model("bert", architectures=["BertForSequenceClassification"], **kept)
    assert bert.sizes["labels"] == 3
    grown = explicit_config(bert, {**bert.sizes, "ffn": 160}, {"layer_norm_eps": 1e-6})
    assert {key: grown[key] for key in kept} == kept
    assert "num_labels" not in grown
    assert grown["layer_norm_eps"] == 1e-6


def test_transformers_reads_the_sizes_back(tmp_path: Path) -> None:
    import transformers

    for family in ("bert", "gpt2", "llama"):
        source = model(family)
        grown = explicit_config(source, {**source.sizes, "hidden": 96, "heads": 12, "depth": 5})
        (tmp_path / "config.json").write_text(json.dumps(grown))
        config = transformers.AutoConfig.from_pretrained(tmp_path)
        assert (config.hidden_size, config.num_attention_heads, config.num_hidden_layers) == (96, 12, 5)
        assert (getattr(config, "n_inner", None) or config.intermediate_size) == source.sizes["ffn"]


def test_equations() -> None:
    gpt2, llama = model("gpt2"), model("llama")
    assert open_equations(gpt2.family, gpt2.sizes) == ()
    assert open_equations(gpt2.family, {**gpt2.sizes, "hidden": 96}) == (("hidden", "heads*head_dim"),)
    assert kept_equations(llama.family, llama.sizes) == (("hidden", "heads*head_dim"),)
    assert kept_equations(llama.family, model("llama", head_dim=4).sizes) == ()
    assert broken_constraints(llama.family, {**llama.sizes, "kv_heads": 4}) == (("heads", "kv_heads"),)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("4*hidden", 192),
        ("hidden // heads", 9),
        ("hidden / heads", Fraction(48, 5)),
        ("hidden - heads - 1", 42),
        ("hidden % heads", 3),
        ("(hidden + heads) * 2", 106),
        (" 7 ", 7),
    ],
)
def test_size_arithmetic_is_exact(text: str, value: int | Fraction) -> None:
    found = evaluate_size(text, {"hidden": 48, "heads": 5})
    assert found == value
    assert isinstance(found, int) == (value == int(value))


@pytest.mark.parametrize(
    "text", ["hidden // 0", "other", "hidden ** 2", "f(hidden)", "1.5", "True", "", "a b"]
)
def test_size_errors(text: str) -> None:
    with pytest.raises(ExpressionError):
        evaluate_size(text, {"hidden": 48})


@pytest.mark.parametrize("text", ["", "a - b", "a*0", "a**2", "(a + b)*c", "a[0]", "-1", "a.b", "True"])
def test_axis_expressions_are_sums_of_products(text: str) -> None:
    with pytest.raises(ExpressionError):
        parse_axes(text)


def test_axis_expression_prints_as_written() -> None:
    text = "heads*head_dim + 2*kv_heads*head_dim + 3"
    assert str(parse_axes(text)) == text
    assert parse_axes(text).size({"heads": 4, "kv_heads": 2, "head_dim": 8}) == 67
