"""Plans that measure on data, run from a directory to a directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from growplan.apply import apply
from growplan.checkpoint.files import file_sha256
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.pipeline import check
from tests.float64 import load_float64, no_float32_islands
from tests.matrix.cases import VARIANTS
from tests.matrix.run import Grown, by_interpreter, ids_for, worst, write_source

BY_NAME = {variant.name: variant for variant in VARIANTS}
ROWS = torch.randint(4, 31, (8, 20), generator=torch.Generator().manual_seed(3)).tolist()
OLD, NEW = 80, 96
STEP = f"widen ffn {OLD}→{NEW} via gradmax, mask 3, data ids.json"


def grown(name: str, steps: str, folder: Path, data: object = ROWS) -> tuple[Grown, Any]:
    source = write_source(BY_NAME[name], folder / "source")
    (folder / "ids.json").write_text(json.dumps(data), encoding="utf-8")
    plan = parse_text(steps, str(folder / "p.grow"), "dsl").read_from(str(folder / "p.grow"))
    result = apply(plan, folder / "target", model_dir=source, stock=False)
    return Grown(source, folder / "target", result.typed), result


EXACT = [
    ("gpt2-tied", STEP),
    ("gpt2-untied", f"widen hidden 48→72; {STEP}; deepen depth x2 via identity; mask-in heads"),
    ("bert-mlm", f"{STEP}; widen ffn {NEW}→112 via gradmax, mask 3, scale 0.5, data ids.json"),
    ("bert-mlm-untied", STEP),
    ("llama-gqa", STEP),
    ("llama-mqa-tied", f"widen hidden 48→96; {STEP}; widen ffn {NEW}→200 via fpi"),
]


@pytest.mark.parametrize(("name", "steps"), EXACT, ids=[name for name, _ in EXACT])
def test_gradmax_is_exact(name: str, steps: str, tmp_path: Path) -> None:
    made, result = grown(name, steps, tmp_path)
    assert made.typed.claim.strength == "exact"
    assert len(result.learned) == steps.count("gradmax")
    ids = ids_for(31, 24)
    assert worst(by_interpreter(made.source, ids), by_interpreter(made.target, ids)) < 1e-9


@pytest.mark.parametrize(("name", "labels"), [("gpt2-classify", 2), ("bert-classify", 3)])
def test_classifiers_take_their_labels_from_the_data(name: str, labels: int, tmp_path: Path) -> None:
    data = {"ids": ROWS, "labels": [i % labels for i in range(len(ROWS))]}
    made, result = grown(name, STEP.replace(f"→{NEW}", "→84"), tmp_path, data)
    assert made.typed.claim.strength == "exact"
    assert result.learned[0].sequences == len(ROWS)


def test_the_record_says_what_was_measured_and_the_bytes_repeat(tmp_path: Path) -> None:
    _, result = grown("gpt2-tied", STEP, tmp_path / "a")
    _, again = grown("gpt2-tied", STEP, tmp_path / "b")
    (learned,), (same,) = result.learned, again.learned
    assert learned == same
    recorded = json.loads((result.target / "growth.json").read_text(encoding="utf-8"))["extra"]["learned"]
    assert recorded[0]["data_sha256"] == file_sha256(tmp_path / "a" / "ids.json") == learned.data_sha256
    assert recorded[0]["leaves"] == dict(learned.leaves)
    assert set(learned.leaves) == {f"widen-ffn/transformer.h.{i}.mlp.c_proj.weight" for i in range(2)}
    assert recorded[0]["tokens"] == 160 and recorded[0]["loss"] == learned.loss


# the first step of training -------------------------------------------------------------------------


def new_gradient(directory: Path, architecture: str, columns: Tensor | None = None) -> float:
    """Norm of the gradient at the weights that new units read by; `columns` replace what they write."""
    model = load_float64(directory, architecture)
    blocks = model.transformer.h if architecture.startswith("GPT2") else model.model.layers
    total = 0.0
    ids = torch.tensor(ROWS)
    gpt2 = architecture.startswith("GPT2")
    for i, block in enumerate(blocks):
        writes = block.mlp.c_proj.weight if gpt2 else block.mlp.down_proj.weight.T
        if columns is not None:
            with torch.no_grad():
                writes[OLD:] = columns[i] * writes[OLD:].norm(dim=1, keepdim=True)
    with no_float32_islands():
        logits = model(ids).logits[:, :-1]
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    for block in blocks:
        reads = block.mlp.c_fc.weight.grad[:, OLD:] if gpt2 else block.mlp.gate_proj.weight.grad[OLD:]
        total += float(reads.square().sum())
    return total**0.5


def orthonormal(generator: torch.Generator) -> Tensor:
    draws = torch.randn(2, 48, NEW - OLD, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(draws)[0].transpose(1, 2)


@pytest.mark.parametrize(
    ("name", "architecture"), [("gpt2-tied", "GPT2LMHeadModel"), ("llama-gqa", "LlamaForCausalLM")]
)
def test_new_units_get_a_larger_gradient_than_random_columns_of_the_same_norm(
    name: str, architecture: str, tmp_path: Path
) -> None:
    made, _ = grown(name, STEP, tmp_path)
    best = new_gradient(made.target, architecture)
    generator = torch.Generator().manual_seed(0)
    others = [new_gradient(made.target, architecture, orthonormal(generator)) for _ in range(5)]
    assert best > 1.2 * max(others) > 0


def test_the_first_gradient_is_what_the_singular_values_say(tmp_path: Path) -> None:
    """|dL/dW_new|^2 = (act'(0) norm)^2 * the sum of the squares of the singular values."""
    made, result = grown("gpt2-tied", STEP.replace(f"{OLD}→{NEW}", "80→88"), tmp_path)
    model = load_float64(made.target, "GPT2LMHeadModel")
    ids = torch.tensor(ROWS)
    logits = model(ids).logits[:, :-1]
    torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten()).backward()
    for block, layer in zip(model.transformer.h, result.learned[0].layers, strict=True):
        expected = 0.5 * layer.norm * sum(v * v for v in layer.top) ** 0.5  # 8 units: all values recorded
        assert float(block.mlp.c_fc.weight.grad[:, OLD:].norm()) == pytest.approx(expected, rel=1e-6)


# mistakes --------------------------------------------------------------------------------------------


def test_too_few_tokens_are_told_at_the_data_of_the_step(tmp_path: Path) -> None:
    with pytest.raises(DiagnosticError) as error:
        grown("gpt2-tied", STEP, tmp_path, [[4, 5, 6]])
    (d,) = error.value.diagnostics
    assert d.code == "GP525" and str(d.span).endswith("p.grow:1:38")
    assert not (tmp_path / "target").exists()


def test_check_sees_a_missing_file_at_its_place(tmp_path: Path) -> None:
    source = write_source(BY_NAME["gpt2-tied"], tmp_path / "source")
    with pytest.raises(DiagnosticError) as error:
        check(parse_text(STEP, "p.grow", "dsl"), model_dir=source)
    (d,) = error.value.diagnostics
    assert (d.code, str(d.span)) == ("GP521", "p.grow:1:38")


def test_dry_run_measures_nothing(tmp_path: Path) -> None:
    source = write_source(BY_NAME["gpt2-tied"], tmp_path / "source")
    (tmp_path / "ids.json").write_text("[1, 2, 3]", encoding="utf-8")
    plan = parse_text(STEP, "p.grow", "dsl").read_from(str(tmp_path / "p.grow"))
    assert apply(plan, tmp_path / "out", model_dir=source, dry_run=True).learned == ()
