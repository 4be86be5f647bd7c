"""What `growplan train` refuses, and that what it says to do then works."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from growplan.training import run as running
from growplan.training.loaded import Asks
from growplan.training.stage import Step
from tests.training.runs import bytes_of, losses, refused, run, stopped, write_plan, write_source

STAGES = "{name: a, train: {for: 2 steps}}\n{name: b, train: {for: 2 steps}}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("refused")
    write_source(folder)
    return folder


@pytest.fixture
def done(folder: Path, tmp_path: Path) -> tuple[Path, Path]:
    """A plan, and a run of it whose second stage is not done."""
    plan, whole = write_plan(folder, STAGES), folder / "whole"
    if not whole.exists():
        run(plan, whole)
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    shutil.rmtree(out / "model")
    shutil.rmtree(out / "02-b" / "trained")
    return plan, out


def in_a_fit(step: Step) -> bool:
    """Behind two steps of a fit."""
    return step.growing is not None and step.growing.kind == "learn" and step.growing.done == 2


def test_a_directory_that_holds_something_else(folder: Path, tmp_path: Path) -> None:
    plan = write_plan(folder, STAGES)
    (tmp_path / "letter.txt").write_text("dear")
    for force in (False, True):
        with refused("GP610") as found:
            run(plan, tmp_path, force=force)
        assert found[0].notes == (("found", "letter.txt"),)
    with refused("GP610"):
        run(plan, tmp_path / "letter.txt")
    with refused("GP405"):
        run(plan, folder / "source" / "run")
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("name: b, train: {", "name: b, train: {lr: 1e-2, ", "lr"),
        ("a, train: {for: 2 steps}", "a, train: {for: 3 steps}", "steps"),
        ("a, train: {for: 2 steps}", "a, train: {for: 96 tokens, dropout: none}", "dropout"),
        ("batch: 4", "batch: 2", "batch"),
        ("source: ./source", "seed: 1\nsource: ./source", "seed"),
        ("name: b,", "name: b, train-only: top 1,", "train-only"),
    ],
)
def test_another_plan(old: str, new: str, name: str, done: tuple[Path, Path]) -> None:
    plan, out = done
    before, text = bytes_of(out), plan.read_text()
    changed = plan.with_name("changed.grow.yaml")
    changed.write_text(text.replace(old, new))
    with refused("GP611") as found:
        run(changed, out)
    assert [note[0] for note in found[0].notes] == [name] + ["held-out"] * (name == "batch")
    assert bytes_of(out) == before
    if name in ("lr", "train-only"):  # of the second stage: it may begin anew
        shutil.rmtree(out / "02-b")
        assert len(losses(run(changed, out))) == 4
    again = run(changed, out, force=True)
    assert len(losses(again)) == (5 if name == "steps" else 4)


def test_a_stage_that_has_not_begun_may_change(folder: Path, tmp_path: Path, done: tuple[Path, Path]) -> None:
    _, out = done
    more = write_plan(folder, STAGES + "\n{name: c, train: {for: 2 steps}}", "more")
    whole = run(more, tmp_path / "whole")
    went_on = run(more, out)
    assert losses(went_on) == losses(whole)  # growth.json of stages that were done names the plan of then
    same = [name for name, raw in bytes_of(out).items() if bytes_of(whole.out)[name] == raw]
    assert {"model/model.safetensors", "03-c/trained/model.safetensors"} <= set(same)
    other = write_plan(folder, STAGES.replace("name: b", "name: z"), "other")
    with refused("GP611") as found:
        run(other, out)
    assert "`02-b`" in found[0].message and "`03-c`" not in found[0].message
    shutil.rmtree(out / "02-b")
    shutil.rmtree(out / "03-c")
    assert [line["stage"] for line in run(other, out).history if line["kind"] == "end"] == ["a", "z"]


def test_paths_are_named_as_they_were_given(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Relative to where the command runs; the run is the same."""
    whole = run(write_plan(folder, STAGES), tmp_path / "whole").out
    monkeypatch.chdir(tmp_path)
    plan = os.path.relpath(write_plan(folder, STAGES))
    result = run(Path(plan), Path("sub/run"))
    assert result.out == tmp_path / "sub" / "run" and result.model.is_dir()
    assert bytes_of(Path("sub/run")) == bytes_of(whole)
    card = (whole / "model" / "README.md").read_text()
    assert Path("sub/run/model/README.md").read_text() == card and "sub/run" not in card
    said = []
    for old, new in (
        ("a, train: {for: 2", "a, train: {for: 3"),
        ("name: b", "name: z"),
        ("batch: 4", "batch: 2"),
    ):
        other = folder / "named.grow.yaml"
        other.write_text(Path(plan).read_text().replace(old, new))
        with refused("GP611") as found:
            run(other, Path("sub/run"))
        said.append(found[0])
    Path("sub/run/run.json").write_text("{")
    with refused("GP615") as found:
        run(Path(plan), Path("sub/run"))
    said.append(found[0])
    for name in ("letter.txt", "full/x"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("x")
        with refused("GP610") as found:
            run(Path(plan), Path(name).parents[-2] if "/" in name else Path(name))
        said.append(found[0])
    texts = [text for each in said for text in (each.message, *each.help, *(note[1] for note in each.notes))]
    assert not [text for text in texts if str(tmp_path) in text]
    assert sum("sub/run" in text for text in texts) == 5


def test_a_later_stage_may_not_hold_out_more(folder: Path, tmp_path: Path, done: tuple[Path, Path]) -> None:
    """What stages that are done have drawn, it would hold out."""
    _, out = done
    for train, held in (("batch: 8", "8 x 12"), ("tokens: 24", "4 x 24")):
        more = f"\n{{name: c, train: {{for: 1 steps, {train}}}}}"
        with refused("GP611") as found:
            run(write_plan(folder, STAGES + more, "larger"), out)
        (note,) = found[0].notes
        assert note[0] == "held-out" and "batches of 4 x 12, " in note[1] and held in note[1]
    other = tmp_path / "other.npy"
    shutil.copyfile(folder / "data.npy", other)
    more = f"\n{{name: c, train: {{for: 1 steps, batch: 8, on: '{other}'}}}}"
    assert len(losses(run(write_plan(folder, STAGES + more, "elsewhere"), out))) == 5
    shutil.rmtree(out / "03-c")
    more = "\n{name: c, train: {for: 1 steps, batch: 2, tokens: 6}}"
    assert len(losses(run(write_plan(folder, STAGES + more, "smaller"), out))) == 5


def test_a_pattern_that_matches_nothing_is_refused_before_anything_is_trained(
    folder: Path, tmp_path: Path
) -> None:
    stages = STAGES.replace("name: b,", "name: b, freeze: '*.attention.*',")
    with refused("GP590") as found:
        run(write_plan(folder, stages, "pattern"), tmp_path / "run")
    assert found[0].span is not None and not (tmp_path / "run").exists()
    run(write_plan(folder, stages.replace("attention", "attn"), "pattern"), tmp_path / "run")


def test_other_data_and_another_source(done: tuple[Path, Path], folder: Path, tmp_path: Path) -> None:
    plan, out = done
    other = tmp_path / "other"
    shutil.copytree(folder, other, ignore=shutil.ignore_patterns("whole"))
    np.save(other / "data.npy", np.arange(4000) % 30)
    with refused("GP611") as found:
        run(other / plan.name, out)
    assert found[0].notes[0][0] == "data"
    shutil.rmtree(other / "source")
    write_source(other, seed=1)
    with refused("GP611") as found:
        run(other / plan.name, out)
    assert [note[0] for note in found[0].notes] == ["source"]


def test_other_surroundings_are_told(done: tuple[Path, Path]) -> None:
    plan, out = done
    facts = json.loads((out / "02-b" / "stage.json").read_text())
    facts["where"]["torch"] = "2.0.0"
    (out / "02-b" / "stage.json").write_text(json.dumps(facts))
    (warning,) = [d for d in run(plan, out).findings if d.severity == "warning"]
    assert warning.code == "GP616" and warning.notes == (("torch", f"was 2.0.0, is {torch.__version__}"),)
    assert not [d for d in run(plan, out).findings if d.severity == "warning"]  # it is done


def test_a_fit_that_began_elsewhere_begins_anew(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = "grow ffn 192→256 via ligo on data.npy for 4 steps, batch 2, tokens 8, every 1"
    plan = write_plan(folder, f"{{name: a, steps: ['{line}'], train: {{for: 1 steps}}}}", "learned")
    with stopped(in_a_fit) as stop:
        run(plan, tmp_path / "run", progress=stop)
    assert list((tmp_path / "run" / "01-a").glob(".grown.growplan-fit/*"))
    monkeypatch.setattr("growplan.__version__", "9.9")
    assert bytes_of(run(plan, tmp_path / "run").out).keys() == bytes_of(run(plan, tmp_path / "b").out).keys()
    assert not list((tmp_path / "run" / "01-a").glob(".*"))


def test_other_data_in_the_middle_of_a_fit(folder: Path, tmp_path: Path) -> None:
    """A fit is held to its data, as a training is, until its growth is whole."""
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("whole"))
    np.save(copy / "fitted.npy", np.load(copy / "data.npy"))
    line = "grow ffn 192→256 via ligo on fitted.npy for 4 steps, batch 2, tokens 8, every 1"
    plan = write_plan(copy, f"{{name: a, steps: ['{line}'], train: {{for: 1 steps}}}}")
    with stopped(in_a_fit) as stop:
        run(plan, tmp_path / "run", progress=stop)
    as_it_was = (copy / "fitted.npy").read_bytes()
    np.save(copy / "fitted.npy", np.arange(4000) % 30)
    with refused("GP611") as found:
        run(plan, tmp_path / "run")
    assert found[0].notes[0][0] == "data of grow-ffn"
    (copy / "fitted.npy").write_bytes(as_it_was)
    assert bytes_of(run(plan, tmp_path / "run").out) == bytes_of(run(plan, tmp_path / "whole").out)


def test_broken_facts(done: tuple[Path, Path]) -> None:
    plan, out = done
    (out / "run.json").write_text("{")
    with refused("GP615"):
        run(plan, out)
    assert len(losses(run(plan, out, force=True))) == 4


def test_no_stages_no_trainer_no_such_device(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = folder / "steps.grow.yaml"
    steps.write_text("source: ./source\nsteps: [widen ffn x2]\n")
    with refused("GP612"):
        run(steps, tmp_path / "run")
    plan = write_plan(folder, STAGES)
    with refused("GP508"):
        run(plan, tmp_path / "run", device="tpu")
    with monkeypatch.context() as patch:
        patch.setenv("WORLD_SIZE", "2")
        with refused("GP618"):
            run(plan, tmp_path / "run")
    with monkeypatch.context() as patch:
        patch.setattr("growplan.checkpoint.target_checks.free_bytes", lambda path: 1 << 20)
        with refused("GP406"):
            run(plan, tmp_path / "run", dry_run=True)
    monkeypatch.setattr(running, "resolve_device", lambda name: torch.device("cuda", 1))
    with refused("GP617"):
        run(plan, tmp_path / "run", device="cuda:1")
    monkeypatch.setattr(running, "find_spec", lambda name: None)
    with refused("GP613"):
        run(plan, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_loss_that_is_not_finite(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan, backward = write_plan(folder, STAGES), Asks.backward

    def hot(self: Asks, batch: Any, step: int, then: Any) -> torch.Tensor:
        return backward(self, batch, step, then) + (torch.inf if step == 3 else 0)

    with monkeypatch.context() as patch:
        patch.setattr(Asks, "backward", hot)
        with refused("GP614") as found:
            run(plan, tmp_path / "run")
    assert found[0].message == "the loss is inf in step 2 of 2"
    assert len(losses(run(plan, tmp_path / "run"))) == 4


def test_a_full_disk(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = write_plan(folder, STAGES)

    def full(*args: object, **kwargs: object) -> None:
        raise RuntimeError("[enforce fail at inline_container.cc:668] . unexpected pos 64 vs 0")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with refused("GP615") as found:
            run(plan, tmp_path / "run")
    assert "unexpected pos" in found[0].message
    assert bytes_of(run(plan, tmp_path / "run").out) == bytes_of(run(plan, tmp_path / "other").out)


def test_a_dry_run_writes_nothing(folder: Path, tmp_path: Path) -> None:
    result = run(write_plan(folder, STAGES), tmp_path / "run", dry_run=True)
    assert result.dry_run and not (tmp_path / "run").exists() and not list(tmp_path.iterdir())


def test_two_runs_at_once(folder: Path, tmp_path: Path) -> None:
    plan, out = write_plan(folder, STAGES), tmp_path / "run"

    def second(step: object) -> None:
        with refused("GP404"):
            run(plan, out)

    run(plan, out, progress=second)


def test_the_trainer_says_nothing(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    run(write_plan(folder, STAGES), tmp_path / "run")
    assert capfd.readouterr() == ("", "")
