"""The Trainer itself: a checkpoint that it wrote, grown, and training that it takes up again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import apply
from growplan.language import parse_text
from growplan.runtime import Rewarm, RewarmCallback
from tests.matrix.run import write_source
from tests.runtime.gradients import BY_NAME
from tests.runtime.trained import named_state


def trainer(model: Any, folder: Path, steps: int) -> Any:
    import transformers

    ids = torch.randint(0, 31, (64, 20), generator=torch.Generator().manual_seed(0))
    rows = [{"input_ids": row, "labels": row} for row in ids]
    asks = transformers.TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        save_steps=4,
        per_device_train_batch_size=8,
        learning_rate=1e-3,
        lr_scheduler_type="constant",
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        seed=0,
    )
    return transformers.Trainer(model=model, args=asks, train_dataset=rows)


@pytest.mark.filterwarnings("ignore")
def test_the_trainer_resumes_from_a_grown_checkpoint(tmp_path: Path) -> None:
    import transformers

    source = write_source(BY_NAME["gpt2-tied"], tmp_path / "start", dtype="float32")
    first = trainer(transformers.GPT2LMHeadModel.from_pretrained(source), tmp_path / "run", 8)
    first.train()
    before = named_state(first.model, first.optimizer.optimizer)
    plan = parse_text("widen ffn 80→160 via fpi, split even; deepen depth x2 via identity", "<test>", "dsl")
    target = tmp_path / "run" / "checkpoint-grown-8"
    result = apply(plan, target, model_dir=tmp_path / "run" / "checkpoint-8", optimizer="grow", stock=False)
    assert result.optimizer is not None and result.optimizer.from_step == 8
    assert Rewarm.of(target) == Rewarm(8, 200)  # at the step where the source stood
    second = trainer(transformers.GPT2LMHeadModel.from_pretrained(target), tmp_path / "more", 12)
    seen: list[dict[str, Any]] = []

    class Look(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            if not seen:
                now = named_state(second.model, second.optimizer.optimizer)
                seen.append({n: {k: v.clone() for k, v in s.items()} for n, s in now.items()})

    longest: list[float] = []

    class Moves(transformers.TrainerCallback):  # type: ignore[misc]
        """How far a bias whose gradient keeps its sign goes in a step, over the rate of the schedule."""

        def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            self.before = second.model.transformer.ln_f.bias.detach().clone()
            self.rate = second.optimizer.param_groups[1]["lr"]

        def on_optimizer_step(self, args: Any, state: Any, control: Any, **others: Any) -> None:
            moved = second.model.transformer.ln_f.bias.detach() - self.before
            longest.append(float(moved.abs().max()) / self.rate)

    second.add_callback(Look())
    second.add_callback(Moves())
    second.add_callback(RewarmCallback(Rewarm(8, 200)))
    second.train(resume_from_checkpoint=str(target))
    assert second.state.global_step == 12
    assert len(longest) == 4 and all(move < 2 * (i + 1) / 200 for i, move in enumerate(longest))
    name = "transformer.h.{}.mlp.c_proj.weight"
    m = before[name.format(1)]["exp_avg"]
    assert torch.equal(seen[0][name.format(2)]["exp_avg"], torch.cat([m, m]))
    assert float(seen[0][name.format(2)]["step"]) == 8
    assert name.format(1) not in seen[0]
    after = named_state(second.model, second.optimizer.optimizer)
    assert float(after[name.format(2)]["step"]) == 12 and float(after[name.format(1)]["step"]) == 4
