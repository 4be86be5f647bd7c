"""`growplan.runtime.grow`: the model of a plain loop, its optimizer, scheduler and running average."""

from __future__ import annotations

import runpy
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import CosineAnnealingLR, LambdaLR, LinearLR, LRScheduler, SequentialLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from growplan.checkpoint.growth_reader import read_growth
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.language.plan import Plan
from growplan.pipeline import rules_of_moments
from growplan.runtime import freeze, grow, grow_optimizer, selected
from growplan.runtime.hooks import attached_to
from tests.float64 import load_float64, no_float32_islands
from tests.matrix.run import write_source
from tests.real.assets import EXAMPLES
from tests.runtime.gradients import BY_NAME
from tests.runtime.trained import named_state, train
from tests.tiny import tiny_checkpoint

STEPS = "widen ffn 80→160 via fpi, split even; deepen depth x2 via identity"
INPUTS = torch.arange(40).view(2, 20) % 31


def plan(text: str) -> Plan:
    return parse_text(text, "p.grow", "dsl")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_source(BY_NAME["gpt2-tied"], tmp_path / "start")


@pytest.fixture
def model(source: Path) -> Any:
    return load_float64(source, "GPT2LMHeadModel")


def two_groups(model: Any) -> torch.optim.AdamW:
    wide = [p for p in model.parameters() if p.ndim > 1 and p.requires_grad]
    flat = [p for p in model.parameters() if p.ndim == 1 and p.requires_grad]
    return torch.optim.AdamW(
        [{"params": wide, "weight_decay": 0.1}, {"params": flat, "weight_decay": 0.0, "lr": 3e-3}],
        lr=2e-3,
        betas=(0.9, 0.98),
    )


def schedule(optimizer: torch.optim.AdamW) -> LRScheduler:
    warm, cool = LinearLR(optimizer, 0.1, total_iters=3), CosineAnnealingLR(optimizer, 20)
    return SequentialLR(optimizer, [warm, cool], [3])


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad(), no_float32_islands():
        found: torch.Tensor = model.eval()(INPUTS).logits
    return found


def test_the_loop_goes_on_where_it_was(model: Any, tmp_path: Path) -> None:
    optimizer = two_groups(model)
    scheduler = schedule(optimizer)
    for _ in range(5):
        train(model, optimizer, INPUTS, 1)
        scheduler.step()
    model.train()
    model.config.use_cache = False
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    state = torch.get_rng_state()
    grown = grow(plan(STEPS), model, optimizer, scheduler)
    assert torch.equal(torch.get_rng_state(), state) and grown.model.training
    assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
    assert float((logits(grown.model) - logits(model)).abs().max()) < 1e-12
    assert grown.masks is None and grown.averaged is None
    assert grown.rewarm is not None and grown.rewarm.begin == 0

    made = grown.optimizer
    assert made is not None
    held = [id(p) for group in made.param_groups for p in group["params"]]
    assert sorted(held) == sorted(id(p) for p in grown.model.parameters())
    for old, new in zip(optimizer.param_groups, made.param_groups, strict=True):
        assert {k: v for k, v in old.items() if k != "params"} == {
            k: v for k, v in new.items() if k != "params"
        }
        assert {p.ndim == 1 for p in new["params"]} == {old["weight_decay"] == 0.0}
    wanted = two_groups(grown.model)
    model.save_pretrained(tmp_path / "now")
    rules = rules_of_moments(plan(STEPS), model_dir=tmp_path / "now")
    grow_optimizer(rules, model, optimizer, grown.model, wanted)
    found, other = named_state(grown.model, made), named_state(grown.model, wanted)
    assert found.keys() == other.keys() and found
    assert all(torch.equal(found[n][k], other[n][k]) for n in found for k in found[n])

    assert grown.scheduler is not None and grown.scheduler is not scheduler
    for _ in range(4):
        for each in (optimizer, made):
            each.step()
        scheduler.step()
        grown.scheduler.step()
        assert [g["lr"] for g in made.param_groups] == [g["lr"] for g in optimizer.param_groups]


