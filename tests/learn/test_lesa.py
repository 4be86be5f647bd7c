"""LESA's networks against numpy and torch.nn, on weights whose layers are known, and on whole models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from growplan.apply import ApplyResult, apply
from growplan.backend.dtypes import raw_bytes
from growplan.check.predictors import epochs, matrices, predictor_cost, updates_of
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.learn.draws import shuffled
from growplan.learn.lesa import Prediction, decompose, drawn, fit, loss_of, predict, triples
from growplan.methods.operator import Predictor
from tests.check.models import check
from tests.tiny import tiny_checkpoint

DOUBLE = torch.float64
SMALL = Predictor(hidden=32, epochs=1, updates=40)


def stack(layers: int, outs: int, ins: int, seed: int = 0) -> Tensor:
    """Independent layers [layers, outs, ins]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(layers, outs, ins, generator=generator, dtype=DOUBLE) / ins**0.5


def predicted(
    weights: Tensor, after: list[int], predictor: Predictor = SMALL, key: str = "0/lesa"
) -> Prediction:
    return predict(weights.__getitem__, len(weights), after, predictor, key, weights.dtype)


# one matrix -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("outs", "ins"), [(6, 5), (5, 9), (40, 7)])
def test_the_decomposition_is_that_of_the_layers_side_by_side(outs: int, ins: int) -> None:
    """(40, 7): more rows than there are directions."""
    weights = stack(4, outs, ins)
    found = decompose(weights.__getitem__, 4, DOUBLE)
    joined = np.concatenate(list(weights.numpy()), axis=1)
    sizes = np.linalg.svd(joined, compute_uv=False)
    rank = min(outs, 4 * ins)
    assert found.basis.shape == (outs, rank) and found.rows.shape == (4, rank, ins)
    np.testing.assert_allclose(found.basis.norm(dim=0).numpy(), sizes[:rank], rtol=1e-7)
    np.testing.assert_allclose((found.basis @ found.rows).numpy(), weights.numpy(), atol=1e-12)
    rows = torch.cat(list(found.rows), 1)
    np.testing.assert_allclose((rows @ rows.T).numpy(), np.eye(rank), atol=1e-7)
    assert bool((found.basis.gather(0, found.basis.abs().argmax(0, keepdim=True)) > 0).all())


def test_a_network_is_fitted_as_torch_fits_it() -> None:
    """nn.Linear, nn.MSELoss and the loop of the authors' notebook, from the same draws in the same order."""
    rows = decompose(stack(5, 30, 12).__getitem__, 5, DOUBLE).rows
    predictor, key = replace(SMALL, epochs=3, updates=1, norm=0.25, lr=3e-3), "7/lesa/w"
    net = nn.Sequential(
        nn.Linear(24, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 12)
    ).double()
    with torch.no_grad():
        for layer, (weight, bias) in zip(net[::2], drawn(12, 32, key, rows), strict=True):
            layer.weight.copy_(weight)
            layer.bias.copy_(bias)
    x = torch.cat([torch.cat([rows[i - 1], rows[i + 1]], 1) for i in (1, 2, 3)])
    y = torch.cat(list(rows[1:4]))
    mse, optimizer = nn.MSELoss(), torch.optim.AdamW(net.parameters(), lr=3e-3)
    for epoch in range(3):
        order = shuffled(90, f"{key}/epoch {epoch}")
        for start in (0, 64):
            at = order[start : start + 64]
            out = net(x[at])
            norms = mse(torch.linalg.norm(out), torch.linalg.norm(y[at]))
            optimizer.zero_grad()
            (0.75 * mse(out, y[at]) + 0.25 * norms).backward()
            optimizer.step()
    found, updates = fit(rows, predictor, key)
    assert updates == 6
    for layer, (weight, bias) in zip(net[::2], found, strict=True):
        torch.testing.assert_close(weight, layer.weight.detach(), rtol=1e-9, atol=1e-11)
        torch.testing.assert_close(bias, layer.bias.detach(), rtol=1e-9, atol=1e-11)


def test_rows_are_told_by_triple_then_direction() -> None:
    rows = stack(5, 3, 2)
    x, y = triples(rows, torch.tensor([0, 4, 8]))
    assert torch.equal(x[1], torch.cat((rows[1, 1], rows[3, 1]))) and torch.equal(y[2], rows[3, 2])
    assert float(loss_of(y + 1, y, 0.0)) == pytest.approx(1.0)


def test_draws_are_those_of_a_linear_layer() -> None:
    (weight, bias), *_ = drawn(50, 400, "key", torch.zeros(0, dtype=DOUBLE))
    assert weight.shape == (400, 100) and bias.shape == (400,)
    assert float(weight.abs().max()) <= 0.1 and float(weight.std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)
    assert float(bias.abs().max()) <= 0.1 and abs(float(weight.mean())) < 2e-3


