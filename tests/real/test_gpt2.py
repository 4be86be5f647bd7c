"""A GPT-2 trained here: the sentence `widen hidden A→B via fpi; stack depth x2; mask-in heads`."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.real.assets import EXAMPLES, apply, by_interpreter, load_clean, upcast

pytestmark = pytest.mark.evidence
Measured = Callable[[str, float, float], None]
GPT2 = EXAMPLES / "gpt2"


@pytest.fixture(scope="module")
def script() -> dict[str, Any]:
    return runpy.run_path(str(GPT2 / "train.py"))


@pytest.fixture(scope="module")
def trained(script: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model of examples/gpt2, trained once (about a minute)."""
    beside = GPT2 / "model"
    if (beside / "model.safetensors").exists():
        return beside
    return script["train"](tmp_path_factory.mktemp("gpt2") / "model")


def test_the_trained_model_has_learnt_something(script: dict[str, Any], trained: Path) -> None:
    assert held_out_loss(script, trained) < 2.3  # nats a byte; 5.5 untrained


def held_out_loss(script: dict[str, Any], folder: Path) -> float:
    from transformers import AutoModelForCausalLM

    _, evaluation = script["held_out"](script["corpus"]())
    return script["loss_of"](load_clean(AutoModelForCausalLM, folder), evaluation)


def test_the_first_step_keeps_the_loss(
    script: dict[str, Any], trained: Path, tmp_path: Path, measured: Measured
) -> None:
    """96→128 is no multiple: the new units hold the mean."""
    grown = apply(GPT2 / "wider.grow", trained, tmp_path / "wider")
    change = abs(held_out_loss(script, grown) - held_out_loss(script, trained))
    measured("GPT-2 96→128, float32: held-out loss", change, 1e-5)


def test_the_first_step_is_exact_in_float64(trained: Path, tmp_path: Path, measured: Measured) -> None:
    source = upcast(trained, tmp_path / "source")
    grown = apply(GPT2 / "wider.grow", source, tmp_path / "wider")
    ids = torch.arange(256).reshape(4, 64)
    old, new = (by_interpreter(folder, ids)["logits"] for folder in (source, grown))
    measured("GPT-2 96→128, float64: logits", float((old - new).abs().max() / old.std()), 1e-11)


def test_the_sentence_applies_as_it_stands(script: dict[str, Any], trained: Path, tmp_path: Path) -> None:
    grown = apply(GPT2 / "sentence.grow", trained, tmp_path / "sentence")
    config = json.loads((grown / "config.json").read_text(encoding="utf-8"))
    assert (config["n_embd"], config["n_head"], config["n_layer"]) == (128, 8, 8)
    loss = held_out_loss(script, grown)
    assert held_out_loss(script, trained) + 0.01 < loss < 20  # stacking moves it, and it is finite
