"""A ViT trained here to tell the direction of stripes: wider, deeper, and on larger images."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.real.assets import apply, by_interpreter, upcast

pytestmark = pytest.mark.evidence
Measured = Callable[[str, float, float], None]
SIZE, DIRECTIONS, STEPS = 16, 6, 250


def stripes(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """(images [count, 1, 16, 16], the direction of each): waves of any length and phase, in noise."""
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, DIRECTIONS, (count,), generator=random)
    angle = labels * math.pi / DIRECTIONS
    length, phase = (torch.rand(2, count, generator=random) + torch.tensor([[0.6], [0.0]])) * math.tau
    y, x = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    along = angle.cos()[:, None, None] * x + angle.sin()[:, None, None] * y
    waves = (along * math.tau / length[:, None, None] + phase[:, None, None]).sin()
    noise = torch.randn(count, SIZE, SIZE, generator=random)
    return (waves + 0.5 * noise)[:, None], labels


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A float64 checkpoint, trained in float32 (seconds)."""
    import transformers

    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=48,
        num_attention_heads=6,
        intermediate_size=96,
        num_hidden_layers=2,
        image_size=SIZE,
        patch_size=4,
        num_channels=1,
        num_labels=DIRECTIONS,
    )
    model = transformers.ViTForImageClassification(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(STEPS):
        images, labels = stripes(64, step + 1)
        loss = F.cross_entropy(model(images).logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder = tmp_path_factory.mktemp("vit")
    model.save_pretrained(folder / "float32")
    return upcast(folder / "float32", folder / "source")


def grown(source: Path, steps: str, folder: Path) -> Path:
    plan = folder / "plan.grow"
    plan.write_text(steps, encoding="utf-8")
    return apply(plan, source, folder / "grown")


def accuracy(folder: Path, images: Tensor, labels: Tensor) -> float:
    logits = by_interpreter(folder, images)["logits"]
    return float((logits.argmax(-1) == labels).double().mean())


def test_exact_growth_keeps_what_it_has_learnt(trained: Path, tmp_path: Path, measured: Measured) -> None:
    steps = "widen hidden 48→72 via fpi; mask-in heads; widen ffn x2; deepen depth x2"
    larger = grown(trained, steps, tmp_path)
    images, labels = stripes(256, 0)
    before, after = (by_interpreter(folder, images)["logits"] for folder in (trained, larger))
    learnt = accuracy(trained, images, labels)
    assert learnt > 0.8  # 1/6 untrained
    assert accuracy(larger, images, labels) == learnt
    measured("ViT, float64: logits", float((before - after).abs().max() / before.std()), 1e-9)


def test_on_larger_images_it_still_knows_most_of_it(trained: Path, tmp_path: Path) -> None:
    """Claim none: the accuracy may fall, but interpolated positions are worth far more than new ones."""
    images, labels = stripes(256, 0)
    larger = grown(trained, "widen image 16→24 via resample", tmp_path)
    resized = F.interpolate(images, size=(24, 24), mode="bicubic", align_corners=False)
    assert accuracy(larger, resized, labels) > 2 / DIRECTIONS