def test_layers_on_a_line_are_found_between() -> None:
    """W_i = A + i B: what lies between two layers is known."""
    a, b = stack(2, 24, 8)
    weights = torch.stack([a + i * b / 4 for i in range(9)])
    found = predicted(weights, [0, 4, 7], Predictor(hidden=64, updates=4000))
    for layer, made in zip((0, 4, 7), found.matrices, strict=True):
        wanted = a + (layer + 0.5) * b / 4
        assert float((made - wanted).norm() / wanted.norm()) < 0.05
    assert found.error < 1e-3 and found.mean_error < 1e-12


def test_networks_know_layers_that_a_mean_does_not() -> None:
    """Layers that turn: V_i from its neighbours is a map, and the mean is not that map."""
    turned = stack(3, 20, 6)
    weights = torch.stack([turned[i % 3] for i in range(8)])  # after two of them comes the third
    found = predicted(weights, [6], Predictor(hidden=64, updates=3000))
    assert found.error < 0.02 < 1.0 < found.mean_error


def test_a_seed_decides() -> None:
    weights = stack(4, 12, 6)
    first, same, other = (predicted(weights, [1], key=key).matrices[0] for key in ("a", "a", "b"))
    assert torch.equal(first, same) and not torch.allclose(first, other)


def test_zeros_stay_zeros_and_numbers_must_be_finite() -> None:
    made = predicted(torch.zeros(3, 4, 5, dtype=DOUBLE), [0, 1])
    assert [m.shape for m in made.matrices] == [(4, 5)] * 2 and not any(m.any() for m in made.matrices)
    broken = stack(3, 4, 5)
    broken[1, 2, 3] = float("nan")
    for weights, predictor in ((broken, SMALL), (stack(3, 4, 5), replace(SMALL, lr=1e300))):
        with pytest.raises(DiagnosticError) as error:
            predicted(weights, [0], predictor)
        assert error.value.diagnostics[0].code == "GP565"


# what is predicted, and what it costs ------------------------------------------------------------------


def test_updates_are_at_least_as_many_as_asked() -> None:
    assert epochs(64, Predictor(epochs=10, updates=1000)) == 1000
    assert epochs(65, Predictor(epochs=10, updates=1000)) == 500
    assert epochs(30 * 4096, Predictor()) == 10 and updates_of(30 * 4096, Predictor()) * 10 == 19_200


def test_costs_are_counted() -> None:
    (step,) = check("gpt2", "deepen depth 12→14 via lesa, hidden 10, epochs 2, updates 1").steps
    assert step.predictor is not None
    found = matrices(step.before)
    parts = [(m.start, m.outs, m.ins) for m in found if "c_attn" in m.param.name]
    assert parts == [(0, 768, 768), (768, 768, 768), (1536, 768, 768)] and len(found) == 6
    weights = {768: 3 * 768 * 10 + 100, 3072: 3 * 3072 * 10 + 100}
    networks = [(768, 768)] * 4 + [(3072, 768), (768, 3072)]  # rows, numbers of a row
    numbers = sum(
        values.numel() for _, m in networks for pair in drawn(m, 10, "", torch.ones(1)) for values in pair
    )
    cost = predictor_cost(step.before, step.layers, step.predictor)
    assert step.predictor_cost == cost and (cost.networks, cost.parameters) == (6, numbers)
    assert cost.flops == sum(weights[m] * n * (6 * 10 * 2 + 2 * 2) for n, m in networks)
    assert cost.memory > 4 * 12 * 3072 * 768 + 3 * 8 * 3072**2


# whole models ------------------------------------------------------------------------------------------

FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "gpt2": ("transformer.h.{}.", {"n_layer": 4, "n_inner": 80}),
    "bert": ("encoder.layer.{}.", {"num_hidden_layers": 4}),
    "llama": ("model.layers.{}.", {"num_hidden_layers": 4, "attention_bias": True}),
    "mixtral": ("model.layers.{}.", {"num_hidden_layers": 4, "num_local_experts": 2}),
    "vit": ("vit.encoder.layer.{}.", {"num_hidden_layers": 4}),
}
FAST = "hidden 16, epochs 1, updates 20"
PREDICTOR = Predictor(hidden=16, epochs=1, updates=20)


def deepened(source: Path, target: Path, step: str) -> ApplyResult:
    return apply(parse_text(step, "<test>", "dsl"), target, model_dir=source, stock=False)


def tensors(directory: Path) -> dict[str, Tensor]:
    return load_file(directory / "model.safetensors")


