"""`growplan train` against a loop of plain PyTorch in float64, with an AdamW of its own."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from growplan.learn.corpus import Batch, Tokens
from growplan.training.run import TrainResult
from tests.training.runs import losses, run, write_plan, write_source

STAGES = """
{name: parts, train: {for: 3 steps, accumulate: 3}}
{name: mslt, steps: ["stack depth 4→6 via mslt"], train-only: new-layers, train: {for: 4 steps, warmup: 2, schedule: cosine, clip: 0.5}}
{name: subs, train: {for: 6 steps, sub-models: 2, optimizer: reset}}
{name: rest, freeze: ["*.ln_1.*", embeddings], train: {for: 3 steps, tied: train, weight-decay: 0.3, beta2: 0.9}}
"""  # noqa: E501
BETA1, EPS = 0.9, 1e-8


class Loop:
    """GPT-2 in float64 and AdamW's moments, each by its parameter's name."""

    def __init__(self, source: Path, batches: dict[int, Batch]) -> None:
        import transformers

        self.made = transformers.GPT2LMHeadModel
        model = self.made.from_pretrained(source)
        self.config, self.batches = model.config, batches
        self.values = {name: p.detach().double() for name, p in model.named_parameters()}
        self.state: dict[str, tuple[Any, Any, int]] = {}
        self.losses: list[float] = []

    def grow(self, layers: dict[int, int]) -> None:
        """New layer -> the old one that it is a copy of; its moments begin anew."""
        for new, old in layers.items():
            self.values |= {
                name.replace(f".h.{old}.", f".h.{new}."): value.clone()
                for name, value in self.values.items()
                if f".h.{old}." in name
            }

    def train(
        self,
        depths: list[int],
        trains: Callable[[str, int], bool],
        rates: list[float],
        *,
        clip: float = 1.0,
        decay: float = 0.01,
        beta2: float = 0.999,
    ) -> None:
        """A step for each entry: of the model's first `depths[s]` layers, at `rates[s]`."""
        for depth, rate in zip(depths, rates, strict=True):
            batch = self.batches[len(self.losses)]
            config = copy.deepcopy(self.config)
            config.n_layer = depth
            model = self.made(config).double().eval()
            model.load_state_dict(self.values, strict=False)
            logits = model(batch.inputs).logits[:, :-1]
            loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch.inputs[:, 1:].flatten())
            self.losses.append(float(loss.detach()))
            part = {name: p for name, p in model.named_parameters() if trains(name, depth)}
            grads = torch.autograd.grad(loss, list(part.values()))
            norm = math.sqrt(sum(float(g.square().sum()) for g in grads))
            for name, grad in zip(part, grads, strict=True):
                self._step(name, grad * min(1.0, clip / norm), rate, decay, beta2)

    def _step(self, name: str, grad: Tensor, rate: float, decay: float, beta2: float) -> None:
        first, second, count = self.state.get(name, (0.0, 0.0, 0))
        first, second = BETA1 * first + (1 - BETA1) * grad, beta2 * second + (1 - beta2) * grad.square()
        self.state[name] = first, second, count + 1
        value, biased = self.values[name], (second / (1 - beta2 ** (count + 1))).sqrt()
        if value.ndim > 1:
            value = value - rate * decay * value
        self.values[name] = value - rate * first / (1 - BETA1 ** (count + 1)) / (biased + EPS)


def layer(name: str) -> int:
    return int(name.split(".")[2]) if ".h." in name else -1


@pytest.fixture
def trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[TrainResult, dict[int, Batch]]:
    """A run, and the batches that it drew."""
    write_source(tmp_path, n_layer=4)
    drawn: dict[int, Batch] = {}
    batch = Tokens.batch
    monkeypatch.setattr(Tokens, "batch", lambda self, step: drawn.setdefault(step, batch(self, step)))
    return run(write_plan(tmp_path, STAGES, dropout="none"), tmp_path / "run"), drawn


def test_stages_are_what_a_plain_loop_does(trained: tuple[TrainResult, dict[int, Batch]]) -> None:
    from growplan.runtime import SubModels

    result, drawn = trained
    stages = {stage.name: result.out / stage.folder for stage in result.schedule.stages}
    loop = Loop(result.out.parent / "source", drawn)
    loop.train([4] * 3, lambda name, _: True, [1e-3] * 3)
    loop.grow({4: 2, 5: 3})
    loop.config.n_layer = 6
    loop.train([6] * 4, lambda name, _: layer(name) > 3, [5e-4, 1e-3, 1e-3, 5e-4], clip=0.5)
    loop.state.clear()
    model = loop.made.from_pretrained(stages["mslt"] / "trained")
    depths = [SubModels.of(model, stages["mslt"] / "trained", 2).depth(step) for step in range(6)]
    assert len(set(depths)) > 1
    loop.train(depths, lambda name, depth: depth - 2 <= layer(name) < depth, [1e-3] * 6)
    fixed = ("ln_1", "wpe")
    loop.train(
        [6] * 3,
        lambda name, _: all(f".{word}." not in name for word in fixed),
        [1e-3] * 3,
        decay=0.3,
        beta2=0.9,
    )
    assert losses(result) == pytest.approx(loop.losses, abs=1e-4)
    left = loop.made.from_pretrained(result.model)
    for name, parameter in left.named_parameters():
        found, wanted = parameter.detach().double(), loop.values[name]
        if name.endswith("c_attn.bias"):  # a key's bias has no gradient but what rounds
            found, wanted = (torch.cat([x[:48], x[96:]]) for x in (found, wanted))
        assert torch.allclose(found, wanted, rtol=0, atol=1e-4), name