def test_masks_are_attached_and_must_be_gone_before_the_next_growth(model: Any, tmp_path: Path) -> None:
    optimizer = two_groups(model)
    train(model, optimizer, INPUTS, 2)
    steps = plan("mask-in ffn 80→160 over 3 steps; mask-in depth x2 over 2 steps")
    grown = grow(steps, model, optimizer, out=tmp_path / "grown")
    assert grown.masks is not None and grown.scheduler is None and grown.optimizer is not None
    assert float((logits(grown.model) - logits(model)).abs().max()) < 1e-12
    assert (tmp_path / "grown" / "growth.json").exists()
    for _ in range(3):
        with pytest.raises(DiagnosticError, match="in the middle of a ramp"):
            grow(plan("stack depth x2"), grown.model)
        train(grown.model, grown.optimizer, INPUTS, 1)
        grown.masks.step()
    again = grow(plan("widen ffn x2 via fpi, split even"), grown.model, grown.optimizer)
    assert again.masks is None
    assert float((logits(again.model) - logits(grown.masks.finish())).abs().max()) < 1e-12


def test_what_was_frozen_stays_frozen(model: Any, source: Path) -> None:
    freeze(model, selected(model, source, "top 1, head", tied="freeze"))
    optimizer = two_groups(model)
    train(model, optimizer, INPUTS, 1)
    grown = grow(plan("deepen depth x2 via identity"), model, optimizer)
    assert grown.optimizer is not None
    trained = {name for name, p in grown.model.named_parameters() if p.requires_grad}
    layers = {name.split(".")[2] for name in trained if ".h." in name}
    depth = grown.model.config.n_layer
    old = [str(layer) for layer in range(depth) if layer % 2 == 0]  # each followed by a new one
    assert layers == {str(layer) for layer in range(depth)} - set(old[:-1])
    held = {id(p) for p in chain.from_iterable(g["params"] for g in grown.optimizer.param_groups)}
    assert held == {id(p) for name, p in grown.model.named_parameters() if name in trained}
    assert "transformer.wte.weight" not in trained and "transformer.ln_f.weight" in trained


def test_the_lineage_and_the_tokenizer_of_the_origin(model: Any, source: Path, tmp_path: Path) -> None:
    (source / "tokenizer.json").write_text("{}")
    first = grow(plan("widen ffn 80→160 via fpi, split even"), model, out=tmp_path / "a", origin=source)
    staged = parse_text("stage wide; widen ffn x2 via fpi; train for 3 steps on text.txt", "p.grow", "dsl")
    grow(staged, first.model, stage="wide", out=tmp_path / "b", origin=tmp_path / "a")
    growth = read_growth(tmp_path / "b")
    assert growth is not None and growth.parent is not None
    assert growth.parent.steps == ("widen ffn 80→160 via fpi, split even",)
    assert (tmp_path / "b" / "tokenizer.json").read_text() == "{}" and verify(tmp_path / "b") == []


@pytest.mark.parametrize("steps", [STEPS, "mask-in ffn x2 over 4 steps"])
def test_a_running_average_is_grown_by_the_same_maps(steps: str, model: Any) -> None:
    optimizer = two_groups(model)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5))
    for _ in range(3):
        train(model, optimizer, INPUTS, 1)
        averaged.update_parameters(model)
    grown = grow(plan(steps), model, averaged=averaged)
    made = grown.averaged
    assert made is not None and float((logits(model) - logits(averaged.module)).abs().max()) > 1e-4
    assert float((logits(made.module) - logits(averaged.module)).abs().max()) < 1e-12
    assert int(made.n_averaged) == 3
    pairs = zip(made.module.named_parameters(), grown.model.parameters(), strict=True)
    mean = {name: (0.5 * p + 0.5 * q).detach() for (name, p), q in pairs}
    made.update_parameters(grown.model)
    assert all(torch.allclose(p, mean[name], atol=1e-15) for name, p in made.module.named_parameters())
    if grown.masks is not None:  # one set of masks for both
        before = logits(made.module)
        grown.masks.at(2)
        assert not torch.allclose(logits(made.module), before)


