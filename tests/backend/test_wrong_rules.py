"""A wrong *rule* passes every weight's law and is caught by the blocks; a wrong claim by the outputs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from growplan.algebra import Expansion
from growplan.check import rules
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.methods import fpi
from tests.backend.plans import Case, case


def first_failure(made: Case) -> Diagnostic:
    with pytest.raises(DiagnosticError) as caught:
        made.assert_all()
    return caught.value.diagnostics[0]


def test_query_heads_in_another_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiled query heads over fixed kv heads (the HyperCloning issue): laws at rounding, blocks off."""

    def tiled(grow: dict[str, tuple[int, int]], *_: Any) -> dict[str, Expansion]:
        return {"heads": Expansion.circular(*grow["heads"])}

    monkeypatch.setattr(fpi, "head_maps", tiled)
    monkeypatch.setattr(rules, "attention", lambda heads, kv, head_dim: heads * head_dim)
    made = case.__wrapped__("llama", "widen heads 6→12 via fpi", config=(("head_dim", 12),))
    failure = first_failure(made)
    assert failure.code == "GP502" and "block 0" in failure.message
    assert float(dict(failure.notes)["error / spread"]) > 0.05


def test_stacking_that_claims_to_preserve() -> None:
    made = case("gpt2", "stack depth x2")
    (step,) = made.graph.steps
    graph = replace(made.graph, steps=[replace(step, claim="exact")])
    failure = first_failure(replace(made, graph=graph))
    assert failure.code == "GP503" and "logits" in failure.message
    assert dict(failure.notes)["plan"] == step.origin


def test_a_forgotten_epsilon() -> None:
    """Seen by the norm's law at input std sqrt(eps), however small its effect elsewhere."""
    made = case("gpt2", "widen hidden 48→64 via fpi", config=(("layer_norm_epsilon", 1e-10),))
    (first, *rest) = made.typed.steps
    config = {**first.after.config, "layer_norm_epsilon": 1e-10}
    typed = replace(made.typed, steps=(replace(first, after=replace(first.after, config=config)), *rest))
    failure = first_failure(replace(made, typed=typed))
    assert failure.code == "GP501" and "norm*(E_in x)" in failure.message
    assert dict(failure.notes)["step"] == "widen hidden 48→64 via fpi"


def test_a_copy_of_another_layer() -> None:
    made = case("gpt2", "stack depth x2")
    model = dict(made.graph.models[1])
    model["transformer.h.3.mlp.c_fc.weight"] = model["transformer.h.2.mlp.c_fc.weight"]
    graph = replace(made.graph, models=[made.graph.models[0], model])
    failure = first_failure(replace(made, graph=graph))
    assert failure.code == "GP504"
    assert failure.message.endswith("is not a copy of `transformer.h.1.mlp.c_fc.weight`")


def test_an_epsilon_that_moved_alone() -> None:
    """The norms hold the very values they had; only the config says something else."""
    made = case("gpt2", "widen ffn x2 via fpi")
    (step,) = made.typed.steps
    config = {**step.after.config, "layer_norm_epsilon": 0.1}
    typed = replace(made.typed, steps=(replace(step, after=replace(step.after, config=config)),))
    failure = first_failure(replace(made, typed=typed))
    assert failure.code == "GP501" and "norm*(E_in x)" in failure.message
