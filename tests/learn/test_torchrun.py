"""`torchrun -m growplan apply`: two processes fit what one fits, and one of them speaks."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from growplan.apply import apply
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.learn.operators import OPERATOR
from growplan.learn.resume import folder_of
from tests.learn.test_fit import corpus_of, leaves_of, objective
from tests.learn.test_operators import LINE, gpt2, plan_of
from tests.ranks import ROOT, SECONDS, torchrun
from tests.tiny import tiny_checkpoint

OPTIONS = ", lr 0.01, batch 5, accumulate 2, warmup 2"  # rows that two ranks cannot halve
COMMAND = ("-m", "growplan", "apply", "p.grow", "--no-stock")


def prepared(folder: Path, steps: int, options: str = OPTIONS) -> Path:
    folder.mkdir()
    gpt2(folder / "m")
    plan_of(folder, LINE, options=options, steps=steps)
    return folder


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("world", [2, 3])
def test_shares_of_a_batch_add_up_to_it(tmp_path: Path, rows: int, world: int) -> None:
    """Loss and gradients, in float64; a rank with no rows adds nothing."""
    made = objective(tiny_checkpoint("gpt2", tmp_path / "m", dtype="float64"))
    whole = corpus_of(made.target.model).batch(0)
    batch = type(whole)(whole.inputs[:rows], whole.targets[:rows])
    assert batch.share(0, 1) is batch
    found = []
    for shares in ([batch], [batch.share(rank, world) for rank in range(world)]):
        leaves = {name: leaf.requires_grad_() for name, leaf in leaves_of(made).items()}
        total = sum(made._backward(leaves, share, 1, batch.asked()) for share in shares)
        found.append((total, {name: leaf.grad for name, leaf in leaves.items()}))
    assert found[1][0] == pytest.approx(found[0][0], rel=1e-12)
    for name, grad in found[0][1].items():
        torch.testing.assert_close(found[1][1][name], grad, rtol=1e-9, atol=1e-12)


def test_two_processes_fit_what_one_fits(tmp_path: Path) -> None:
    """The same operator within rounding, from the same global batch; killed and resumed, the same bytes."""
    one, two, killed = (prepared(tmp_path / name, 40) for name in ("one", "two", "killed"))
    alone = apply(_parsed(one), stock=False)
    done = torchrun(2, *COMMAND, cwd=two)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count(" on what is held out") == 1 and "process 1:" not in done.stderr
    records = [_record(folder) for folder in (one, two)]
    for key in ("before", "after"):
        assert records[1][key] == pytest.approx(records[0][key], rel=1e-5)
    assert records[0]["after"] < records[0]["before"] - 0.5 and alone.fitted[0].after == records[0]["after"]
    expected, found = (load_file(folder / "g" / OPERATOR) for folder in (one, two))
    for name, leaf in expected.items():
        torch.testing.assert_close(found[name], leaf, rtol=2e-3, atol=2e-5)

    _kill_in_the_fit(killed)
    shutil.copytree(killed, tmp_path / "other", ignore=shutil.ignore_patterns("*.partial"))
    with pytest.raises(DiagnosticError, match=r"GP535.*processes changed"):
        apply(_parsed(tmp_path / "other"), resume=True)
    done = torchrun(2, *COMMAND, "--resume", cwd=killed)
    assert done.returncode == 0, done.stderr
    for name in ("model.safetensors", OPERATOR):
        assert (killed / "g" / name).read_bytes() == (two / "g" / name).read_bytes()
    assert not folder_of(killed / "g").exists()


def test_a_mistake_is_told_once_and_ends_every_process(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "a", 3)
    (folder / "austen.txt").write_text("no words")
    begin = time.monotonic()
    done = torchrun(2, *COMMAND, cwd=folder)
    assert done.returncode == 1 and done.stderr.count("error[GP531]") == 1, done.stderr
    assert "process 1:" not in done.stderr and time.monotonic() - begin < 60
    assert not (folder / "g").exists() and not list(folder.glob("*.partial"))


def test_a_plan_that_fits_nothing_is_the_work_of_one(tmp_path: Path) -> None:
    gpt2(tmp_path / "m")
    (tmp_path / "p.grow").write_text("source ./m\ntarget ./g\nstack depth x2\n")
    done = torchrun(2, *COMMAND, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr.count("warning[GP553]") == 1, done.stderr
    assert done.stdout.count("stack depth") == 1 and (tmp_path / "g" / "model.safetensors").exists()


def _parsed(folder: Path) -> Any:
    path = folder / "p.grow"
    return parse_text(path.read_text(), str(path), "dsl").read_from(str(path))


def _record(folder: Path) -> dict[str, float]:
    found: dict[str, float] = json.loads((folder / "g" / "growth.json").read_text())["extra"]["fitted"][0]
    return found


def _kill_in_the_fit(folder: Path) -> None:
    """The first process, as soon as there is a state to go on from; the run ends with it."""
    run = subprocess.Popen(
        (*(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"), *COMMAND),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    state = folder_of(folder / "g") / "1.safetensors"
    while not state.exists() and run.poll() is None:
        time.sleep(0.005)
    os.kill(int((folder / ".g.growplan-lock").read_text().split()[0]), signal.SIGKILL)
    assert run.wait(SECONDS) == 1 and state.exists() and not (folder / "g").exists()
