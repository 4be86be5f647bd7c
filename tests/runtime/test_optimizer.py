"""One real step of AdamW on the grown model, from moments that were grown, against what the rules predict."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import growplan
from growplan.diagnostics import DiagnosticError
from growplan.runtime import Moments, grow_moments, grow_optimizer
from tests.float64 import load_float64
from tests.matrix.run import grow, inputs_for, write_source
from tests.runtime.gradients import BY_NAME, Case, compiled_case, dense, parameters
from tests.runtime.trained import RATE, train, trainer_optimizer

TINY = 1e-20  # AdamW's epsilon here, so that a step depends on ratios alone
NOISE = 1e-24  # of v: gradients that are zero but for rounding (key biases)
EVEN = "widen hidden 48→96 via fpi, split even; widen heads 6→12 via fpi, split even"
EXACT = [
    ("gpt2-tied", "grow hidden x2, heads x2, ffn x2 via staged; deepen depth x2 via identity"),
    ("bert-mlm", f"{EVEN}; widen ffn 80→131 via fpi, split even"),
    ("llama-gqa-tied", EVEN),
]


def trained_and_grown(name: str, steps: str, folder: Path) -> tuple[Case, Any, Any, Any, Any]:
    """A source after three steps of AdamW and what it grew to, each with an optimizer, the new one empty."""
    source = write_source(BY_NAME[name], folder / "start")
    case = compiled_case(source, source, steps)
    old = load_float64(source, case.rules.source.architecture)
    optimizer = trainer_optimizer(old, eps=TINY)
    train(old, optimizer, inputs_for(case.rules.source), 3)
    old.save_pretrained(folder / "source")
    grow(folder / "source", steps, folder / "target")
    new = load_float64(folder / "target", case.rules.target.architecture)
    return case, old, optimizer, new, trainer_optimizer(new, eps=TINY)


@pytest.mark.parametrize(("name", "steps"), EXACT)
def test_one_step_of_adamw_is_the_step_that_the_rule_predicts(name: str, steps: str, tmp_path: Path) -> None:
    """The grown moments after a real step are those of the source after its step, moved by the rule.

    AdamW divides by the root of v, so that a factor on the gradient is no factor on the step: every
    entry with an exact rule moves by just what the entry that it comes from would have moved.
    """
    case, old, old_optimizer, new, new_optimizer = trained_and_grown(name, steps, tmp_path)
    grow_optimizer(case.rules, old, old_optimizer, new, new_optimizer)
    before = [{n: p.detach().clone() for n, p in parameters(m, x).items()} for m, x in models(case, old, new)]
    for (model, module), optimizer in zip(
        models(case, old, new), (old_optimizer, new_optimizer), strict=True
    ):
        train(module, optimizer, inputs_for(model), 1, first=4)
    (old_now, new_now) = (parameters(m, x) for m, x in models(case, old, new))
    seen = 0
    for tensor, rule in case.rules.tensors.items():
        if rule.kind != "exact":
            assert rule.kind == "reset"
            continue
        source = rule.source
        assert source is not None
        old_state, new_state = old_optimizer.state[old_now[source]], new_optimizer.state[new_now[tensor]]
        assert float(new_state["step"]) == 4
        factor, taken = along(rule.axes, torch.ones_like(old_state["exp_avg"]))
        real = taken & (along(rule.axes, old_state["exp_avg_sq"], square=True)[0] > NOISE)
        for key, square in (("exp_avg", False), ("exp_avg_sq", True)):
            predicted, _ = along(rule.axes, old_state[key], square=square)
            close(new_state[key][real], predicted[real], tensor)
        decay = 1 - RATE * decay_of(new_optimizer, new_now[tensor])
        moved = new_now[tensor].detach() - decay * before[1][tensor]
        own = old_now[source].detach() - decay * before[0][source]
        steps_of_old, _ = along(rule.axes, own, plain=True)
        off = (moved - factor.sign() * steps_of_old).abs()[real]
        assert bool((off < 1e-7 * RATE).all()), tensor
        seen += int(real.sum())
    assert seen > 1000


def models(case: Case, old: Any, new: Any) -> list[tuple[Any, Any]]:
    return [(case.rules.source, old), (case.rules.target, new)]


def along(axes: Any, x: Tensor, *, square: bool = False, plain: bool = False) -> tuple[Tensor, Tensor]:
    """A rule's axes on a tensor, with their factors, the squares of these, or 1s; and where it speaks."""
    known = torch.ones([1] * x.ndim, dtype=torch.bool)
    for dim, axis in enumerate(axes):
        matrix, said = dense(axis, x.shape[dim])
        matrix = matrix.square() if square else (matrix != 0).double() if plain else matrix
        x = torch.movedim(torch.tensordot(matrix, x, ([1], [dim])), 0, dim)
        shape = [1] * x.ndim
        shape[dim] = -1
        known = known & said.view(shape)
    return x, known.expand(x.shape)


