"""`GrowthCallback`: one Trainer's training ends at a step, and the next goes on with what it grew to."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import apply
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language import parse_text
from growplan.language.plan import Plan
from growplan.runtime import GrowthCallback, MaskCallback, attach
from growplan.runtime.state import read_state
from tests.runtime.grown import CLASSES
from tests.runtime.test_trainer import trained, watcher
from tests.tiny import tiny_checkpoint

AT = 3  # of the six steps of `trained`
EXACT = "widen ffn 192→384 via fpi, split even; deepen depth x2 via identity"
DEEPER = "deepen depth x2 via identity"
MASKED = "mask-in ffn x2 over 2 steps; mask-in depth x2 over 8 steps"


def plan(text: str) -> Plan:
    return parse_text(text, "p.grow", "dsl")


def load(folder: Path | str) -> Any:
    from transformers import GPT2LMHeadModel

    return GPT2LMHeadModel.from_pretrained(folder, attn_pdrop=0.0, embd_pdrop=0.0, resid_pdrop=0.0)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return tiny_checkpoint("gpt2", tmp_path / "m", architecture="GPT2LMHeadModel", dtype="float32")


def losses(source: Path | str, folder: Path, callbacks: list[Any], resume: str | None = None) -> Any:
    seen = watcher(lambda: None)
    trainer = trained(load(source), folder, [*callbacks, seen], resume)
    return trainer, seen.losses


def test_two_trainings_are_one(source: Path, tmp_path: Path) -> None:
    _, whole = losses(source, tmp_path / "whole", [])
    growth = GrowthCallback(plan(EXACT), AT, tmp_path / "grown")
    assert not growth.done
    first, before = losses(source, tmp_path / "a", [growth])
    assert growth.done and list(before) == [1, 2, 3] and first.state.global_step == AT
    assert refusal(source, growth, tmp_path) == "GP625"  # it is done
    second, after = losses(growth.grown, tmp_path / "b", [], resume=growth.grown)
    assert list(after) == [4, 5, 6]
    assert after[4] == pytest.approx(whole[4], abs=1e-4)  # no step was taken since, the growth is exact
    assert {s: before[s] for s in (1, 2, 3)} == {s: whole[s] for s in (1, 2, 3)}
    assert second.model.config.n_layer == 4 and second.optimizer.param_groups[0]["lr"] == 0
    state = second.optimizer.optimizer.state_dict()["state"]
    assert {int(entry["step"]) for entry in state.values()} == {3, 6}  # old layers have moments of before


def test_masks_begin_at_the_growth(source: Path, tmp_path: Path) -> None:
    """At 0, be the Trainer at its fourth step; also where that training is taken up again."""
    growth = GrowthCallback(plan(MASKED), AT, tmp_path / "grown")
    losses(source, tmp_path / "a", [growth])
    assert (read_state(growth.grown).step, read_state(growth.grown).begun) == (0, -AT)
    model = load(growth.grown)
    attached = attach(model, growth.grown)
    seen = watcher(lambda: attached.done)
    trained(model, tmp_path / "b", [MaskCallback(attached), seen], growth.grown)
    assert seen.seen == {3: 0, 4: 1, 5: 2}
    checkpoint = tmp_path / "b" / "checkpoint-6"
    assert (read_state(checkpoint).step, read_state(checkpoint).begun) == (3, -AT)
    shutil.copytree(checkpoint, tmp_path / "b" / "checkpoint-5")
    state = tmp_path / "b" / "checkpoint-5" / "trainer_state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "global_step": 5}))
    for folder in (growth.grown, checkpoint):  # attached from either
        model = load(folder)
        attached = attach(model, folder)
        seen = watcher(lambda attached=attached: attached.done)
        trained(model, tmp_path / "c", [MaskCallback(attached), seen], str(state.parent))
        assert seen.seen == {5: 2} and attached.done == 3


@pytest.mark.parametrize(
    ("family", "line"),
    [("gpt2", "mask-in ffn x2 over 3 steps"), ("llama", "mask-in hidden 48→72 over 3 steps; mask-in ffn x2")],
)
def test_resuming_from_the_growth_trains_raw_weights(family: str, line: str, tmp_path: Path) -> None:
    """Where a stock load is exact the checkpoint holds other tensors, which the Trainer loads anew."""
    import transformers

    cls = getattr(transformers, CLASSES[family])
    source = tiny_checkpoint(family, tmp_path / "m", architecture=CLASSES[family], dtype="float32")
    growth = GrowthCallback(plan(line), AT, tmp_path / "grown")
    before = watcher(lambda: None)
    trained(cls.from_pretrained(source), tmp_path / "a", [growth, before])
    assert read_state(growth.grown).held == "effective"
    model = cls.from_pretrained(growth.grown)
    masks = attach(model, growth.grown)
    raw = {name: value.clone() for name, value in model.state_dict().items()}
    same: list[bool] = []
    look = watcher(lambda: same.append(all(torch.equal(v, raw[n]) for n, v in model.state_dict().items())))
    trained(model, tmp_path / "b", [MaskCallback(masks), look], growth.grown)
    assert same == [True, False, False] and min(look.losses) == AT + 1
    checkpoint = tmp_path / "b" / "checkpoint-5"
    shutil.copytree(tmp_path / "b" / "checkpoint-6", checkpoint)
    state = checkpoint / "trainer_state.json"
    state.write_text(json.dumps({**json.loads(state.read_text()), "global_step": 5}))
    wanted = cls.from_pretrained(checkpoint).state_dict()
    again = cls.from_pretrained(growth.grown)
    seen: list[bool] = []
    look = watcher(lambda: seen.append(all(torch.equal(v, wanted[n]) for n, v in again.state_dict().items())))
    trained(again, tmp_path / "c", [MaskCallback(attach(again, growth.grown)), look], str(checkpoint))
    assert seen == [True]  # what was trained since is left as it is


def test_a_run_killed_in_the_growth_goes_on(source: Path, tmp_path: Path) -> None:
    growth = GrowthCallback(plan(EXACT), AT, tmp_path / "grown")
    losses(source, tmp_path / "a", [growth])
    wanted = (tmp_path / "grown" / "model.safetensors").read_bytes()
    moments = torch.load(tmp_path / "grown" / "optimizer.pt")["state"]
    shutil.rmtree(tmp_path / "grown")
    assert not growth.done
    losses(source, tmp_path / "a", [growth], resume=str(tmp_path / "a" / "checkpoint-3"))
    assert (tmp_path / "grown" / "model.safetensors").read_bytes() == wanted
    again = torch.load(tmp_path / "grown" / "optimizer.pt")["state"]
    assert all(torch.equal(again[n][key], moments[n][key]) for n in moments for key in moments[n])
    assert json.loads((tmp_path / "grown" / "trainer_state.json").read_text())["global_step"] == AT


def refused(model: Any, callbacks: list[Any], tmp_path: Path, **options: Any) -> Diagnostic:
    """What is said before a step is trained."""
    steps: list[int] = []
    look = watcher(lambda: steps.append(1))
    with pytest.raises(DiagnosticError) as error:
        trained(model, tmp_path / "r", [*callbacks, look], **options)
    (found,) = error.value.diagnostics
    assert found.help and not steps
    return found


def refusal(source: Path, growth: GrowthCallback, tmp_path: Path, **options: Any) -> str:
    return refused(load(source), [growth], tmp_path, **options).code


def test_what_could_not_be_grown_later_is_not_trained(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "grown"
    late, wrong = GrowthCallback(plan(EXACT), 9, out), GrowthCallback(plan("widen ffn 7→9 via fpi"), AT, out)
    assert refusal(source, late, tmp_path) == "GP625"
    assert refusal(source, wrong, tmp_path) == "GP102"
    early = GrowthCallback(plan(EXACT), AT, out)
    assert refusal(source, early, tmp_path, save_only_model=True) == "GP625"
    losses(source, tmp_path / "a", [])
    assert refusal(source, early, tmp_path, resume=str(tmp_path / "a" / "checkpoint-6")) == "GP625"
    with pytest.raises(DiagnosticError, match="nothing is grown"):
        _ = early.grown
    assert not out.exists()
    out.mkdir()
    assert refusal(source, early, tmp_path) == "GP625"
    nowhere = GrowthCallback(plan(EXACT), AT, source / "config.json" / "grown")
    assert refusal(source, nowhere, tmp_path) == "GP402"


@pytest.fixture
def masked(source: Path, tmp_path: Path) -> Path:
    apply(plan("mask-in ffn x2 over 4 steps, delay 1"), tmp_path / "masked", model_dir=source)
    return tmp_path / "masked"


@pytest.mark.parametrize("first", ["masks", "growth"])
def test_a_growth_in_a_ramp_is_refused_before_training(masked: Path, tmp_path: Path, first: str) -> None:
    """Whichever callback begins; and the step that is named will do."""

    def callbacks(at: int) -> tuple[Any, list[Any]]:
        model = load(masked)
        both = [MaskCallback(attach(model, masked)), GrowthCallback(plan(DEEPER), at, tmp_path / "grown")]
        return model, both if first == "masks" else both[::-1]

    model, both = callbacks(4)
    found = refused(model, both, tmp_path)
    assert found.code == "GP588" and "`mask-in-ffn` will be 0.75" in found.message
    assert found.help == ("grow at step 5, or later",)
    model, both = callbacks(5)
    trained(model, tmp_path / "a", both)
    assert load(tmp_path / "grown").config.n_layer == 4
    model, both = callbacks(5)  # killed in the growth
    shutil.rmtree(tmp_path / "grown")
    trained(model, tmp_path / "a", both, str(tmp_path / "a" / "checkpoint-5"))
    assert load(tmp_path / "grown").config.n_layer == 4


def test_masks_that_nothing_moves(masked: Path, tmp_path: Path) -> None:
    """Their checkpoint would look like that of a plain model."""
    model = load(masked)
    attached = attach(model, masked)
    growth = GrowthCallback(plan(DEEPER), 5, tmp_path / "grown")
    assert refused(model, [growth], tmp_path).code == "GP588"
    moving = MaskCallback(attached)  # made, and not given to the Trainer
    with pytest.raises(DiagnosticError, match="below 1 at step 5"):
        trained(model, tmp_path / "b", [growth])
    assert not (tmp_path / "grown").exists() and moving.attached.active


def test_steps_before_this_training_count_for_masks(masked: Path, tmp_path: Path) -> None:
    """A training that was begun behind the growth, and one that goes on from a checkpoint."""
    model = load(masked)
    trained(model, tmp_path / "a", [MaskCallback(attach(model, masked))], save_steps=2)
    checkpoint = tmp_path / "a" / "checkpoint-2"
    model = load(checkpoint)
    moving = MaskCallback(attach(model, checkpoint))
    growth = GrowthCallback(plan(DEEPER), 2, tmp_path / "grown")
    assert refused(model, [growth, moving], tmp_path).help == ("grow at step 3, or later",)
    model = load(checkpoint)
    moving = MaskCallback(attach(model, checkpoint))
    growth = GrowthCallback(plan(DEEPER), 3, tmp_path / "grown")
    assert (
        refused(model, [growth, moving], tmp_path, resume=str(checkpoint)).message.count("will be 0.5") == 1
    )
