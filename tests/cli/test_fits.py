"""Fits from the command line: what goes wrong in one is told, where it is, with a way out that works."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.made import document, run
from tests.learn.test_operators import LINE, gpt2, plan_of


def prepared(folder: Path, options: str, steps: int = 3) -> Path:
    gpt2(folder / "m", resid_pdrop=0.1)
    plan_of(folder, LINE, options=options, steps=steps)
    return folder / "p.grow"


def test_no_number_in_the_source_is_told_before_the_first_step(tmp_path: Path) -> None:
    plan = prepared(tmp_path, ", batch 2")
    file = tmp_path / "m" / "model.safetensors"
    tensors = load_file(file)
    tensors["transformer.h.0.mlp.c_fc.weight"][0, 0] = torch.nan
    save_file(tensors, file, {"format": "pt"})
    result = run("apply", plan)
    assert result.exit_code == 1 and "error[GP534]: the loss is nan before the first step" in result.stderr
    assert "p.grow:4:" in result.stderr and "look at the source" in result.stderr
    assert not (tmp_path / "g").exists() and not (tmp_path / "g.partial").exists()


def test_a_rising_loss_is_a_warning_beside_what_was_written(tmp_path: Path) -> None:
    plan = prepared(tmp_path, ", batch 2, lr 0.5, warmup 0")
    result = run("apply", plan)
    assert result.exit_code == 0 and "warning[GP536]" in result.stderr and "lower `lr`" in result.stderr
    assert (tmp_path / "g" / "model.safetensors").exists()
    better = run("apply", plan, "--force", "--set", "grow-hidden-heads-ffn-depth.lr=0.01")
    assert better.exit_code == 0 and "GP536" not in better.stderr


def test_what_a_fit_is_told_is_what_it_does(tmp_path: Path) -> None:
    """Dropout, precision and the length of sequences, in `check`, in the report and in the record."""
    options = ", batch 2, tokens 100, dropout model, precision bfloat16, schedule constant, every 2"
    plan = prepared(tmp_path, options)
    checked = run("check", plan)
    assert "dropout on" in checked.stdout and "× 24 tokens" in checked.stdout
    assert "note[GP554]" in checked.stderr and "`tokens 24` says so" in checked.stderr
    data = document("apply", plan)
    recipe = data["fitted"][0]["recipe"]
    assert (recipe["tokens"], recipe["dropout"], recipe["precision"]) == (24, True, "bfloat16")
    exact = document("apply", plan, "--force", "--set", "grow-hidden-heads-ffn-depth.precision=float32")
    assert exact["fitted"][0]["after"] == pytest.approx(data["fitted"][0]["after"], rel=1e-2)
    assert exact["fitted"][0]["after"] != data["fitted"][0]["after"]
