"""Real plans on tiny random models pass every assertion, at the precision of their arithmetic."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from growplan.backend.assertions import AMPLIFICATION
from growplan.backend.executor import reader_rows
from growplan.backend.segments import measure_segment, segments
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.reader import open_reader
from growplan.diagnostics import DiagnosticError
from growplan.ir.passes import run_passes
from tests.backend.plans import case

PLANS = [
    ("bert", "widen hidden 48→96 via fpi"),
    ("bert", "widen ffn 80→120 via net2net"),
    ("gpt2", "widen hidden 48→64 via fpi"),
    ("gpt2", "widen hidden 48→64 via fpi", "stack depth x2", "mask-in heads"),
    ("llama", "widen hidden 48→72 via fpi", "widen ffn 80→100 via net2net"),
    ("llama", "mask-in ffn 80→100", "deepen depth 2→4 via identity"),
]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("plan", PLANS, ids=lambda p: f"{p[0]}: {'; '.join(p[1:])}")
def test_plans_hold(plan: tuple[str, ...], dtype: str, tmp_path: Path) -> None:
    made = case(*plan, dtype=dtype)
    measured = made.assert_all()
    bound = 1e-13 if dtype == "float64" else 1e-5
    for m in measured:
        assert m.law_error < bound
        if m.claim.startswith("exact"):
            assert m.relative < bound and m.block_error is not None and m.block_error < bound
            assert m.kl is None or abs(m.kl) < bound
        else:
            assert m.copies > 0 and m.relative > 0.1
    made.write(tmp_path / "out", run_passes(made.graph))
    made.compare_written(tmp_path / "out")


def test_an_approximate_step_excepts_its_norms_and_nothing_else() -> None:
    (first, *_) = case("bert", "widen hidden 48→64 via bert2bert").assert_all()
    assert first.claim == "approximate"
    assert first.law_error < 1e-6 and first.exempt_error is not None and first.exempt_error > 1e-3
    assert first.block_error is None and first.relative > 1e-3


def test_growing_the_vocabulary_is_exact_on_the_old_one() -> None:
    (m,) = case("gpt2", "widen vocab 31→40 via fpi").assert_all()
    assert m.claim.startswith("exact") and m.relative < 1e-5 and abs(m.kl or 0) < 1e-9


def test_what_a_measurement_says() -> None:
    (m, *_) = case("gpt2", "widen hidden 48→64 via fpi").assert_all()
    numbers = m.numbers()
    assert {"law", "block", "output_max_abs", "output_spread", "kl", "tolerance"} <= set(numbers)
    assert all(isinstance(value, float) for value in numbers.values())
    assert m.tolerance == AMPLIFICATION * 2**-24 * 3**0.5


def test_a_damaged_file_is_not_the_last_model(tmp_path: Path) -> None:
    made = case("llama", "widen ffn 80→100 via net2net")
    made.write(tmp_path / "out")
    made.compare_written(tmp_path / "out")
    file = tmp_path / "out" / "model.safetensors"
    tensors = load_file(file)
    for name in ("model.norm.weight", "model.layers.1.mlp.down_proj.weight"):  # copied, rewritten
        damaged = dict(tensors)
        bits = damaged[name].clone().view(torch.int32)
        bits.view(-1)[3] ^= 1
        damaged[name] = bits.view(torch.float32)
        save_file(damaged, file, {"format": "pt"})
        with pytest.raises(DiagnosticError) as caught:
            made.compare_written(tmp_path / "out")
        (diagnostic,) = caught.value.diagnostics
        assert diagnostic.code == "GP506" and name in diagnostic.message


@pytest.mark.parametrize(
    ("plan", "tensor", "message"),
    [
        ("stack depth x2", "transformer.h.0.ln_1.weight", "logits are not finite; nor were they before"),
        ("mask-in ffn 144→150", "transformer.h.0.ln_1.weight", "logits are not finite; nor were they before"),
        ("mask-in ffn 144→150", "transformer.h.1.mlp.c_proj.weight", "held NaN or infinity before the step"),
    ],
)
def test_a_source_with_nan_is_said_to_have_it(plan: str, tensor: str, message: str, tmp_path: Path) -> None:
    made = case("gpt2", plan, config=(("n_embd", 36),))
    tensors = load_file(made.source / "model.safetensors")
    tensors[tensor].view(-1)[0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(DiagnosticError) as caught:
        replace(made, headers=read_headers(tmp_path)).assert_all()
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.code == "GP505" and message in diagnostic.message


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_segment_is_the_source_against_what_is_stored(dtype: str) -> None:
    made = case("llama", "widen hidden 48→72 via fpi", "widen ffn 80→100 via net2net", dtype=dtype)
    steps = made.typed.steps
    models = [steps[0].before, *(s.after for s in steps)]
    assert segments([s.claim for s in made.graph.steps]) == [(0, len(steps))]
    with open_reader(made.headers) as reader:
        found = measure_segment(made.graph, 0, len(steps), models, reader_rows(reader))
    assert found.worst is not None and found.worst.kl is not None
    low, high = (0, 1e-5) if dtype == "float32" else (1e-4, 0.1)
    assert low <= found.worst.relative < high


def test_steps_that_preserve_nothing_stand_alone() -> None:
    assert segments([]) == []
    claims = ["exact", "approximate", "none", "none", "exact (old vocab)"]
    assert segments(claims) == [(0, 2), (2, 3), (3, 4), (4, 5)]
