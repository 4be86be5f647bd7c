"""Depth on disk: every layer holds what its method's map says, and post-norm insertion stays in its bound."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from growplan.backend.interpreter import Interpreter
from growplan.check.norms import twice_error
from growplan.language.plan import Plan
from growplan.pipeline import bind_source
from tests.matrix.cases import VARIANTS
from tests.matrix.run import grow, inputs_for, write_source

BY_NAME = {variant.name: variant for variant in VARIANTS}
DEPTH = {"gpt2": "n_layer", "bert": "num_hidden_layers", "llama": "num_hidden_layers"}
LAYERS = {"gpt2": "h.", "bert": "layer.", "llama": "layers."}


def layer(tensors: dict[str, Tensor], word: str, index: int) -> dict[str, Tensor]:
    mark = f"{word}{index}."
    return {name.partition(mark)[2]: t for name, t in tensors.items() if mark in name}


# (variant, layers, growth, the source of each new layer)
COPIES = [
    ("gpt2-tied", 4, "stack depth x2 via stackbert", [0, 1, 2, 3, 0, 1, 2, 3]),
    ("llama-gqa", 2, "stack depth via gstack, g 3", [0, 1, 0, 1, 0, 1]),
    ("bert-mlm", 4, "stack depth to 6 via solar", [0, 1, 2, 1, 2, 3]),
    ("gpt2-untied", 4, "stack depth to 6 via midas", [0, 1, 0, 1, 2, 3]),
    ("bert-base", 4, "stack depth to 6 via mslt", [0, 1, 2, 3, 2, 3]),
    ("llama-gqa-tied", 3, "stack depth to 4 via interlace", [0, 0, 1, 2]),
    ("bert-base", 3, "stack depth to 5 via interpolate", [0, 0, 1, 1, 2]),
    ("gpt2-tied", 3, "stack depth to 8 via bert2bert", [0, 1, 2, 0, 1, 2, 1, 2]),
]


@pytest.mark.parametrize(("name", "depth", "steps", "sources"), COPIES)
def test_layers_are_copies(name: str, depth: int, steps: str, sources: list[int], tmp_path: Path) -> None:
    variant = BY_NAME[name]
    config = {**variant.config, DEPTH[variant.family]: depth}
    source = write_source(
        type(variant)(name, variant.family, variant.architecture, "", config), tmp_path / "a"
    )
    grow(source, steps, tmp_path / "b")
    old, new = (load_file(d / "model.safetensors") for d in (source, tmp_path / "b"))
    word = LAYERS[variant.family]
    for index, from_ in enumerate(sources):
        made, copied = layer(new, word, index), layer(old, word, from_)
        assert made.keys() == copied.keys() and made
        assert all(torch.equal(made[leaf], copied[leaf]) for leaf in made)
    assert not layer(new, word, len(sources))
    rest = {n for n in new if not any(f"{word}{i}." in n for i in range(len(sources)))}
    assert all(torch.equal(new[n], old[n]) for n in rest)


def test_silent_layers_differ_in_their_writers_alone(tmp_path: Path) -> None:
    source = write_source(BY_NAME["llama-gqa"], tmp_path / "a")
    grow(source, "deepen depth to 3 via llama-pro", tmp_path / "b")
    old, new = (load_file(d / "model.safetensors") for d in (source, tmp_path / "b"))
    made, copied = layer(new, "layers.", 2), layer(old, "layers.", 1)
    differ = {leaf for leaf in made if not torch.equal(made[leaf], copied[leaf])}
    writers = ("self_attn.o_proj", "mlp.down_proj")
    assert differ == {f"{w}.{leaf}" for w in writers for leaf in ("weight", "bias")}
    assert not any(made[leaf].any() for leaf in differ)


def test_fresh_layers_are_drawn_as_new_ones(tmp_path: Path) -> None:
    source = write_source(BY_NAME["gpt2-tied"], tmp_path / "a")
    grow(
        source,
        "stack depth to 4 via mslt, new fresh; deepen depth to 5 via identity, place end, new fresh, "
        "init normal(0.5)",
        tmp_path / "b",
    )
    new = load_file(tmp_path / "b" / "model.safetensors")
    for index, std in ((2, 0.02), (3, 0.02), (4, 0.5)):
        made = layer(new, "h.", index)
        assert all((made[f"{n}.weight"] == 1).all() and not made[f"{n}.bias"].any() for n in ("ln_1", "ln_2"))
        for name in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj"):
            weight, silent = made[f"{name}.weight"], index == 4 and name.endswith("c_proj")
            assert not made[f"{name}.bias"].any()
            assert not weight.any() if silent else 0.9 * std < weight.std() < 1.1 * std
    drawn = [layer(new, "h.", i)["mlp.c_fc.weight"] for i in (2, 3)]
    assert not torch.equal(*drawn), "two layers drew the same numbers"


def interpreter(directory: Path) -> Interpreter:
    _, _, model = bind_source(Plan(), directory)
    return Interpreter(model, load_file(directory / "model.safetensors").__getitem__)


@pytest.mark.parametrize(("eps", "worst"), [(1e-12, 1e-10), (1e-5, 1e-3), (1e-3, 1.0)])
def test_post_norm_stays_within_its_bound(eps: float, worst: float, tmp_path: Path) -> None:
    """Run by run: the new blocks' output is the old one, its scale off by less than the bound."""
    source = write_source(replace(BY_NAME["bert-base"], config={"layer_norm_eps": eps}), tmp_path / "a")
    grown = grow(source, "deepen depth to 6 via identity", tmp_path / "b")
    assert grown.typed.claim.strength == "approximate"
    old, new = interpreter(source), interpreter(tmp_path / "b")
    x = old.embed(inputs_for(grown.typed.source))
    largest = 0.0
    for at, index in ((0, 0), (3, 1)):
        expected = old.block(index, x)
        got = new.block(at + 2, new.block(at + 1, new.block(at, x)))
        norm = f"encoder.layer.{index}.output.LayerNorm"
        scale, shift = old.get(f"{norm}.weight"), old.get(f"{norm}.bias")
        left = ((expected - shift) / scale).var(-1, unbiased=False)  # v / (v + eps)
        variance = eps * left / (1 - left)
        bound = torch.tensor([twice_error(eps, float(v)) for v in variance.flatten()]).view_as(variance)
        off = (got - expected).abs() / (expected - shift).abs().clamp(min=1e-12)
        assert (off.amax(-1) <= 1.01 * bound + 1e-9).all()
        largest = max(largest, float((got - expected).abs().max()))
        x = expected
    assert worst * 1e-4 < largest < worst, "neither exact nor far off"
