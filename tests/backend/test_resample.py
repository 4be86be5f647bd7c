"""Position embeddings of a larger image: torch's bicubic, and what transformers computes with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from growplan.apply import apply
from growplan.backend.interpolated import interpolated
from growplan.backend.resample import bicubic, taps
from growplan.ir.primitives import Resample
from growplan.language import parse_text
from tests.float64 import load_float64
from tests.matrix.run import by_interpreter
from tests.tiny import tiny_checkpoint

GRIDS = [(14, 24), (5, 7), (7, 5), (4, 8), (1, 3), (3, 1), (2, 9), (6, 6)]


@pytest.mark.parametrize(("old", "new"), GRIDS)
@pytest.mark.parametrize("kept", [0, 2])
def test_it_is_torchs_bicubic(old: int, new: int, kept: int) -> None:
    x = torch.randn(1, kept + old * old, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = bicubic(x, 1, kept, old, new)
    image = x[:, kept:].reshape(1, old, old, 3).permute(0, 3, 1, 2)
    wanted = F.interpolate(image, size=(new, new), mode="bicubic", align_corners=False)
    assert torch.equal(found[:, :kept], x[:, :kept])
    assert torch.allclose(found[:, kept:], wanted.permute(0, 2, 3, 1).reshape(1, -1, 3), rtol=0, atol=1e-13)
    assert interpolated(Resample(1, kept, old, new), x, found)
    if min(old, new) > 1:
        assert not interpolated(Resample(1, kept, old, new), x, found.flip(1))


def test_weights_add_up_to_one() -> None:
    """So that a constant stays what it is."""
    for old, new in GRIDS:
        assert all(abs(sum(weights) - 1) < 1e-15 * 8 for _, weights in taps(old, new))


def grow(source: Path, steps: str, out: Path) -> Path:
    apply(parse_text(steps, "<test>", "dsl"), out, model_dir=source, stock=False)
    return out


@pytest.mark.parametrize(
    ("family", "architecture", "steps"),
    [
        ("vit", "ViTForImageClassification", "widen positions 26→50 via resample"),
        ("vit", "ViTModel", "widen image 20→36 via resample"),
        ("deit", "DeiTForImageClassificationWithTeacher", "widen image 20→30 via resample"),
    ],
)
def test_the_grown_model_is_what_transformers_interpolates(
    family: str, architecture: str, steps: str, tmp_path: Path
) -> None:
    """`interpolate_pos_encoding=True` on the source, and nothing at all on the result, on larger images."""
    source = tiny_checkpoint(family, tmp_path / "source", architecture=architecture, dtype="float64")
    grown = grow(source, steps, tmp_path / "grown")
    size = json.loads((grown / "config.json").read_text())["image_size"]
    pixels = torch.randn(2, 2, size, size, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    with torch.no_grad():
        wanted = load_float64(source, architecture)(pixels, interpolate_pos_encoding=True)
        found = load_float64(grown, architecture)(pixels)
    for key in ("logits", "last_hidden_state", "pooler_output"):
        if key in wanted:
            assert found[key].shape == wanted[key].shape
            assert float((found[key] - wanted[key]).abs().max() / wanted[key].std()) < 1e-12
    inner = by_interpreter(grown, pixels)
    first = inner["logits" if "logits" in inner else "hidden"]
    outer = wanted["logits" if "logits" in inner else "last_hidden_state"]
    assert float((first - outer).abs().max() / outer.std()) < 1e-12


def test_it_stands_in_a_row_with_exact_steps(tmp_path: Path) -> None:
    """Grown before or after it is wider, the larger image gives the same logits."""
    source = tiny_checkpoint("vit", tmp_path / "source", dtype="float64")
    wider = "widen hidden 48→72 via fpi; mask-in heads; widen ffn x2"
    a = grow(source, f"widen image 20→28 via resample; {wider}", tmp_path / "a")
    b = grow(source, f"{wider}; widen image 20→28 via resample", tmp_path / "b")
    pixels = torch.randn(2, 2, 28, 28, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    x, y = (by_interpreter(folder, pixels)["logits"] for folder in (a, b))
    assert float((x - y).abs().max() / x.std()) < 1e-12


def test_stored_in_half_precision(tmp_path: Path) -> None:
    """The kept row bit for bit, the others rounded once."""
    from safetensors.torch import load_file

    source = tiny_checkpoint("vit", tmp_path / "source", dtype="bfloat16")
    grown = grow(source, "widen image 20→28 via resample", tmp_path / "grown")
    old, new = (
        load_file(d / "model.safetensors")["vit.embeddings.position_embeddings"] for d in (source, grown)
    )
    assert torch.equal(new[:, :1], old[:, :1])
    assert torch.equal(new[:, 1:], bicubic(old.float(), 1, 1, 5, 7)[:, 1:].bfloat16())
