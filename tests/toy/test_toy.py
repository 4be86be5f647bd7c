"""`growplan toy`: a plan without weights runs in seconds, and is proved to be the same thing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_file, parse_text
from growplan.toy import run_toy
from tests.cli.made import document, run

PLANS = Path(__file__).parents[2] / "plans"
MEDIUM = PLANS / "fpi-gpt2-medium.grow.yaml"


def test_a_plan_without_weights_runs() -> None:
    result = run_toy(parse_file(str(MEDIUM)))
    assert result.directory is None
    assert str(result.toy.claim) == str(result.full.claim) == "exact"
    assert all(measured.relative < 1e-9 for _, measured in result.applied.steps)


def test_every_parameter_of_the_source_is_random_and_the_same_each_time(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    for name in ("a", "b"):
        run_toy(parse_file(str(MEDIUM)), tmp_path / name)
    first, second = ((tmp_path / n / "source" / "model.safetensors").read_bytes() for n in ("a", "b"))
    assert first == second
    for name, tensor in load_file(tmp_path / "a" / "source" / "model.safetensors").items():
        assert tensor.unique().numel() > 1, name


def test_what_is_kept_can_be_applied_again(tmp_path: Path) -> None:
    result = run("toy", MEDIUM, "--out", tmp_path / "kept")
    assert result.exit_code == 0, result.output
    kept = tmp_path / "kept"
    assert {p.name for p in kept.iterdir()} == {"source", "grown", "plan.grow"}
    assert run("apply", kept / "plan.grow", "--out", tmp_path / "again", "--no-stock").exit_code == 0
    sums = [json.loads((d / "growth.json").read_text()) for d in (kept / "grown", tmp_path / "again")]
    assert sums[0]["tensors"] == sums[1]["tensors"]
    assert run("verify", kept / "grown").exit_code == 0


def test_a_directory_that_is_not_empty_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    result = run("toy", MEDIUM, "--out", tmp_path / "full")
    assert result.exit_code == 1
    assert "GP401" in result.stderr
    assert [p.name for p in (tmp_path / "full").iterdir()] == ["mine.txt"]


def test_both_plans_are_shown_side_by_side() -> None:
    shown = run("toy", MEDIUM).stdout
    assert "768 → 1024" in shown
    assert "12 → 16" in shown
    data = document("toy", str(MEDIUM))
    assert data["full"]["after"]["hidden"] == 1024
    assert data["toy"]["grown"]["sizes"]["hidden"] == 16


def test_the_stock_class_loads_a_toy() -> None:
    result = run_toy(parse_file(str(PLANS / "fpi-smollm2-360m.grow.yaml")), stock=True)
    assert result.applied.stock is not None
    assert all(d.error < 1e-5 * d.spread for d in result.applied.stock)


def test_the_stock_class_loads_a_toy_whose_positions_count_from_the_padding(tmp_path: Path) -> None:
    """RoBERTa's 16 positions read 14 tokens."""
    config = json.loads((PLANS / "configs" / "bert-base-uncased" / "config.json").read_text())
    roberta = {"architectures": ["RobertaForMaskedLM"], "model_type": "roberta", "pad_token_id": 1}
    (tmp_path / "config.json").write_text(json.dumps({**config, **roberta, "max_position_embeddings": 514}))
    result = run_toy(parse_text("widen ffn x2", "p.grow", "dsl"), model_dir=tmp_path, stock=True)
    assert result.toy.source.sizes["positions"] == 16
    assert result.applied.stock


def test_a_mistake_of_the_plan_is_placed_in_the_plan(tmp_path: Path) -> None:
    plan = tmp_path / "bad.grow"
    plan.write_text(f"source {PLANS}/configs/gpt2\nwiden hidden 512→1024 via fpi\n", encoding="utf-8")
    result = run("toy", plan)
    assert result.exit_code == 1
    assert "GP102" in result.stderr
    assert "bad.grow:2:" in result.stderr


def test_sizes_that_stay_large_are_refused(tmp_path: Path) -> None:
    """4093 heads are a prime number of them."""
    config = json.loads((PLANS / "configs" / "gpt2" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "n_head": 4093, "n_embd": 8186}))
    plan = parse_text("widen hidden 8186→8190 via fpi", "p.grow", "dsl")
    with pytest.raises(DiagnosticError) as refused:
        run_toy(plan, model_dir=tmp_path)
    (found,) = refused.value.diagnostics
    assert found.code == "GP620"
    assert found.span is not None
    assert "`hidden` 8186→8190" in found.message


def test_a_toy_that_is_proved_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shrink that made a multiple of what was none would change the proof."""
    from growplan.toy import run as module

    def doubled(typed: object) -> object:
        sizes = shrink(typed)  # type: ignore[arg-type]
        return (
            sizes[0],
            *({**s, "hidden": 2 * sizes[0]["hidden"], "heads": 2 * s["heads"]} for s in sizes[1:]),
        )

    shrink = module.toy_sizes
    monkeypatch.setattr(module, "toy_sizes", doubled)
    plan = parse_text("widen hidden 768→1024 via fpi", "p.grow", "dsl")
    with pytest.raises(DiagnosticError) as refused:
        run_toy(plan, model_dir=PLANS / "configs" / "gpt2")
    assert {d.code for d in refused.value.diagnostics} == {"GP621"}


def test_what_the_stock_class_computes_is_shown() -> None:
    shown = run("toy", PLANS / "fpi-smollm2-360m.grow.yaml", "--stock").stdout
    assert "loaded" in shown and "by the stock transformers class" in shown
    assert "by the stock transformers class" not in run("toy", PLANS / "fpi-smollm2-360m.grow.yaml").stdout


def test_what_the_sizes_of_a_plan_settle_holds_for_its_toy(tmp_path: Path) -> None:
    text = "grow ffn x2, depth x2 via ligo on corpus.txt for 1 steps, mask 0"
    (tmp_path / "corpus.txt").write_text("a text of some words, " * 99)
    plan = parse_text(text, "p.grow", "dsl").read_from(str(tmp_path / "p.grow"))
    result = run_toy(plan, model_dir=PLANS / "configs" / "bert-base-uncased")
    ties = [
        step.operator.tying for typed in (result.full, result.toy) for step in typed.steps if step.operator
    ]
    assert ties == ["shared", "shared"]
