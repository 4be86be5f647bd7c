"""Directions against autograd through stock transformers, and what new units gain by them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from growplan.backend.evaluate import ModelView
from growplan.backend.executor import reader_rows
from growplan.check.fitted import feed_forward
from growplan.checkpoint.reader import open_reader
from growplan.learn.batch import IGNORED, Piece, pieces
from growplan.learn.data import Data
from growplan.learn.gradmax import Directions, backward, forward, leading, second_moment
from tests.backend.plans import Case, case
from tests.float64 import load_float64, no_float32_islands

NEW = 12
STEP = "widen ffn {}→{} via gradmax, data ids.json, mask 3"


@dataclass(frozen=True)
class Family:
    """How to reach one feed-forward layer of a stock model."""

    architecture: str
    ffn: int
    layers: Callable[[Any], Any]
    reads: Callable[[Any], Any]  # module whose input the layer reads
    writes: Callable[[Any], Any]  # module whose output the layer writes
    config: tuple[tuple[str, Any], ...] = ()


FAMILIES = {
    "gpt2": Family(
        "GPT2LMHeadModel", 192, lambda m: m.transformer.h, lambda b: b.mlp.c_fc, lambda b: b.mlp.c_proj
    ),
    "bert": Family(
        "BertForMaskedLM",
        80,
        lambda m: m.bert.encoder.layer,
        lambda b: b.intermediate.dense,
        lambda b: b.output.dense,
    ),
    "llama": Family(
        "LlamaForCausalLM",
        80,
        lambda m: m.model.layers,
        lambda b: b.mlp.gate_proj,
        lambda b: b.mlp.down_proj,
        (("mlp_bias", True),),
    ),
}


def ids() -> Tensor:
    return torch.randint(4, 31, (6, 20), generator=torch.Generator().manual_seed(5))


def made(name: str) -> Case:
    family = FAMILIES[name]
    step = STEP.format(family.ffn, family.ffn + NEW)
    return case(name, step, dtype="float64", config=(("architecture", family.architecture), *family.config))


def batch(made: Case) -> list[Piece]:
    (step,) = made.typed.steps
    assert step.fit is not None
    data = Data(tuple(map(tuple, ids().tolist())), None, "")
    mask = 3 if step.fit.loss == "masked" else None
    return pieces(data, step.fit, step.before, mask, "key")


def found(made: Case) -> tuple[float, dict[int, Directions]]:
    (step,) = made.typed.steps
    assert step.fit is not None
    some = batch(made)
    with open_reader(made.headers) as reader:
        view = ModelView(made.graph, 0, reader_rows(reader))
        passed = forward(step.before, view, some)
        layers = backward(step.before, view, step.fit, some, passed, NEW)
        return passed.loss, {each.layer: each for each in layers}


def loss_of(model: Any, some: list[Piece]) -> Tensor:
    logits = torch.cat([model(piece.ids).logits.flatten(0, 1) for piece in some])
    targets = torch.cat([piece.targets.flatten() for piece in some])
    return torch.nn.functional.cross_entropy(logits, targets, ignore_index=IGNORED)


def beside(name: str, model: Any) -> tuple[list[Any], list[list[Tensor]]]:
    """An explicit zero map put beside every layer, and what each layer reads, piece by piece."""
    family, maps, inputs = FAMILIES[name], [], []
    for block in family.layers(model):
        zero, seen = torch.nn.Linear(48, 48, bias=False, dtype=torch.float64), []
        torch.nn.init.zeros_(zero.weight)
        family.reads(block).register_forward_hook(lambda m, x, y, seen=seen: seen.append(x[0]))
        family.writes(block).register_forward_hook(lambda m, x, y, z=zero, seen=seen: y + z(seen[-1]))
        maps.append(zero)
        inputs.append(seen)
    return maps, inputs


@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_directions_are_those_of_an_explicit_zero_map(name: str) -> None:
    """G = dL/dA for y + A x through stock transformers: the same loss, singular values and directions."""
    this = made(name)
    loss, layers = found(this)
    model = load_float64(this.source, FAMILIES[name].architecture)
    maps, _ = beside(name, model)
    total = loss_of(model, batch(this))
    total.backward()
    assert float(total.detach()) == pytest.approx(loss, rel=1e-12)
    for layer, zero in enumerate(maps):
        g = zero.weight.grad.T  # d_in x d_out
        rows, values = layers[layer].rows, layers[layer].values
        torch.testing.assert_close(values, torch.linalg.svdvals(g), rtol=0, atol=1e-11 * float(values[0]))
        torch.testing.assert_close(rows @ rows.T, torch.eye(NEW, dtype=torch.float64), rtol=0, atol=1e-12)
        torch.testing.assert_close(g.T @ g @ rows.T, rows.T * values[:NEW].square(), rtol=0, atol=1e-11)


def test_a_gated_layer_is_that_of_an_explicit_bilinear_map() -> None:
    """y + B(x, x): the gradient of B is G2[a, b, c] = sum_t x_a x_b e_c, and M = G2^T G2."""
    this = made("llama")
    loss, layers = found(this)
    model, some = load_float64(this.source, FAMILIES["llama"].architecture), batch(this)
    maps = []
    for block in model.model.layers:
        b = torch.zeros(48, 48, 48, dtype=torch.float64, requires_grad=True)
        block.mlp.register_forward_hook(
            lambda m, x, y, b=b: y + torch.einsum("...a,...b,abc->...c", x[0], x[0], b)
        )
        maps.append(b)
    with no_float32_islands():
        total = loss_of(model, some)
    total.backward()
    assert float(total.detach()) == pytest.approx(loss, rel=1e-12)
    for layer, b in enumerate(maps):
        g = b.grad.reshape(48 * 48, 48)
        rows, values = layers[layer].rows, layers[layer].values
        torch.testing.assert_close(
            values[:NEW], torch.linalg.svdvals(g)[:NEW], rtol=0, atol=1e-9 * float(values[0])
        )
        torch.testing.assert_close(g.T @ g @ rows.T, rows.T * values[:NEW].square(), rtol=0, atol=1e-9)


def test_second_moment_by_hand() -> None:
    generator = torch.Generator().manual_seed(0)
    x, e = (torch.randn(7, n, generator=generator, dtype=torch.float64) for n in (5, 3))
    expected = sum((x[t] @ x[s]) ** 2 * torch.outer(e[t], e[s]) for t in range(7) for s in range(7))
    torch.testing.assert_close(second_moment(x, e), expected)


def test_leading_directions_have_the_largest_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    x, e = (torch.randn(50, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    best = leading(x, e, 0, 4, gated=False).rows
    gain = (x.T @ e @ best.T).square().sum()
    for _ in range(20):
        other = torch.linalg.qr(torch.randn(9, 4, generator=generator, dtype=torch.float64))[0]
        assert (x.T @ e @ other).square().sum() < gain
    again = leading(x, -e, 0, 4, gated=False).rows
    torch.testing.assert_close(best, again)  # the sign is the vector's own, whatever the solver gives


def test_more_tokens_are_not_proposed_where_they_cannot_help() -> None:
    from growplan.diagnostics import DiagnosticError

    generator = torch.Generator().manual_seed(0)
    x, e = (torch.randn(50, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    with pytest.raises(DiagnosticError) as error:
        leading(x, e - e.mean(1, keepdim=True), 2, 9, gated=False)  # what a LayerNorm reads
    assert error.value.diagnostics[0].help[0] == "add 8 units"


@pytest.mark.parametrize(("tokens", "gated"), [(3, False), (3, True)])
def test_too_few_tokens_are_refused_with_the_number(tokens: int, gated: bool) -> None:
    from growplan.diagnostics import DiagnosticError

    generator = torch.Generator().manual_seed(0)
    x, e = (torch.randn(tokens, 9, generator=generator, dtype=torch.float64) for _ in range(2))
    with pytest.raises(DiagnosticError) as error:
        leading(x, e, 2, 4, gated=gated)
    (d,) = error.value.diagnostics
    assert d.code == "GP525" and "layer 2 a gradient in 3 directions, and 4 units" in d.message
    assert d.help[0].startswith("give more tokens")
    with pytest.raises(DiagnosticError) as error:
        leading(x, 0 * e, 2, 4, gated=gated)
    assert error.value.diagnostics[0].code == "GP526"


def test_the_layer_is_found_in_every_family() -> None:
    for name, gated in (("gpt2", False), ("bert", False), ("llama", True)):
        layer = feed_forward(made(name).typed.source)
        assert layer.gated == gated
        assert layer.down.outs.axes == {"hidden"} and layer.read.outs.axes == {"ffn"}
