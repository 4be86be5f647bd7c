"""A run that is killed, wherever, ends with the bytes and the losses of one that was not."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.training.killed import alone, counted
from tests.training.runs import bytes_of, run, write_plan, write_source

STAGES = """
{name: small, train: {for: 2 steps}}
{name: wide, steps: ["mask-in ffn 192→256 over 4 steps", "mask-in hidden 48→72 over 3 steps", "mask-in heads 6→9 over 3 steps"], train: {for: 5 steps}}
{name: grown, steps: [stack depth x2 via mslt]}
{name: top, train-only: top 2, train: {for: 3 steps}}
"""  # noqa: E501


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import accelerate  # noqa: F401 - imported once, before processes are forked
    import transformers  # noqa: F401

    folder = tmp_path_factory.mktemp("killed")
    write_source(folder)
    return write_plan(folder, STAGES)


@pytest.fixture(scope="module")
def whole(plan: Path) -> tuple[dict[str, bytes], int]:
    """What an uninterrupted run leaves, and how many moves on the disk it makes."""
    out = plan.parent / "whole"
    moves = counted(lambda: run(plan, out))
    return bytes_of(out), moves


def hidden(out: Path) -> list[str]:
    return [path.name for path in out.rglob("*") if path.name.startswith(".") or ".partial" in path.name]


def test_killed_again_and_again(plan: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path) -> None:
    """Each life ends at a move of its own; that of the next is further on in the same stage, or later."""
    draw, lives, reach = random.Random(0), 0, 40
    while not alone(lambda: run(plan, tmp_path / "run"), draw.randint(1, reach)):
        lives, reach = lives + 1, reach + 10
    assert lives > 10
    assert bytes_of(tmp_path / "run") == whole[0]
    assert not hidden(tmp_path / "run")


@pytest.mark.parametrize("part", range(5))
def test_killed_once(part: int, plan: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path) -> None:
    expected, moves = whole
    at = random.Random(part).randint(1 + part * moves // 5, (part + 1) * moves // 5)
    assert not alone(lambda: run(plan, tmp_path / "run"), at)
    assert alone(lambda: run(plan, tmp_path / "run"))
    assert bytes_of(tmp_path / "run") == expected and not hidden(tmp_path / "run")


@pytest.mark.full
@pytest.mark.parametrize("part", range(40))
def test_killed_anywhere(part: int, plan: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path) -> None:
    expected, moves = whole
    for at in range(1 + part * moves // 40, 1 + (part + 1) * moves // 40, 3):
        out = tmp_path / str(at)
        assert not alone(lambda out=out: run(plan, out), at)
        assert alone(lambda out=out: run(plan, out))
        assert bytes_of(out) == expected and not hidden(out), at


def test_killed_in_a_fit(plan: Path, tmp_path: Path) -> None:
    """A learned growth goes on with its fit, from the last state of that."""
    line = "grow ffn 192→256, depth 2→3 via ligo on data.npy for 5 steps, batch 2, tokens 8, every 2"
    stages = f"{{name: a, train: {{for: 2 steps}}}}\n{{name: b, steps: ['{line}'], train: {{for: 2 steps}}}}"
    learned = write_plan(plan.parent, stages, "learned")
    moves = counted(lambda: run(learned, tmp_path / "whole"))
    draw, lives, reach = random.Random(1), 0, 30
    while not alone(lambda: run(learned, tmp_path / "run"), draw.randint(1, reach)):
        lives, reach = lives + 1, reach + 10
    assert lives > 5 and moves > 100
    assert bytes_of(tmp_path / "run") == bytes_of(tmp_path / "whole")


@pytest.mark.full
def test_the_command_killed_from_outside(
    plan: Path, whole: tuple[dict[str, bytes], int], tmp_path: Path
) -> None:
    """`growplan train` itself, by SIGKILL when its history has so many lines."""
    command = [
        sys.executable,
        "-m",
        "growplan",
        "train",
        str(plan),
        "--out",
        str(tmp_path / "run"),
        "--no-stock",
    ]
    history = tmp_path / "run" / "history.jsonl"
    for lines in (1, 4, 8, 12):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
            while process.poll() is None:
                if history.exists() and history.read_bytes().count(b"\n") >= lines:
                    process.kill()
                    break
                time.sleep(0.005)
    subprocess.run(command, check=True, capture_output=True)
    assert bytes_of(tmp_path / "run") == whole[0]
