"""A fit cut over ranks: what one process fits, with a piece of the operator and the source on each.

The bodies below run as two or three processes; what they assert holds on every rank.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef

from growplan.apply import apply
from growplan.backend.evaluate import Read
from growplan.check.typed import TypedStep
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from growplan.ir.graph import Graph
from growplan.learn.materialise import Materialiser
from growplan.learn.operators import OPERATOR, Fitted, Work, fit_step, objective_of
from growplan.learn.ranks import ALONE, Ranks
from growplan.pipeline import compile_plan
from tests.learn.handmade import read_of
from tests.learn.test_operators import LINE, TEXT, gpt2, parsed, plan_of, text_of
from tests.ranks import ranked, torchrun
from tests.tiny import tiny_checkpoint

OPTIONS = ", lr 0.01, batch {rows}, accumulate 2, warmup 2, "
LLAMA = "grow hidden 48→64, heads 6→8, kv_heads 3→4, ffn 80→96, depth 2→3 via ligo on d.bin for {steps} steps"

MANGO = "grow hidden 48→64, heads 6→8, ffn 192→256, depth 2→3 via mango on austen.txt for {steps} steps"


class Case:
    """A plan in a folder, compiled, and its step as one process or several fit it."""

    def __init__(self, folder: Path, line: str, options: str, steps: int) -> None:
        self.folder = folder
        compiled = compile_plan(parsed(folder, text_of(line, options, steps)))  # no rank writes
        assert compiled.graph is not None and compiled.typed is not None
        self.graph: Graph = compiled.graph
        self.step: TypedStep = compiled.typed.steps[0]
        self.read: Read = read_of(folder / "m")

    def fit(
        self, ranks: Ranks, work: Work | None = None, show: Any = None
    ) -> tuple[dict[str, Tensor], Fitted]:
        file, source = self.folder / self.step.data, self.folder / "m"
        return fit_step(self.graph, self.step, self.read, source, file, work=work, show=show, ranks=ranks)


def cases(folder: Path) -> Iterable[tuple[str, str, dict[str, Any], str, str]]:
    for i, (family, config, line, options) in enumerate(
        [
            ("gpt2", {"vocab_size": 256}, LINE, "tying layer"),
            (
                "gpt2",
                {"vocab_size": 256, "tie_word_embeddings": False},
                LINE,
                "tying layer, order width-first",
            ),
            ("llama", {"tie_word_embeddings": True}, LLAMA, "init lemon, tying layer"),
            ("gpt2", {"vocab_size": 256}, MANGO, "rank 2"),
        ]
    ):
        yield f"{folder}/{i}", family, config, line, options


def write(folder: Path) -> None:
    """The sources and the data of `cases`; float64."""
    import numpy as np

    for path, family, config, _, _ in cases(folder):
        tiny_checkpoint(family, Path(path) / "m", dtype="float64", **config)
        (np.random.default_rng(0).integers(0, 20, 900).cumsum() % 31).astype("<u2").tofile(f"{path}/d.bin")
        Path(path, "austen.txt").write_bytes(TEXT.read_bytes())


# bodies --------------------------------------------------------------------------------------------


def fit_as_one(ranks: Ranks, folder: Path) -> None:
    """Every case by all ranks in pieces, and by each alone; batches that ranks cannot share evenly."""
    for rows, (path, _, _, line, options) in zip((1, 5, 3, 3), cases(folder), strict=True):
        case = Case(Path(path), line, OPTIONS.format(rows=rows) + options, steps=4)
        leaves, record = case.fit(replace(ranks, shard=True))
        expected, alone = case.fit(ALONE)
        assert abs(record.before - alone.before) < 1e-12 * alone.before
        assert abs(record.after - alone.after) < 1e-9 * alone.after
        for name, leaf in expected.items():
            torch.testing.assert_close(leaves[name], leaf, rtol=1e-6, atol=1e-9)
        assert abs(alone.after - alone.before) > 1e-3


def hold_little(ranks: Ranks, folder: Path) -> None:
    """No rank ever holds all tensors of the target: those outside of blocks, and one block's."""
    path, _, _, line, options = next(iter(cases(folder)))
    case = Case(Path(path), line, OPTIONS.format(rows=4) + options, steps=2)
    held: list[tuple[str, StorageWeakRef]] = []
    most, original = 0, Materialiser.__call__

    def watched(self: Materialiser, leaves: Any, names: Any = None) -> dict[str, Tensor]:
        nonlocal most
        assert names is not None, "the whole model at once"
        made = original(self, leaves, names)
        alive = {name for name, storage in held if not storage.expired()}
        most = max(most, len(alive | set(made)))
        held.extend((name, StorageWeakRef(tensor.untyped_storage())) for name, tensor in made.items())
        return made

    Materialiser.__call__ = watched  # type: ignore[method-assign]
    case.fit(replace(ranks, shard=True))
    tensors = [(name, layer) for name, _, layer in case.step.after.tensors()]
    one_block = [name for name, layer in tensors if layer in (None, 0)]
    assert most == len(one_block) < len(tensors)


