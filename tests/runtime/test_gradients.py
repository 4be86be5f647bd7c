"""The rules of moments against a real backward pass of the grown model, in float64."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from growplan.algebra import Expansion, even_inverse
from growplan.backend.maps import apply
from growplan.check.typed import ParamRewrite
from growplan.ir.moments import RULES
from growplan.ir.primitives import PRIMITIVES
from tests.runtime.gradients import both_gradients, case, compiled_case, gradients, moved
from tests.runtime.grown import Grown

SMALL = (
    1e-10  # of the largest entry of a gradient; those of key biases vanish (softmax) and are noise below it
)
EVEN = "widen hidden 48→96 via fpi, split even; widen heads 6→12 via fpi, split even"

# (model, plan, tensors that are: exact, estimated, reset)
CASES: list[tuple[str, str, tuple[int, int, int]]] = [
    ("gpt2-tied", "widen ffn 80→131 via fpi, split even", (28, 0, 0)),
    ("gpt2-tied", "widen ffn 80→131 via fpi", (24, 4, 0)),
    ("gpt2-untied", EVEN, (29, 0, 0)),
    ("gpt2-tied", "grow hidden x2, heads x2, ffn x2 via staged", (28, 0, 0)),
    ("gpt2-tied", "widen hidden 48→72", (14, 14, 0)),
    ("gpt2-tied", "mask-in ffn 80→97; deepen depth x2 via identity", (28, 0, 24)),
    ("gpt2-tied", "stack depth x2", (0, 28, 24)),
    ("gpt2-tied", "widen hidden 48→96 via hypercloning, head untie; widen heads 6→12 via fpi", (23, 6, 0)),
    ("bert-mlm", EVEN, (42, 0, 0)),
    ("bert-mlm-untied", "widen hidden 48→96 via lemon, split comp; widen heads x2 via fpi", (7, 37, 0)),
    ("bert-classify", f"{EVEN}; widen ffn x2 via fpi, split even", (41, 0, 0)),
    ("llama-gqa-tied", EVEN, (20, 0, 0)),
    ("llama-gqa-tied", "widen hidden 48→72", (18, 2, 0)),
    ("llama-gqa", "widen heads 6→9; widen head_dim 8→10; widen hidden to 90", (31, 4, 0)),
    ("llama-gqa", "grow heads to 12, kv_heads to 6 via fpi, split even; widen head_dim 8→8", (35, 0, 0)),
    ("llama-mha", "mask-in heads 6→12; widen head_dim 8→8", (21, 0, 0)),
    ("qwen3-gqa", "widen head_dim 12→20; widen hidden 48→72", (33, 0, 0)),
    ("deit-teacher", EVEN, (43, 0, 0)),
]


@pytest.mark.parametrize(("name", "steps", "counts"), CASES, ids=[f"{n} {s}" for n, s, _ in CASES])
def test_exact_rules_are_what_a_backward_pass_gives(
    name: str, steps: str, counts: tuple[int, int, int], tmp_path: Path
) -> None:
    made = case(name, steps, tmp_path)
    kinds = [rule.kind for rule in made.rules.tensors.values()]
    assert tuple(map(kinds.count, ("exact", "estimate", "reset"))) == counts
    old, new = both_gradients(made)
    assert set(made.rules.tensors) == set(new)
    for tensor, rule in made.rules.tensors.items():
        if rule.kind != "exact":
            continue
        predicted, known = moved(rule, old)
        assert known.any()
        error = (predicted - new[tensor])[known].abs().max()
        assert error <= SMALL * max(float(new[tensor].abs().max()), 1e-3), tensor


LAW = [
    ("gpt2-tied", "widen ffn 80→131 via fpi"),
    ("gpt2-tied", "widen hidden 48→72"),
    ("gpt2-untied", "widen hidden 48→120 via lemon, split comp, scale 0.3"),
    ("bert-mlm", "widen hidden 48→96 via fpi"),
    ("llama-gqa-tied", "widen hidden 48→72 via fpi"),
    ("llama-gqa", "grow heads to 12, kv_heads to 6 via fpi; widen head_dim 8→8"),
]


@pytest.mark.parametrize(("name", "steps"), LAW)
def test_estimates_keep_what_the_law_fixes(name: str, steps: str, tmp_path: Path) -> None:
    """E_out^T G* D^T = G step by step, for the real gradient and for the estimate of it."""
    made = case(name, steps, tmp_path)
    grown = made.compiled.typed.steps  # type: ignore[union-attr]
    rewrites = [{(r.module, r.leaf): r for r in step.rewrites} for step in grown]
    old, new = both_gradients(made)
    off = []
    for tensor, param, _ in made.rules.target.tensors():
        rule = made.rules.tensors[tensor]
        predicted, _ = moved(rule, old)
        source = old[tensor]
        for back in (new[tensor], predicted):
            for each in reversed(rewrites):
                back = taken_back(each[param.module, param.leaf], back, param.row_dim)
            assert (back - source).abs().max() <= SMALL * max(float(source.abs().max()), 1e-3), tensor
        if rule.kind == "estimate":
            off.append(float((predicted - new[tensor]).abs().max() / new[tensor].abs().max()))
    assert off and max(off) > 1e-3  # or they would not be estimates


def taken_back(rewrite: ParamRewrite, gradient: Tensor, row_dim: int) -> Tensor:
    """E_out^T G* D^T of a tensor whose rows are written along `row_dim`."""
    rows = torch.movedim(gradient, row_dim, 0)
    rows = torch.tensordot(matrix(rewrite.rows).T, rows, 1)
    if rewrite.cols is not None and not rewrite.cols.is_identity:
        rows = torch.tensordot(rows, matrix(even_inverse(rewrite.cols)), ([1], [0]))
    return torch.movedim(rows, 0, row_dim)


def matrix(e: Expansion) -> Tensor:
    """E as a dense matrix, new units by old ones; free rows are 0."""
    return apply(e, torch.eye(e.old, dtype=torch.float64)).T


def test_every_primitive_has_a_rule() -> None:
    assert set(RULES) == set(PRIMITIVES)
    assert all(rule.says for rule in RULES.values())


@pytest.mark.parametrize(
    ("family", "line"),
    [
        ("bert", "mask-in hidden 48→56; mask-in heads; mask-in depth 2→4"),
        ("gpt2", "mask-in hidden 48→56; mask-in heads; mask-in ffn to 230"),
        ("llama", "mask-in hidden 48→72; mask-in ffn 80→97; mask-in depth 2→3"),
        ("qwen3", "mask-in hidden 48→60; mask-in hidden to 72; mask-in ffn to 97"),
    ],
)
def test_behind_masks_old_units_keep_their_gradients(family: str, line: str, tmp_path: Path) -> None:
    grown = Grown.by(line, family, tmp_path)
    assert grown.result.typed.claim.where == ("stock" if family in ("llama", "qwen3") else "attached")
    rules = compiled_case(tmp_path / "m", tmp_path / "g", line).rules
    assert {rule.kind for rule in rules.tensors.values()} <= {"exact", "reset"}
    model, _ = grown.attached()
    old, new = gradients(rules.source, grown.load("m")), gradients(rules.target, model)
    for tensor, rule in rules.tensors.items():
        if rule.kind == "exact":
            predicted, known = moved(rule, old)
            error = (predicted - new[tensor])[known].abs().max()
            assert error <= SMALL * max(float(new[tensor].abs().max()), 1e-3), tensor
