"""The callback in Lightning's own Trainer: resumed runs are the uninterrupted ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.runtime import LightningGrowth, Rewarm, SubModels, grow, selected
from tests.runtime.grown import Grown

STEPS = 6
pytestmark = pytest.mark.filterwarnings("ignore")


def module_of(model: Any, optimizer: Any = None) -> Any:
    """A LightningModule with `model`, which notes its losses."""
    from lightning.pytorch import LightningModule

    class Module(LightningModule):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.model = model
            self.losses: dict[int, float] = {}
            self.rows = torch.randint(2, 31, (32, 12), generator=torch.Generator().manual_seed(1))

        def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
            """A resumed run of Lightning's reads from the first batch again; this one counts on."""
            batch = self.rows[4 * self.global_step :][2 * (index % 2) :][:2]
            loss: torch.Tensor = self.model(batch, labels=batch).loss
            self.losses[self.global_step] = float(loss.detach())
            return loss

        def configure_optimizers(self) -> Any:
            return optimizer or torch.optim.AdamW(self.model.parameters(), lr=1e-3)

    return Module()


def trained(
    module: Any, folder: Path, growth: Any, resume: Path | None = None, steps: int = STEPS, look: Any = None
) -> Any:
    """Train for `steps` steps of two batches each, a checkpoint after every third; what `look` sees."""
    from lightning.pytorch import Callback, Trainer
    from lightning.pytorch.callbacks import ModelCheckpoint

    seen: dict[int, Any] = {}

    class Look(Callback):  # type: ignore[misc]
        def on_before_backward(self, trainer: Any, module: Any, loss: Any) -> None:
            seen[trainer.global_step] = look() if look else None

    keep = ModelCheckpoint(folder, "{step}", every_n_train_steps=3, save_top_k=-1)
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        accumulate_grad_batches=2 if module.automatic_optimization else 1,
        callbacks=[growth, Look(), keep],
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, torch.utils.data.DataLoader(range(100), batch_size=2), ckpt_path=resume)
    return trainer, seen


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> Grown:
    line = "mask-in ffn x2 over 4 steps; mask-in hidden 48→72 over 5 steps, ramp cosine"
    return Grown.by(line, "gpt2", tmp_path_factory.mktemp("masked"))


def test_masks_move_and_come_back(masked: Grown, tmp_path: Path) -> None:
    model, attached = masked.attached()
    whole = module_of(model.eval())
    _, seen = trained(whole, tmp_path, LightningGrowth(model, masks=attached), look=lambda: attached.done)
    assert seen == {step: min(step, 5) for step in range(6)} and not attached.active
    assert list(whole.losses) == list(range(6))

    model, attached = masked.attached()
    again = module_of(model.eval())
    growth = LightningGrowth(model, masks=attached)
    trained(again, tmp_path / "b", growth, tmp_path / "step=3.ckpt", look=lambda: attached.done)
    assert again.losses == {step: whole.losses[step] for step in (3, 4, 5)}
    plain = LightningGrowth(model)
    with pytest.raises(DiagnosticError, match="trained behind other masks") as error:
        trained(module_of(masked.load("g")), tmp_path / "c", plain, tmp_path / "step=3.ckpt")
    assert error.value.diagnostics[0].code == "GP582" and error.value.diagnostics[0].help


@pytest.mark.parametrize("what", ["new layers", "sub-models"])
def test_a_part_of_the_model_and_its_rates(what: str, tmp_path: Path) -> None:
    """The same after a resumption, and the whole model behind them."""
    grown = Grown.by("stack depth 2→4 via mslt", "gpt2", tmp_path)
    losses = []
    for run, resume in (("a", None), ("b", tmp_path / "a" / "step=3.ckpt")):
        model = grown.load("g").eval()
        train = selected(model, tmp_path / "g", "new-layers")
        models = SubModels.of(model, tmp_path / "g", 1, seed=2)
        part = {"sub_models": models, "sub_model_steps": 5}
        if what == "new layers":
            part = {"train": train, "train_steps": 4}
        module, every = module_of(model), len(list(model.parameters()))

        def look(model: Any = model) -> Any:
            return len(model.transformer.h), sum(p.requires_grad for p in model.parameters())

        growth = LightningGrowth(model, rewarm=Rewarm(0, 4), **part)
        trainer, seen = trained(module, tmp_path / run, growth, resume, look=look)
        for step, (depth, count) in seen.items():
            if what == "new layers":
                assert (depth, count) == (4, len(train) if step < 4 else every)
            else:
                wanted = (models.depth(step), len(models.trained(step)))
                assert (depth, count) == (wanted if step < 5 else (4, every))
        assert look() == (4, every) and trainer.optimizers[0].param_groups[0]["lr"] == 1e-3
        losses.append(module.losses)
    assert losses[1] == {step: losses[0][step] for step in (3, 4, 5)}


def test_growth_between_two_trainings(tmp_path: Path) -> None:
    model = Grown.by("widen ffn x2 via fpi", "gpt2", tmp_path).load("m").eval()
    trainer, _ = trained(module_of(model), tmp_path / "a", LightningGrowth(model), steps=3)
    plan = parse_text("mask-in ffn x2 over 2 steps; deepen depth x2 via identity", "p.grow", "dsl")
    grown = grow(plan, model, trainer.optimizers[0], stock=False)
    assert grown.masks is not None
    module = module_of(grown.model, grown.optimizer)
    trained(module, tmp_path / "b", LightningGrowth(grown.model, masks=grown.masks), steps=3)
    assert not grown.masks.active and list(module.losses) == [0, 1, 2]
    steps = {float(state["step"]) for state in grown.optimizer.state.values()}
    assert steps == {3, 6}  # new layers, and what was trained before


def test_what_it_cannot_follow(masked: Grown, tmp_path: Path) -> None:
    model, attached = masked.attached()
    models = SubModels.of(model, masked.folder / "g", 1)
    with pytest.raises(DiagnosticError, match="both say what the first steps train") as error:
        LightningGrowth(model, train=frozenset(), sub_models=models)
    found = list(error.value.diagnostics)
    module = module_of(model)
    module.automatic_optimization = False
    with pytest.raises(DiagnosticError, match="optimizes by hand") as error:
        trained(module, tmp_path, LightningGrowth(model, masks=attached))
    found += error.value.diagnostics
    assert [each.code for each in found] == ["GP626"] * 2 and all(each.help for each in found)
