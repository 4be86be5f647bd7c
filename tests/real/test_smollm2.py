"""SmolLM2-135M-Instruct 576→768: grouped queries, a tied head, RMSNorm and rotary positions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.real.assets import EXAMPLES, apply, by_interpreter, load_clean, upcast

pytestmark = pytest.mark.full
Measured = Callable[[str, float, float], None]
PLAN = EXAMPLES / "smollm2" / "smollm2-768.grow.yaml"
PROMPT = "The capital of France is"


@pytest.fixture(scope="module")
def models(smollm2: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(source, grown), both in float64."""
    folder = tmp_path_factory.mktemp("smollm2")
    source = upcast(smollm2, folder / "source")
    return source, apply(PLAN, source, folder / "768")


def ids(folder: Path, text: str = PROMPT) -> torch.Tensor:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)(text, return_tensors="pt")["input_ids"]


def relative(source: torch.Tensor, grown: torch.Tensor) -> float:
    """Largest difference, in units of the spread of the source's logits."""
    return float((source - grown).abs().max() / source.std())


def test_logits_through_the_interpreter_agree_to_1e_9(models: tuple[Path, Path], measured: Measured) -> None:
    source, grown = (by_interpreter(folder, ids(folder))["logits"] for folder in models)
    measured("SmolLM2 576→768, float64: logits, interpreter", relative(source, grown), 1e-9)


def test_logits_through_stock_transformers_agree_to_1e_5(
    models: tuple[Path, Path], measured: Measured
) -> None:
    """transformers keeps norms and rotary tables in float32 even in a float64 model."""
    from transformers import AutoModelForCausalLM

    logits = []
    for folder in models:
        model = load_clean(AutoModelForCausalLM, folder, dtype=torch.float64)
        with torch.no_grad():
            logits.append(model(ids(folder)).logits)
    measured("SmolLM2 576→768, float64: logits, stock transformers", relative(*logits), 1e-5)


def test_float32_as_shipped_still_answers_paris(
    smollm2: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    grown = apply(PLAN, smollm2, tmp_path_factory.mktemp("smollm2f32") / "768")
    model = load_clean(AutoModelForCausalLM, grown)
    config = model.config
    assert (config.hidden_size, config.num_attention_heads, config.num_key_value_heads) == (768, 12, 3)
    assert config.tie_word_embeddings is True
    answer = model.generate(ids(grown), max_new_tokens=4, do_sample=False)[0]
    assert "Paris" in AutoTokenizer.from_pretrained(grown).decode(answer)
