"""all-MiniLM-L6-v2, the model of `make demo`: wider and the same, deeper and another."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.real.assets import EXAMPLES, apply, load_clean, upcast

Measured = Callable[[str, float, float], None]
WIDER = EXAMPLES / "minilm" / "minilm-768.grow.yaml"
DEEPER = EXAMPLES / "minilm" / "minilm-12l.grow.yaml"
SENTENCES = [
    "A cat sleeps on the sofa.",
    "A kitten is napping on the couch.",
    "Stocks fell sharply on Monday.",
    "bread",
    "The theorem follows by induction, and the second claim by the same argument turned around.",
]


@pytest.fixture(scope="module")
def wider(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return apply(WIDER, minilm, tmp_path_factory.mktemp("minilm") / "768")


@pytest.fixture(scope="module")
def wider_float64(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("minilm64")
    source = upcast(minilm, folder / "source")
    return source, apply(WIDER, source, folder / "768")


def embed(folder: Path, dtype: torch.dtype) -> torch.Tensor:
    """Mean over tokens, unit length (1_Pooling and 2_Normalize): [sentences, hidden]."""
    from transformers import AutoModel, AutoTokenizer

    model = load_clean(AutoModel, folder, dtype=dtype)
    tokens = AutoTokenizer.from_pretrained(folder)(SENTENCES, padding=True, return_tensors="pt")
    with torch.no_grad():
        states = model(**tokens).last_hidden_state
    assert states.dtype == dtype
    mask = tokens["attention_mask"].unsqueeze(-1).to(dtype)
    return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))


def worst_copy(source: torch.Tensor, grown: torch.Tensor) -> float:
    """Every old unit occurs twice in the grown embedding, so unit length divides by sqrt(2)."""
    copies = grown.unflatten(1, (2, -1)) * 2**0.5
    return float((copies - source.unsqueeze(1)).abs().max())


def similarity_error(source: torch.Tensor, grown: torch.Tensor) -> float:
    return float((source @ source.T - grown @ grown.T).abs().max())


def test_float64_embeddings_agree_to_1e_12(wider_float64: tuple[Path, Path], measured: Measured) -> None:
    source, grown = (embed(folder, torch.float64) for folder in wider_float64)
    assert grown.shape == (len(SENTENCES), 768)
    measured("MiniLM 384→768, float64: sentence embeddings", worst_copy(source, grown), 1e-12)
    measured("MiniLM 384→768, float64: similarities", similarity_error(source, grown), 1e-12)


def test_float32_embeddings_as_shipped_agree_to_1e_6(minilm: Path, wider: Path, measured: Measured) -> None:
    source, grown = embed(minilm, torch.float32), embed(wider, torch.float32)
    measured("MiniLM 384→768, float32 as shipped: sentence embeddings", worst_copy(source, grown), 1e-6)
    measured("MiniLM 384→768, float32 as shipped: similarities", similarity_error(source, grown), 1e-6)


def test_config_and_pooling_follow_the_width(wider: Path) -> None:
    config = json.loads((wider / "config.json").read_text(encoding="utf-8"))
    assert (config["hidden_size"], config["num_attention_heads"]) == (768, 24)
    pooling = json.loads((wider / "1_Pooling" / "config.json").read_text(encoding="utf-8"))
    assert pooling["word_embedding_dimension"] == 768
    assert pooling["pooling_mode_mean_tokens"] is True


def test_tokenizer_is_carried_and_the_readme_kept(minilm: Path, wider: Path) -> None:
    for name in ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "modules.json"):
        assert (wider / name).read_bytes() == (minilm / name).read_bytes()
    assert (wider / "README.source.md").read_bytes() == (minilm / "README.md").read_bytes()
    card = (wider / "README.md").read_text(encoding="utf-8")
    assert "license: apache-2.0" in card and "widen hidden 384→768 via fpi" in card


def test_units_are_not_bound_to_stay_equal(wider: Path) -> None:
    """Copies are read by uneven shares, or a deterministic optimiser keeps them equal for ever."""
    from safetensors.torch import load_file

    weight = load_file(wider / "model.safetensors")["encoder.layer.0.intermediate.dense.weight"]
    left, right = weight[:, :384], weight[:, 384:]
    assert float((left - right).abs().mean() / weight.abs().mean()) > 1e-3


def test_deeper_repeats_the_layers_and_claims_nothing(
    minilm: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from safetensors.torch import load_file

    folder = apply(DEEPER, minilm, tmp_path_factory.mktemp("minilm") / "12l")
    old, new = (load_file(f / "model.safetensors") for f in (minilm, folder))
    name = "encoder.layer.{}.output.dense.weight"
    for layer in range(12):
        assert torch.equal(new[name.format(layer)], old[name.format(layer % 6)])
    similar = (embed(minilm, torch.float32) @ embed(folder, torch.float32).T).diagonal()
    assert float(similar.min()) < 0.999
    record = json.loads((folder / "growth.json").read_text(encoding="utf-8"))
    assert "none" in json.dumps(record["steps"])


def test_aki_takes_new_units_of_the_layer_above(minilm: Path, tmp_path: Path) -> None:
    """The formula on the files alone: rows of layer l + 1, columns divided by their counts."""
    from safetensors.torch import load_file

    plan = tmp_path / "aki.grow"
    plan.write_text(
        "grow hidden 384→512, heads 12→16, ffn 1536→2048 via aki, map circular\n", encoding="utf-8"
    )
    folder = apply(plan, minilm, tmp_path / "512")
    old, new = (load_file(f / "model.safetensors") for f in (minilm, folder))
    name, columns = "encoder.layer.{}.intermediate.dense.{}", torch.arange(512) % 384
    share = 1 / torch.bincount(columns)[columns]
    for layer in range(6):
        above = min(layer + 1, 5)  # the top layer has none above
        w = torch.cat([old[name.format(i, "weight")] for i in (layer, above)])[:2048]
        assert torch.equal(new[name.format(layer, "weight")], w[:, columns] * share)
        b = torch.cat([old[name.format(i, "bias")] for i in (layer, above)])[:2048]
        assert torch.equal(new[name.format(layer, "bias")], b)
    (step,) = json.loads((folder / "growth.json").read_text(encoding="utf-8"))["steps"]
    assert step["proof"] == "none" and step["measured"]["rebuilt"] == 103


def test_silent_layers_under_post_norm_are_exact_up_to_eps(
    wider_float64: tuple[Path, Path], tmp_path: Path, measured: Measured
) -> None:
    """eps is 1e-12: six layers more, and what their norms change is no more than that."""
    source, _ = wider_float64
    plan = tmp_path / "deeper.grow"
    plan.write_text("deepen depth 6→12 via identity", encoding="utf-8")
    grown = embed(apply(plan, source, tmp_path / "12l"), torch.float64)
    worst = float((grown - embed(source, torch.float64)).abs().max())
    measured("MiniLM 6→12 layers, float64: sentence embeddings", worst, 1e-10)
