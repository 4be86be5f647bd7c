"""Models that read pixels: the interpreter against stock transformers, in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from growplan.backend.interpreter import Interpreter
from growplan.checkpoint.config import read_config
from growplan.checkpoint.headers import read_headers
from growplan.families import bind, detect
from tests.float64 import load_float64
from tests.tiny import tiny_checkpoint

CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("vit", "ViTModel", {}),
    ("vit", "ViTModel", {"pooler_output_size": 30, "hidden_act": "gelu_new"}),
    ("vit", "ViTModel", {"image_size": 22, "num_channels": 1, "qkv_bias": False}),
    ("vit", "ViTForImageClassification", {"num_labels": 5, "hidden_act": "relu"}),
    ("vit", "ViTForImageClassification", {"head_dim": 12}),
    ("deit", "DeiTModel", {"head_dim": 4}),
    ("deit", "DeiTForImageClassification", {"num_labels": 3}),
    ("deit", "DeiTForImageClassificationWithTeacher", {"num_labels": 4, "qkv_bias": False}),
]
OUTPUTS = {"hidden": "last_hidden_state", "pooled": "pooler_output", "logits": "logits"}


def interpreter(path: Path) -> Interpreter:
    config = read_config(path)
    tensors = load_file(path / "model.safetensors")
    model = bind(detect(config), config, read_headers(path).tensors)
    assert set(tensors) == {name for name, _, _ in model.tensors()}
    return Interpreter(model, tensors.__getitem__)


def pixels(model: Any, batch: int = 3) -> torch.Tensor:
    size = model.sizes["image"]
    shape = (batch, model.sizes["channels"], size, size)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize(
    ("family", "architecture", "config"), CASES, ids=[f"{c}-{i}" for i, (_, c, _) in enumerate(CASES)]
)
def test_parity(family: str, architecture: str, config: dict[str, Any], tmp_path: Path) -> None:
    path = tiny_checkpoint(family, tmp_path, architecture=architecture, **config)
    ours = interpreter(path)
    images = pixels(ours.model)
    found = ours.outputs(images)
    with torch.no_grad():
        out = load_float64(path, architecture)(images)
    stock = {name: out[key] for name, key in OUTPUTS.items() if key in out}
    assert set(found) == set(stock)
    for name, value in found.items():
        assert value.shape == stock[name].shape
        assert float((value - stock[name]).abs().max() / stock[name].std()) < 1e-12, name


def test_a_model_without_pooler(tmp_path: Path) -> None:
    """`ViTModel(config, add_pooling_layer=False)`, as classifiers hold it."""
    import transformers

    from tests.tiny import BASE, randomise

    model = transformers.ViTModel(transformers.ViTConfig(**BASE["vit"]), add_pooling_layer=False)
    randomise(model, 0)
    model.save_pretrained(tmp_path)
    ours = interpreter(tmp_path)
    assert ours.model.outputs == ("hidden",)
    images = pixels(ours.model)
    with torch.no_grad():
        stock = model.double().eval()(images).last_hidden_state
    assert float((ours.logits(images) - stock).abs().max() / stock.std()) < 1e-12