def close(found: Tensor, wanted: Tensor, tensor: str) -> None:
    scale = max(float(wanted.abs().max()) if wanted.numel() else 0.0, 1e-12)
    assert not found.numel() or float((found - wanted).abs().max()) <= 1e-9 * scale, tensor


def decay_of(optimizer: torch.optim.Optimizer, parameter: Tensor) -> float:
    return next(
        float(g["weight_decay"]) for g in optimizer.param_groups if any(parameter is p for p in g["params"])
    )


# what is new ---------------------------------------------------------------------------------------------


def test_new_slices_begin_with_the_mean_of_v_and_the_step_of_the_tensor(tmp_path: Path) -> None:
    rules = rules_of("gpt2-tied", "mask-in ffn 80→97", tmp_path)
    moved = rules.tensors["transformer.h.0.mlp.c_fc.weight"]
    v = torch.rand(48, 80, generator=torch.Generator().manual_seed(0))
    old = Moments(torch.tensor(7.0), torch.randn(48, 80), v)
    (_, new) = next(iter(grow_moments({"x": moved}, lambda name: old)))
    assert new is not None and float(new.step) == 7
    assert torch.equal(new.first[:, :80], old.first) and torch.equal(new.second[:, :80], v)
    assert not new.first[:, 80:].any()
    assert torch.allclose(new.second[:, 80:], v.double().mean().float().expand(48, 17), rtol=1e-6)


def test_first_steps_of_new_slices_are_no_longer_than_the_rate() -> None:
    """With v = 0 and the step inherited, AdamW's first steps would be several times the rate."""
    gradient, rate = torch.ones(1), 1e-3

    def first_steps(second: float) -> float:
        weight = torch.nn.Parameter(torch.zeros(1))
        optimizer = torch.optim.AdamW([weight], lr=rate, weight_decay=0.0)
        state = {
            "step": torch.tensor(1000.0),
            "exp_avg": torch.zeros(1),
            "exp_avg_sq": torch.full((1,), second),
        }
        optimizer.load_state_dict({**optimizer.state_dict(), "state": {0: state}})
        longest = 0.0
        for _ in range(100):
            before = weight.detach().clone()
            weight.grad = gradient.clone()
            optimizer.step()
            longest = max(longest, float((weight.detach() - before).abs()))
        return longest / rate

    assert first_steps(0.0) > 4 and first_steps(1.0) < 1.01


def rules_of(name: str, steps: str, folder: Path) -> Any:
    source = write_source(BY_NAME[name], folder / "source")
    return growplan.parse(steps, model=source).moments()


# optimizers in memory ------------------------------------------------------------------------------------


def test_any_groups_will_do_and_what_was_not_trained_is_reset(tmp_path: Path) -> None:
    case, old, _, new, _ = trained_and_grown("gpt2-tied", "widen ffn 80→160 via fpi, split even", tmp_path)
    norms = [p for n, p in old.named_parameters() if "ln_" in n]
    others = [p for n, p in old.named_parameters() if "ln_" not in n and "wpe" not in n]
    old_optimizer = torch.optim.AdamW([{"params": others}, {"params": norms, "weight_decay": 0.0}])
    train(old, old_optimizer, inputs_for(case.rules.source), 2)
    new_optimizer = torch.optim.AdamW(new.parameters(), lr=5e-4)
    grow_optimizer(case.rules, old, old_optimizer, new, new_optimizer)
    assert new_optimizer.param_groups[0]["lr"] == 5e-4
    assert new.transformer.wpe.weight not in new_optimizer.state
    assert len(new_optimizer.state) == len(list(new.parameters())) - 1
    theirs = {value.data_ptr() for state in old_optimizer.state.values() for value in state.values()}
    for parameter, state in new_optimizer.state.items():
        assert state["exp_avg"].shape == parameter.shape and float(state["step"]) == 2
        assert not theirs & {value.data_ptr() for value in state.values()}  # the old one may train on
    train(new, new_optimizer, inputs_for(case.rules.target), 1)


def test_an_optimizer_of_another_model_is_refused(tmp_path: Path) -> None:
    case, old, _, new, new_optimizer = trained_and_grown("gpt2-tied", "widen ffn 80→96", tmp_path)
    with pytest.raises(DiagnosticError, match="GP575"):
        grow_optimizer(case.rules, old, new_optimizer, new, new_optimizer)


def test_another_kind_of_optimizer_is_refused_by_name(tmp_path: Path) -> None:
    case, old, _, new, new_optimizer = trained_and_grown("gpt2-tied", "widen ffn 80→96", tmp_path)
    momentum = torch.optim.SGD(old.parameters(), lr=1e-3, momentum=0.9)
    train(old, momentum, inputs_for(case.rules.source), 1)
    with pytest.raises(DiagnosticError, match=r"GP572.*SGD"):
        grow_optimizer(case.rules, old, momentum, new, new_optimizer)
    assert not new_optimizer.state