def by_hand(old: dict[str, Tensor], word: str, leaf: str, after: int) -> Tensor:
    """One predicted matrix, from the file alone: GPT-2 stores in x out, and q, k, v side by side."""
    gpt2, (ins, outs) = word.startswith("transformer"), old[word.format(0) + leaf].shape
    parts = 3 if leaf == "attn.c_attn.weight" else 1
    made = []
    for part in range(parts):
        rows = outs // parts if gpt2 else ins
        place = f" {part * rows}:{(part + 1) * rows}" * (parts > 1)
        key = f"0/deepen-depth/{word.replace('{}', '{i}')}{leaf}{place}"

        def weights(layer: int, at: int = part * rows, rows: int = rows) -> Tensor:
            whole = old[word.format(layer) + leaf]
            return (whole.T if gpt2 else whole)[at : at + rows]

        made += predict(weights, 4, [after], PREDICTOR, key, DOUBLE).matrices
    return torch.cat(made).T if gpt2 else torch.cat(made)


@pytest.mark.parametrize("rest", ["first", "below"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_is_its_own_layers_and_predicted_ones(family: str, rest: str, tmp_path: Path) -> None:
    word, config = FAMILIES[family]
    source = tiny_checkpoint(family, tmp_path / "s", dtype="float64", **config)
    result = deepened(source, tmp_path / "t", f"deepen depth 4→6 via lesa, rest {rest}, {FAST}")
    old, new = tensors(source), tensors(result.target)
    leaves = [name.removeprefix(word.format(0)) for name in old if name.startswith(word.format(0))]
    place = {0: 0, 1: 1, 2: None, 3: 2, 4: None, 5: 3}  # new layers above 1 and 2
    for layer, kept in place.items():
        after = layer // 2
        for leaf in leaves:
            found = new[word.format(layer) + leaf]
            if kept is None and found.ndim == 2:
                torch.testing.assert_close(found, by_hand(old, word, leaf, after), rtol=1e-7, atol=1e-9)
                continue
            below = after if rest == "below" else 0
            same = old[word.format(below if kept is None else kept) + leaf]
            assert found.dtype == same.dtype and raw_bytes(found) == raw_bytes(same), leaf
    outside = [name for name in old if not name.startswith(word.partition("{}")[0])]
    assert all(raw_bytes(new[name]) == raw_bytes(old[name]) for name in outside)
    assert len(new) == len(old) + 2 * len(leaves)


def test_the_record_says_what_networks_know(tmp_path: Path) -> None:
    source = tiny_checkpoint("llama", tmp_path / "s", dtype="bfloat16", num_hidden_layers=4)
    result = deepened(source, tmp_path / "t", f"deepen depth 4→5 via lesa, {FAST}")
    again = deepened(source, tmp_path / "u", f"deepen depth 4→5 via lesa, {FAST}")
    assert (result.target / "model.safetensors").read_bytes() == (
        again.target / "model.safetensors"
    ).read_bytes()
    (record,) = result.predicted
    recorded = json.loads((result.target / "growth.json").read_text(encoding="utf-8"))["extra"]["predicted"][
        0
    ]
    assert recorded["layers"] == [3] == list(record.layers) and len(recorded["networks"]) == 7
    assert recorded["leaves"] == dict(record.leaves)
    query = record.networks[0]
    assert (query.matrix, query.directions, query.updates) == (
        "model.layers.{i}.self_attn.q_proj.weight",
        48,
        20,
    )
    assert query.mean_error == pytest.approx(1.5, abs=0.15)  # independent layers
    assert 0.2 < query.norm < 2 and query.error == recorded["networks"][0]["error"]
    assert {t.dtype for t in tensors(result.target).values()} == {torch.bfloat16}


def test_weights_that_are_not_finite_are_told_at_the_step(tmp_path: Path) -> None:
    source = tiny_checkpoint("gpt2", tmp_path / "s", n_layer=3)
    weights = tensors(source)
    weights["transformer.h.1.mlp.c_fc.weight"][2, 3] = float("inf")
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    with pytest.raises(DiagnosticError) as error:
        deepened(source, tmp_path / "t", "deepen depth to 4 via lesa")
    (found,) = error.value.diagnostics
    assert found.code == "GP565" and found.span is not None and not (tmp_path / "t").exists()


@pytest.mark.parametrize(
    ("steps", "code", "part"),
    [
        ("deepen depth 12→24 via lesa", "GP121", "24"),
        ("deepen depth 12→16 via lesa, place 8", "GP566", "8"),
        ("deepen depth 12→14 via lesa, place middle", "GP116", "middle"),
        ("deepen depth 12→14 via lesa, hidden 2.5", "GP116", "2.5"),
        ("deepen depth 12→14 via lesa, expect exact", "GP204", "deepen"),
        ("stack depth 12→14 via lesa", "GP113", "lesa"),
    ],
)
def test_mistakes_are_told_with_their_place(steps: str, code: str, part: str) -> None:
    with pytest.raises(DiagnosticError) as error:
        check("gpt2", steps)
    (found,) = error.value.diagnostics
    assert found.code == code and found.help
    assert found.span is not None and part in steps[found.span.start : found.span.end]
