"""Families of one's own, grown exactly: norms behind branches, norms that share an epsilon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from growplan.apply import apply
from growplan.backend.executor import reader_rows
from growplan.backend.interpreter import Interpreter
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.reader import open_reader
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.language.plan import Plan
from growplan.pipeline import bind_source
from tests.matrix.run import worst

FAMILIES = Path(__file__).parents[1] / "check" / "families"
SIZES = {
    "hidden_size": 48,
    "num_heads": 6,
    "head_dim": 8,
    "ffn_size": 80,
    "num_layers": 2,
    "vocab_size": 31,
    "max_positions": 24,
    "norm_eps": 1e-3,
    "rope_theta": 1e4,
}


def source(name: str, path: Path) -> Path:
    """A random checkpoint: matrices at 1/sqrt(fan in), norms about 1, biases that are not 0."""
    path.mkdir()
    keys = SIZES if name == "olmo2_like" else {k: v for k, v in SIZES.items() if k != "rope_theta"}
    config = {"model_type": name, "architectures": [name.title().replace("_", "")], "dtype": "float64"}
    (path / "config.json").write_text(json.dumps(config | keys))
    model = bind_source(Plan(), path, FAMILIES / f"{name}.yaml")[2]
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for tensor, param, _ in model.tensors():
        noise = torch.randn(model.shape(param), generator=generator, dtype=torch.float64)
        if noise.ndim > 1:
            noise = noise / (1 if tensor.startswith("wte") else noise.shape[1] ** 0.5)
        else:
            noise = 0.3 * noise + (1 if param.leaf == "weight" else 0)
        tensors[tensor] = noise
    save_file(tensors, path / "model.safetensors", {"format": "pt"})
    return path


def logits(directory: Path, name: str) -> dict[str, torch.Tensor]:
    model = bind_source(Plan(), directory, FAMILIES / f"{name}.yaml")[2]
    ids = torch.randint(1, 31, (3, 20), generator=torch.Generator().manual_seed(7))
    with open_reader(read_headers(directory)) as reader:
        rows, shapes = reader_rows(reader), read_headers(directory).tensors
        return dict(Interpreter(model, lambda n: rows(n, 0, shapes[n].shape[0])).outputs(ids))


@pytest.mark.parametrize(
    ("name", "steps", "candidate"),
    [
        ("swin_like", "widen hidden 48→66 via fpi", "zero rows behind norms"),
        ("swin_like", "widen hidden 48→120 via lemon", "zero rows behind norms"),
        ("swin_like", "widen hidden 48→96 via lemon, split comp", "even copies"),
        ("olmo2_like", "widen hidden 48→66 via fpi", "zero rows, rescaled"),
        ("olmo2_like", "grow hidden 48→120, ffn x2 via fpi, noise 10", "zero rows, rescaled"),
        ("olmo2_like", "widen hidden 48→96 via hypercloning, snr_db 10", "even copies"),
        ("olmo2_like", "widen heads 6→12 via hypercloning", "copies"),
    ],
)
def test_grows_exactly(name: str, steps: str, candidate: str, tmp_path: Path) -> None:
    old = source(name, tmp_path / "source")
    plan = parse_text(steps, "<test>", "dsl")
    family = FAMILIES / f"{name}.yaml"
    result = apply(plan, tmp_path / "out", model_dir=old, family=family, stock=False)
    assert [s.candidate for s in result.typed.steps] == [candidate]
    assert str(result.typed.claim) == "exact"
    error = worst(logits(old, name), logits(tmp_path / "out", name))
    assert error < 1e-9
    eps = result.typed.target.config["norm_eps"]
    assert (eps == 1e-3) == (candidate != "zero rows behind norms")


def test_without_the_role_nothing_else_is_exact(tmp_path: Path) -> None:
    """LEMON on queries whose norm shares the epsilon, and mean rows that meet zero rows, are refused."""
    family = FAMILIES / "olmo2_like.yaml"
    old = source("olmo2_like", tmp_path / "source")
    plan = parse_text("widen hidden 48→66 via lemon", "<test>", "dsl")
    with pytest.raises(DiagnosticError) as error:
        apply(plan, tmp_path / "out", model_dir=old, family=family, stock=False)
    assert any("one factor for every norm" in text for d in error.value.diagnostics for _, text in d.notes)
