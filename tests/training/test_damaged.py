"""Runs whose files were changed, cut or lost between two lives: told, and never trained on from."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from growplan.training.history import History
from tests.disk import no_file_longer_than
from tests.training.runs import bytes_of, refused, run, stopped, write_plan, write_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("damaged")
    write_source(folder)
    return folder


@pytest.fixture(scope="module")
def half(folder: Path) -> tuple[Path, Path, Path]:
    """A plan, a run that was stopped in its second stage behind a checkpoint, and one that was not."""
    stages = """
{name: a, train: {for: 2 steps}}
{name: b, steps: ["mask-in ffn 192→256 over 3 steps"], train: {for: 4 steps}}
"""
    plan = write_plan(folder, stages, "half")
    with stopped(lambda step: step.kind == "step" and step.stage.name == "b" and step.done == 3) as stop:
        run(plan, folder / "half", progress=stop)
    return plan, folder / "half", run(plan, folder / "half-whole").out


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("02-b/checkpoints/checkpoint-2/model.safetensors", "cut"),
        ("02-b/checkpoints/checkpoint-2/optimizer.pt", "gone"),
        ("02-b/checkpoints/checkpoint-2/growth-state.json", "gone"),
        ("02-b/checkpoints/checkpoint-2/trainer_state.json", "cut"),
        ("02-b/grown/optimizer.pt", "gone"),
        ("02-b/grown/growth-state.json", "gone"),
        ("02-b/grown/growth-state.safetensors", "cut"),
        ("02-b/grown/growth.json", "gone"),
        ("01-a/trained/model.safetensors", "cut"),
    ],
)
def test_what_a_run_left_and_is_no_more(
    name: str, how: str, half: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    """It is refused, and not trained on from; where it stands again, the run comes to its own bytes."""
    plan, before, whole = half
    out = tmp_path / "run"
    shutil.copytree(before, out)
    if name.startswith("01"):
        shutil.rmtree(out / "02-b")
    elif "grown" in name:
        shutil.rmtree(out / "02-b" / "checkpoints")
    as_it_was = (out / name).read_bytes()
    if how == "cut":
        (out / name).write_bytes(as_it_was[: len(as_it_was) // 2])
    else:
        (out / name).unlink()
    with refused("GP636") as found:
        run(plan, out)
    assert Path(name).name in found[0].message
    if how == "cut":
        (out / name).write_bytes(as_it_was)
    else:
        part = out / name
        shutil.rmtree(part.parent if "checkpoints" in name else out / name.split("/")[0])
    assert bytes_of(run(plan, out).out) == bytes_of(whole)


@pytest.mark.parametrize("broken", ["end of stage `a`", "step 1 of stage `b`"])
@pytest.mark.parametrize("how", [b"", b"{half", b"[1]", b'{"kind": "end"}'])
def test_a_history_that_lacks_lines(
    broken: str, how: bytes, half: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    plan, before, whole = half
    out = tmp_path / "run"
    shutil.copytree(before, out)
    as_it_was = (out / "history.jsonl").read_bytes()
    lines = as_it_was.split(b"\n")
    lines[3 if "end" in broken else 6] = how
    (out / "history.jsonl").write_bytes(b"\n".join(lines))
    with refused("GP636") as found:
        run(plan, out)
    assert broken in found[0].message
    (out / "history.jsonl").write_bytes(as_it_was)
    assert bytes_of(run(plan, out).out) == bytes_of(whole)


def test_a_line_that_the_disk_cuts_short(tmp_path: Path) -> None:
    """A write on a disk that fills up may put down a part, and say no more than how much."""
    history = History(tmp_path / "history.jsonl")
    history.add({"kind": "end", "stage": "a", "step": 1})
    with no_file_longer_than(history.path.stat().st_size + 10), refused("GP430"):
        history.add({"kind": "end", "stage": "b", "step": 1})
    assert [line["stage"] for line in history.lines()] == ["a"]


def test_a_last_model_that_was_changed_is_left_alone(half: tuple[Path, Path, Path], tmp_path: Path) -> None:
    plan, _, whole = half
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    (out / "model" / "config.json").write_text("{}")
    (warning,) = [each for each in run(plan, out).findings if each.code == "GP636"]
    assert warning.severity == "warning" and (out / "model" / "config.json").read_text() == "{}"
    shutil.rmtree(out / "model")
    assert bytes_of(run(plan, out).out) == bytes_of(whole)