def have_pieces(ranks: Ranks, folder: Path) -> None:
    """Each rank stores its part of the source, the leaves and their gradients, and no more."""
    path, _, _, line, options = next(iter(cases(folder)))
    case = Case(Path(path), line, OPTIONS.format(rows=4) + options, steps=2)
    made = objective_of(case.graph, case.step, case.read, "cpu", replace(ranks, shard=True))
    values = {spec.name: torch.full(spec.shape, 0.01, dtype=torch.float64) for spec in case.step.leaves}
    leaves: Any = made.spread.leaves(values, torch.device("cpu"), torch.float64)
    pieces = sum(leaf.to_local().numel() for leaf in leaves.values())
    whole = sum(value.numel() for value in values.values())
    assert pieces < whole * 0.6 and ranks.total(pieces) == whole
    kept = sum(piece.numel() for piece in made.materialise.constants._kept.values())
    source = sum(case.read(name, 0, 10**6).numel() for name, _, _ in case.step.before.tensors())
    assert source / ranks.world <= kept < source / ranks.world * 1.02
    for name, value in values.items():
        assert torch.equal(made.spread.whole(leaves[name]), value)
        assert torch.equal(made.spread.whole(made.spread.like(leaves[name], value)), value)


def go_on(ranks: Ranks, folder: Path) -> None:
    """A fit that stopped goes on from the state of the first rank to the same bits."""
    path, _, _, line, options = next(iter(cases(folder)))
    case, cut = (
        Case(Path(path), line, OPTIONS.format(rows=2) + options + ", every 2", steps=5),
        replace(ranks, shard=True),
    )
    expected, _ = case.fit(cut)

    class Stopped(Exception):
        pass

    def stop(step: TypedStep, done: int, loss: float) -> None:
        if done == 3:
            raise Stopped

    def work(resume: bool) -> Work | None:
        return Work(folder / "state", resume, {}) if ranks.first else None

    try:
        case.fit(cut, work(False), stop)
    except Stopped:
        leaves, record = case.fit(cut, work(True))
    assert len(record.curve) == 5
    for name, leaf in expected.items():
        assert torch.equal(leaves[name], leaf)


def miss_one(ranks: Ranks, folder: Path) -> None:
    """A rank that is gone in the middle of a fit is told, as it is elsewhere."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others; this one is to see it by itself
    path, _, _, line, options = next(iter(cases(folder)))
    case = Case(Path(path), line, OPTIONS.format(rows=4) + options, steps=4)

    def go(step: TypedStep, done: int, loss: float) -> None:
        if done == 1 and not ranks.first:
            os._exit(3)

    try:
        case.fit(replace(ranks, shard=True), show=go)
    except DiagnosticError as error:
        sys.stdout.write(str(error))
        sys.stdout.flush()
        os._exit(0)


def run(tmp_path: Path, world: int, *bodies: Callable[[Ranks, Path], None]) -> None:
    """Bodies one after the other, as some processes that begin once."""
    done = started(tmp_path, world, *bodies)
    assert done.returncode == 0 and done.stdout.count("done") == world * len(bodies), done.stderr


def started(tmp_path: Path, world: int, *bodies: Callable[[Ranks, Path], None]) -> CompletedProcess[str]:
    write(tmp_path)
    calls = "".join(f"{body.__name__}(ranks, Path({str(tmp_path)!r}))\nprint('done')\n" for body in bodies)
    script = f"from pathlib import Path\nfrom tests.learn.test_shards import *\n{calls}"
    return ranked(tmp_path, script, world=world)


def test_two_fit_what_one_fits_and_hold_less(tmp_path: Path) -> None:
    run(tmp_path, 2, fit_as_one, hold_little, go_on)


def test_every_rank_has_its_piece(tmp_path: Path) -> None:
    run(tmp_path, 3, have_pieces)


def test_a_rank_that_is_gone_is_told(tmp_path: Path) -> None:
    done = started(tmp_path, 2, miss_one)
    assert "GP551: another process of this run has ended" in done.stdout, done.stderr


# the command line ----------------------------------------------------------------------------------


def test_from_the_command_line(tmp_path: Path) -> None:
    """`torchrun … apply --shard` writes the checkpoint that one process writes, within rounding."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        gpt2(tmp_path / name / "m")
    options = OPTIONS.format(rows=5) + "tying layer"
    apply(plan_of(tmp_path / "one", LINE, options=options, steps=6), stock=False)
    plan_of(tmp_path / "two", LINE, options=options, steps=6)
    command = ("-m", "growplan", "apply", "p.grow", "--no-stock", "--shard")
    done = torchrun(2, *command, cwd=tmp_path / "two")
    assert done.returncode == 0, done.stderr
    assert not verify(tmp_path / "two" / "g")
    expected, found = (load_file(tmp_path / name / "g" / OPERATOR) for name in ("one", "two"))
    for name, leaf in expected.items():
        torch.testing.assert_close(found[name], leaf, rtol=2e-3, atol=2e-5)


def test_one_process_has_nobody_to_share_with(tmp_path: Path) -> None:
    gpt2(tmp_path / "m")
    with pytest.raises(DiagnosticError, match=r"GP546.*nobody to share"):
        apply(plan_of(tmp_path, LINE), shard=True)
    assert not (tmp_path / "g").exists()
