"""What new rows of tables over ids hold, and what the head makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.backend.plans import case
from tests.matrix.cases import VARIANTS
from tests.matrix.run import by_interpreter, grow, write_source

OLD, NEW, COPIED = 31, 70, [*range(31), *range(31), *range(8)]


def grown(tmp_path: Path, family: str, step: str, **config: object) -> tuple[dict, dict]:
    """(old tensors, new tensors) of one step in float64."""
    made = case(family, step, dtype="float64", config=tuple(config.items()))
    made.assert_all()
    made.write(tmp_path / "out")
    made.compare_written(tmp_path / "out")
    old, new = (load_file(folder / "model.safetensors") for folder in (made.source, tmp_path / "out"))
    return old, new


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize(("rows", "units"), [("mean", None), ("copy", COPIED)])
def test_rows_of_tokens(tmp_path: Path, rows: str, units: list[int] | None, tied: bool) -> None:
    step = f"widen vocab {OLD}→{NEW} via fpi, rows {rows}"
    old, new = grown(tmp_path, "gpt2", step, tie_word_embeddings=tied)
    assert ("lm_head.weight" in new) != tied
    for name in ("transformer.wte.weight", *["lm_head.weight"][: not tied]):
        w, x = new[name], old[name]
        expected = x[units] if units else torch.cat([x, x.mean(0).expand(NEW - OLD, -1)])
        assert torch.equal(w[:OLD], x)
        torch.testing.assert_close(w, expected, rtol=0, atol=1e-15)


def test_rows_of_positions_are_tiled(tmp_path: Path) -> None:
    old, new = grown(tmp_path, "bert", "widen positions 24→56 via fpi, rows copy")
    name = next(n for n in new if "position_embeddings" in n)
    assert torch.equal(new[name], old[name][[*range(24), *range(24), *range(8)]])


def test_a_row_at_the_mean_gets_the_mean_logit(tmp_path: Path) -> None:
    """What makes the mean a mild start: E(h.mean row) is the mean logit, bias included."""
    source = write_source(VARIANTS[0], tmp_path / "source")
    grow(source, "widen vocab 31→33 via fpi, rows mean", tmp_path / "out")
    ids = torch.randint(0, OLD, (2, 9), generator=torch.Generator().manual_seed(0))
    logits = by_interpreter(tmp_path / "out", ids)["logits"]
    expected = by_interpreter(source, ids)["logits"].mean(-1, keepdim=True).expand(-1, -1, 2)
    torch.testing.assert_close(logits[..., OLD:], expected, rtol=0, atol=1e-12)
