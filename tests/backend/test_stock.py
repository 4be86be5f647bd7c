"""The last check through stock transformers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from growplan.backend.outputs import output_maps
from growplan.backend.stock import StockDifference, compare_with_transformers, hold_to_exact
from growplan.checkpoint.config import write_config
from growplan.diagnostics import DiagnosticError
from tests.backend.plans import case, source
from tests.tiny import tiny_checkpoint


@pytest.mark.parametrize(
    ("family", "plan"), [("bert", "widen hidden 48→96 via fpi"), ("llama", "widen hidden 48→72 via fpi")]
)
def test_a_grown_model_through_its_stock_class(family: str, plan: str, tmp_path: Path) -> None:
    made = case(family, plan)
    out = tmp_path / "out"
    made.write(out)
    write_config(out, made.typed.target.config)
    (first, *rest) = made.graph.steps
    maps = output_maps(first, made.typed.source)
    assert all(step.stream is None or step.stream.is_identity for step in rest)
    found = {d.output: d for d in compare_with_transformers(made.source, out, maps)}
    assert set(found) == ({"hidden", "pooled"} if family == "bert" else {"logits"})
    for difference in found.values():
        assert difference.error < 1e-5 * difference.spread


def test_positions_counted_behind_the_padding_id(tmp_path: Path) -> None:
    """RoBERTa with 12 positions has room for 10 tokens."""
    path = tiny_checkpoint("roberta", tmp_path, max_position_embeddings=12)
    assert [d.error for d in compare_with_transformers(path, path)] == [0.0]


def test_a_missing_tensor_is_refused(tmp_path: Path) -> None:
    path = source("llama", "float32")
    out = shutil.copytree(path, tmp_path / "out")
    tensors = load_file(out / "model.safetensors")
    del tensors["model.norm.weight"]
    save_file(tensors, out / "model.safetensors", {"format": "pt"})
    with pytest.raises(DiagnosticError, match="GP507") as caught:
        compare_with_transformers(path, out)
    assert dict(caught.value.diagnostics[0].notes)["tensors"] == "model.norm.weight"


def test_tokens_that_rounding_sends_to_other_experts_refuse_no_plan() -> None:
    """bf16 flips a choice of the router: one token is far off, and the others are not."""
    flipped, wrong = (StockDifference("logits", 1.2, 1.0, typical) for typical in (0.02, 0.9))
    hold_to_exact([flipped], "BF16", routed=True)
    for difference, routed in ((flipped, False), (wrong, True)):
        with pytest.raises(DiagnosticError, match="GP511"):
            hold_to_exact([difference], "BF16", routed=routed)
