"""Which blocks and outputs are compared, and what their errors are relative to."""

from __future__ import annotations

import pytest
import torch

from growplan.algebra import Expansion
from growplan.backend import probes
from growplan.backend.evaluate import ModelView
from growplan.backend.executor import reader_rows
from growplan.backend.laws import Sides
from growplan.checkpoint.reader import open_reader
from tests.backend.plans import Case, case


def blocks(made: Case) -> list[str]:
    (step,) = made.typed.steps
    with open_reader(made.headers) as reader:
        read = reader_rows(reader)
        views = (ModelView(made.graph, k, read) for k in (0, 1))
        sides = Sides(step.before, step.after, *views, torch.Generator().manual_seed(0))
        found = probes.probe(made.graph.steps[0], sides, blocks=True, enter=lambda layer: None)
    assert all(b.error < 1e-5 for b in found.blocks)
    return [b.where for b in found.blocks]


def test_every_block_of_a_small_model_is_compared() -> None:
    """New blocks too, which must return what they are given."""
    assert blocks(case("gpt2", "deepen depth 2→5 via identity")) == [
        "embed",
        *(f"block {i}" for i in range(5)),
    ]


def test_of_a_large_model_the_first_middle_and_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "EVERY_LAYER_BELOW", 0)
    found = blocks(case("gpt2", "widen ffn x2", config=(("n_layer", 6),)))
    assert found == ["embed", "block 0", "block 3", "block 5"]


def test_a_claim_inside_a_domain_is_measured_as_an_exact_one() -> None:
    (m,) = case("gpt2", "widen vocab 31→40 via fpi").assert_all()
    assert m.claim == "exact (old vocab)"
    assert m.block_error is not None


def test_the_spread_of_a_few_numbers_is_their_size() -> None:
    """A single label has no standard deviation."""
    for scores in (torch.full((1, 1), 3.0), torch.full((2, 1), -3.0)):
        found = probes.output_error("logits", Expansion.identity(1), scores.double(), scores.double() + 0.3)
        assert found.spread == 3.0
        assert found.relative == pytest.approx(0.1)
