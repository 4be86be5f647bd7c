"""Plans of several kinds on real models: exact ones within 1e-9 of the spread, from the written files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.real.assets import by_interpreter, growplan, upcast

pytestmark = pytest.mark.full
Measured = Callable[[str, float, float], None]
WIDE = "grow hidden 384→768, heads 12→24, ffn 1536→3072"
EXACT = (
    f"{WIDE} via lemon",
    f"{WIDE} via hypercloning, snr_db 20",
    "widen ffn 1536→2304 via net2net, noise 20",
    "widen head_dim 32→64; widen hidden 384→768",
    "widen vocab 30522→30592 via fpi, rows mean; widen positions 512→600 via fpi, rows copy",
)
SMOLLM2 = ("widen ffn 1536→1600 via fpi, noise 20; deepen depth 30→32 via lemon",)


@pytest.fixture(scope="module")
def minilm64(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return upcast(minilm, tmp_path_factory.mktemp("minilm64") / "source")


@pytest.fixture(scope="module")
def smollm64(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return upcast(smollm2, tmp_path_factory.mktemp("smollm64") / "source")


def grown(steps: str, source: Path, tmp_path: Path) -> Path:
    plan = tmp_path / "plan.grow"
    plan.write_text(steps, encoding="utf-8")
    out = tmp_path / "out"
    growplan("apply", plan, "--model", source, "--out", out, "--no-stock", "-q")
    return out


def worst(source: Path, target: Path) -> float:
    """Over all outputs, in units of their spread; the old units come first in what grew."""
    ids = torch.arange(1000, 1032).reshape(2, 16)
    old, new = by_interpreter(source, ids), by_interpreter(target, ids)
    return max(float((new[k][..., : x.shape[-1]] - x).abs().max() / x.std()) for k, x in old.items())


@pytest.mark.parametrize("steps", EXACT)
def test_minilm_keeps_its_function(steps: str, minilm64: Path, tmp_path: Path, measured: Measured) -> None:
    target = grown(steps, minilm64, tmp_path)
    measured(f"MiniLM, float64: {steps}", worst(minilm64, target), 1e-9)


@pytest.mark.parametrize("steps", SMOLLM2)
def test_smollm2_keeps_its_function(steps: str, smollm64: Path, tmp_path: Path, measured: Measured) -> None:
    target = grown(steps, smollm64, tmp_path)
    measured(f"SmolLM2, float64: {steps}", worst(smollm64, target), 1e-9)


def test_smollm2_untied_has_the_head_it_read(smollm2: Path, tmp_path: Path) -> None:
    """In float32 as shipped: bit by bit, and the config says that the two are two."""
    from safetensors import safe_open

    steps = "widen ffn 1536→1536 via hypercloning, head untie"
    target = grown(steps, smollm2, tmp_path)
    with safe_open(target / "model.safetensors", framework="pt") as tensors:
        head, table = (tensors.get_tensor(n) for n in ("lm_head.weight", "model.embed_tokens.weight"))
    assert torch.equal(head, table)
    config = json.loads((target / "config.json").read_text(encoding="utf-8"))
    assert config["tie_word_embeddings"] is False


@pytest.mark.parametrize(
    "steps",
    [
        "grow hidden 384→512, heads 12→16, ffn 1536→2048 via bert2bert; stack depth x2 via bert2bert",
        "stack depth via solar, m 1",
        "stack depth 6→9 via mslt, new fresh",
    ],
)
def test_what_claims_nothing_is_another_function(steps: str, minilm: Path, tmp_path: Path) -> None:
    """As shipped: it applies, and is finite and far from the source."""
    target = grown(steps, minilm, tmp_path)
    error = worst(minilm, target)
    assert 0.1 < error < 1e3