def test_a_compiled_model_and_one_in_half_precision(model: Any) -> None:
    half = model.bfloat16()
    optimizer = torch.optim.AdamW(half.named_parameters(), lr=1e-3)
    grown = grow(plan(STEPS), torch.compile(half, backend="eager"), optimizer, moments="reset")
    assert grown.model.dtype == torch.bfloat16 and grown.model.config.n_inner == 160
    assert grown.optimizer is not None and not grown.optimizer.state
    assert grown.optimizer.param_groups[0]["param_names"] == [n for n, _ in grown.model.named_parameters()]


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises(DiagnosticError) as error:
        grow(*args, **options)
    (found,) = error.value.diagnostics
    assert found.help
    return found.code


def test_mistakes_leave_nothing_behind(model: Any, source: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown"
    steps = plan(STEPS)
    other = load_float64(source, "GPT2LMHeadModel")
    flat = torch.optim.AdamW(model.parameters())
    amsgrad = torch.optim.AdamW(model.parameters(), amsgrad=True)
    train(model, amsgrad, INPUTS, 1)
    assert refusal(steps, torch.nn.Linear(2, 2), out=out) == "GP623"
    assert refusal(steps, model, torch.optim.SGD(model.parameters()), out=out) == "GP572"
    assert refusal(steps, model, amsgrad, out=out) == "GP572"
    assert refusal(steps, model, torch.optim.AdamW(other.parameters()), out=out) == "GP575"
    assert refusal(steps, model, scheduler=LambdaLR(flat, lambda step: 1.0), out=out) == "GP624"
    assert refusal(steps, model, amsgrad, LambdaLR(flat, lambda step: 1.0), out=out) == "GP572"
    (tmp_path / "ids.json").write_text("[[1, 2, 3, 4], [4, 3, 2, 1]]")
    learned = plan(f"widen ffn 80→96 via gradmax, data {tmp_path / 'ids.json'}")
    assert refusal(learned, model, averaged=AveragedModel(model), out=out) == "GP622"
    assert refusal(steps, model, stage="wide", out=out) == "GP597"
    assert not out.exists()


def test_the_loop_of_the_examples(tmp_path: Path) -> None:
    """The loss goes on where it was, and at the end the model is plain and larger."""
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(vocab_size=256, n_embd=48, n_head=6, n_layer=2, n_positions=64, bos_token_id=None)
    config.eos_token_id, config.resid_pdrop, config.embd_pdrop, config.attn_pdrop = None, 0.0, 0.0, 0.0
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "small")
    steps = "mask-in ffn x2 over 4 steps; mask-in hidden 48→72 over 6 steps; mask-in depth x2 over 5 steps"
    (tmp_path / "plan.grow").write_text(steps.replace("; ", "\n"))
    data = torch.tensor(list((EXAMPLES / "gpt2" / "loop.py").read_bytes()))
    loop = runpy.run_path(str(EXAMPLES / "gpt2" / "loop.py"))["train"]

    def run(at: int) -> list[tuple[Any, float]]:
        done = loop(tmp_path / "small", data, tmp_path / "plan.grow", 20, at)
        return [(model, loss) for _, model, loss in done]

    grown, never = run(8), run(99)
    losses, others = [loss for _, loss in grown], [loss for _, loss in never]
    assert losses[:8] == others[:8] and losses[9:] != others[9:]
    assert losses[8] == pytest.approx(others[8], abs=1e-4)  # the step of the growth
    last = grown[-1][0]
    assert (last.config.n_embd, last.config.n_layer, last.config.n_inner) == (72, 4, 384)
    assert not attached_to(last) and losses[-1] < losses[0] - 0.5


def test_experts_are_computed_as_they_were(tmp_path: Path) -> None:
    """In float64 only the eager implementation of transformers computes them at all."""
    model = load_float64(tiny_checkpoint("mixtral", tmp_path / "start"), "MixtralForCausalLM")
    made = grow(plan("mask-in hidden 48→72 over 10 steps"), model, stock=False)
    assert made.masks is not None and made.masks.masks["mask-in-hidden"] == 0
    assert torch.allclose(logits(made.model), logits(model), atol=1e-12)
