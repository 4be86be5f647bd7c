"""transformers' Trainer as a stage uses it: whole batches by number, growplan's loss, the plan's rates.

A sample of its data is a batch of the corpus, number `first + s` in step s, so that a resumed training reads
what an uninterrupted one would have read. Dropout draws by the number of the step too: no state of a random
generator matters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.utils.data import Dataset, SequentialSampler
from transformers import Trainer, TrainerCallback, TrainingArguments

from growplan.checkpoint.files import guard
from growplan.diagnostics import fail
from growplan.learn.corpus import Batch, Corpus
from growplan.learn.fit import rate
from growplan.methods.operator import Recipe
from growplan.training.loaded import Asks
from growplan.training.moments import Entries, begin_with

Sample = dict[str, Tensor]


@dataclass(frozen=True)
class Batches(Dataset[Sample]):
    """The batches of a stage: sample s is batch `first + s` of the corpus."""

    corpus: Corpus
    first: int
    steps: int

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> Sample:
        batch = self.corpus.batch(self.first + step)
        word = "pixel_values" if batch.inputs.is_floating_point() else "input_ids"
        mask = {} if batch.mask is None else {"attention_mask": batch.mask}
        return {word: batch.inputs, "targets": batch.targets, **mask}


def batch_of(sample: Sample) -> Batch:
    """The batch that a sample is."""
    inputs = sample["pixel_values"] if "pixel_values" in sample else sample["input_ids"]
    return Batch(inputs, sample["targets"], sample.get("attention_mask"))


class StageTrainer(Trainer):  # type: ignore[misc]
    """Trains one stage. The model must hold the weights of the checkpoint that a training resumes from.

    `moments`: AdamW's at the beginning; `loss`: that of the last step. Raises GP614 where it is not finite.
    """

    def __init__(
        self,
        asks: Asks,
        batches: Batches,
        folder: Path,
        moments: Entries,
        callbacks: Sequence[TrainerCallback],
    ) -> None:
        self.asks, self.moments, self.loss = asks, moments, float("nan")
        module = asks.of.module
        super().__init__(
            model=module,
            args=_arguments(asks.recipe, folder, module.device),
            train_dataset=batches,
            data_collator=_only,
            callbacks=list(callbacks),
        )
        for printing in ("PrinterCallback", "ProgressCallback"):
            for callback in list(self.callback_handler.callbacks):
                if type(callback).__name__ == printing:
                    self.remove_callback(callback)

    def training_step(self, model: Any, inputs: Sample, num_items_in_batch: Any = None) -> Tensor:
        """Forward and backward of one step; its loss."""
        step, batch = self.state.global_step, batch_of(inputs)
        total = self.asks.backward(batch, self.train_dataset.first + step, self.accelerator.backward)
        self.loss = float(total)
        if not torch.isfinite(total):
            _not_finite(step, self.asks.recipe, self.loss)
        return total

    def create_optimizer(self, model: Any = None) -> Any:
        """AdamW with the moments that the stage begins with; a resumed training loads its own over them."""
        if self.optimizer is None:
            super().create_optimizer()
            begin_with(self.optimizer, self.asks.of.module, self.moments)
            self.moments = {}
        return self.optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """The rates of the recipe."""
        relative = replace(self.asks.recipe, lr=1.0)
        own: Any = self.optimizer if optimizer is None else optimizer
        inner = getattr(own, "optimizer", own)  # accelerate wraps it
        self.lr_scheduler = torch.optim.lr_scheduler.LambdaLR(inner, lambda step: rate(relative, step))
        self._created_lr_scheduler = True
        return self.lr_scheduler

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Raises GP430 to GP432 and GP615 where it cannot be written."""
        with guard(self.args.output_dir, "write a checkpoint in"):
            try:
                super()._save_checkpoint(model, trial)
            except (RuntimeError, SafetensorError) as error:  # what torch and safetensors make of a full disk
                reason = str(error).strip().splitlines()[0]
                way = "free some space: the run goes on from the checkpoint before, with the same command"
                fail("GP615", f"a checkpoint cannot be written in {self.args.output_dir}: {reason}", help=way)

    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        return SequentialSampler(self.train_dataset)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        """The model holds the checkpoint's weights already, by `from_pretrained`, which knows their names."""


def _only(samples: Sequence[Sample]) -> Sample:
    (sample,) = samples
    return sample


def _arguments(recipe: Recipe, folder: Path, device: torch.device) -> TrainingArguments:
    args = TrainingArguments(
        output_dir=str(folder),
        max_steps=recipe.steps,
        per_device_train_batch_size=1,  # a sample is a whole batch
        learning_rate=recipe.lr,
        adam_beta1=recipe.betas[0],
        adam_beta2=recipe.betas[1],
        adam_epsilon=recipe.eps,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.clip,
        optim="adamw_torch",
        lr_scheduler_type="constant",
        logging_strategy="no",
        logging_nan_inf_filter=False,
        save_strategy="no",  # `Keeper` asks for checkpoints
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        use_cpu=device.type == "cpu",
    )
    args._n_gpu = min(1, args.n_gpu)  # one device, whatever else the machine has
    return args


def _not_finite(step: int, recipe: Recipe, loss: float) -> None:
    fail(
        "GP614",
        f"the loss is {loss} in step {step + 1} of {recipe.steps}",
        help=("lower `lr`, or lengthen `warmup`", "or clip gradients lower: `clip 0.5`"),
    )
