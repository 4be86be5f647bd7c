"""The callbacks in transformers' own Trainer: resumed runs are the uninterrupted ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import apply
from growplan.language import parse_text
from growplan.runtime import (
    FreezeCallback,
    MaskCallback,
    SubModelCallback,
    SubModels,
    attach,
    freeze,
    selected,
)
from growplan.runtime.state import STATE, read_state
from tests.runtime.grown import Grown

STEPS = 6


def watcher(look: Callable[[], Any]) -> Any:
    """A callback with the losses by step, and what `look` sees as each step begins."""
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.losses: dict[int, float] = {}
            self.seen: dict[int, Any] = {}

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                self.losses[state.global_step] = logs["loss"]

        def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.seen[state.global_step] = look()

    return Watcher()


def trained(model: Any, folder: Path, callbacks: list[Any], resume: str | None = None, **options: Any) -> Any:
    os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
    from transformers import Trainer, TrainingArguments

    random = torch.Generator().manual_seed(1)
    rows = [torch.randint(2, 31, (12,), generator=random) for _ in range(32)]
    options.setdefault("save_steps", 3)
    args = TrainingArguments(
        str(folder),
        max_steps=STEPS,
        per_device_train_batch_size=4,
        learning_rate=1e-3,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        use_cpu=True,
        seed=3,
        logging_nan_inf_filter=False,
        **options,
    )
    data = [{"input_ids": row, "labels": row} for row in rows]
    trainer = Trainer(model=model, args=args, train_dataset=data, eval_dataset=data, callbacks=callbacks)
    trainer.train(resume_from_checkpoint=resume)
    return trainer


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    line = "mask-in ffn x2 over 4 steps; mask-in hidden 48→72 over 5 steps, ramp cosine"
    return Grown.by(line, "gpt2", tmp_path_factory.mktemp("masked"))


def test_masks_move_and_come_back(masked: Grown, tmp_path: Path) -> None:
    model, attached = masked.attached()
    whole = watcher(lambda: dict(attached.masks))
    trained(model, tmp_path / "a", [MaskCallback(attached), whole])
    assert [round(m["mask-in-ffn"], 3) for m in whole.seen.values()] == [0, 0.25, 0.5, 0.75, 1, 1]
    assert not attached.active and all("forward" not in vars(part) for part in model.modules())
    state = read_state(tmp_path / "a" / "checkpoint-3")
    assert (state.step, state.held, state.begun) == (3, "raw", 0)
    assert not (tmp_path / "a" / "checkpoint-6" / STATE).exists()  # plain again

    model, attached = masked.attached()
    again = watcher(lambda: dict(attached.masks))
    callbacks = [MaskCallback(attached), again]
    trained(model, tmp_path / "b", callbacks, resume=str(tmp_path / "a" / "checkpoint-3"))
    assert list(again.losses) == [4, 5, 6]
    for step, loss in again.losses.items():
        assert loss == whole.losses[step] and again.seen[step - 1] == whole.seen[step - 1]


@pytest.mark.parametrize("resumed", [True, False])
def test_masks_attached_from_a_checkpoint_of_the_trainer(
    resumed: bool, masked: Grown, tmp_path: Path
) -> None:
    """A resumed training counts on from where it began, a new one from the checkpoint."""
    model, attached = masked.attached()
    trained(model, tmp_path / "a", [MaskCallback(attached)])
    folder = tmp_path / "a" / "checkpoint-3"
    model = type(model).from_pretrained(folder).double()
    attached = attach(model, folder)
    seen = watcher(lambda: attached.done)
    trained(model, tmp_path / "b", [MaskCallback(attached), seen], str(folder) if resumed else None)
    assert (seen.seen[3], seen.seen[4]) == ((3, 4) if resumed else (5, 5))
    assert seen.seen.get(0) == (None if resumed else 3)


@pytest.mark.parametrize("best", [2, 6])
def test_the_best_model_is_behind_its_own_masks(best: int, masked: Grown, tmp_path: Path) -> None:
    """After `load_best_model_at_end`; also where the masks had gone by the end of the training."""
    from transformers import TrainerCallback

    model, attached = masked.attached()
    losses: dict[int, float] = {}

    class Score(TrainerCallback):  # type: ignore[misc]
        def on_evaluate(self, args: Any, state: Any, control: Any, metrics: Any, **kwargs: Any) -> None:
            losses[state.global_step] = metrics["eval_loss"]
            metrics["eval_away"] = abs(state.global_step - best)

    options = {"eval_strategy": "steps", "eval_steps": 2, "save_steps": 2, "load_best_model_at_end": True}
    options |= {"metric_for_best_model": "away", "greater_is_better": False}
    trainer = trained(model, tmp_path / "a", [MaskCallback(attached), Score()], **options)
    assert attached.active == (best == 2)
    assert attached.done == min(best, attached.end) and attached.masks["mask-in-ffn"] == (
        0.5 if best == 2 else 1
    )
    assert trainer.evaluate()["eval_loss"] == losses[best] != losses[4]


def test_what_the_optimizer_does_not_hold_is_recorded(tmp_path: Path) -> None:
    """Frozen before the Trainer is made: without its record the state beside it could not be grown."""
    grown = Grown.by("stack depth 2→4 via mslt", "gpt2", tmp_path)
    model = grown.load("g")
    train = selected(model, tmp_path / "g", "new-layers")
    freeze(model, train)
    trained(model, tmp_path / "a", [FreezeCallback(train, 6)])
    checkpoint = tmp_path / "a" / "checkpoint-6"
    names = json.loads((checkpoint / "growth-frozen.json").read_text())["frozen"]
    assert set(names) == {name for name, _ in model.named_parameters()} - train
    plan = parse_text("widen ffn x2 via fpi, split even", "p.grow", "dsl")
    result = apply(plan, tmp_path / "b", model_dir=checkpoint, stock=False, optimizer="grow")
    assert result.optimizer is not None and set(result.optimizer.frozen) == set(names)


def test_new_layers_first_then_all(tmp_path: Path) -> None:
    grown = Grown.by("stack depth 2→4 via mslt", "gpt2", tmp_path)
    model = grown.load("g")
    train = selected(model, tmp_path / "g", "new-layers")
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    free = watcher(lambda: sum(p.requires_grad for p in model.parameters()))
    trained(model, tmp_path / "a", [FreezeCallback(train, 3), free])
    everything = len(start)
    assert list(free.seen.values()) == [len(train)] * 3 + [everything] * 3
    assert not (tmp_path / "a" / "checkpoint-3" / "growth-frozen.json").exists()  # its optimizer has them all
    from transformers import GPT2LMHeadModel

    half = GPT2LMHeadModel.from_pretrained(tmp_path / "a" / "checkpoint-3").double()
    moved = {name for name, p in half.named_parameters() if not torch.allclose(p, start[name], atol=1e-6)}
    assert moved and moved <= train
    assert any(not torch.equal(p, start[name]) for name, p in model.named_parameters() if name not in train)


def test_sub_models_are_the_same_after_a_resumption(tmp_path: Path) -> None:
    grown = Grown.by("stack depth 2→4 via mslt", "gpt2", tmp_path)
    losses = []
    for run, resume in (("a", None), ("b", str(tmp_path / "a" / "checkpoint-3"))):
        model = grown.load("g")
        models = SubModels.of(model, tmp_path / "g", 1, seed=2)
        kept = watcher(lambda model=model: len(model.transformer.h))
        trained(model, tmp_path / run, [SubModelCallback(models, 5), kept], resume)
        assert len(model.transformer.h) == 4 and all(p.requires_grad for p in model.parameters())
        assert kept.seen == {s: models.depth(s) if s < 5 else 4 for s in kept.seen}
        losses.append(kept.losses)
    assert {s: losses[0][s] for s in (4, 5, 6)} == losses[1]
