"""What the processes of a run say to each other, as two and three of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from growplan.diagnostics import DiagnosticError
from growplan.learn import ranks as module
from growplan.learn.ranks import ALONE, Ranks, joined, own_device, place
from tests.ranks import ranked


def test_alone_everything_is_what_it_was() -> None:
    x = torch.ones(3)
    ALONE.add([x])
    assert torch.equal(x, torch.ones(3)) and ALONE.total(2.5) == 2.5
    assert ALONE.by_first(lambda: "made") == "made"
    with joined() as ranks:
        assert ranks is ALONE and ranks.first
    with pytest.raises(ZeroDivisionError), ALONE.together():
        _ = 1 / 0


def test_sums_objects_and_equality(tmp_path: Path) -> None:
    """Buckets of any size give each tensor its own sum, with the same bits on every rank."""
    done = ranked(
        tmp_path,
        """
import torch
import growplan.learn.ranks as module
torch.manual_seed(ranks.rank)
mine = [torch.randn(shape) for shape in ((3, 2), (), (5,), (2, 2, 2))]
drawn = []
for rank in range(ranks.world):
    torch.manual_seed(rank)
    drawn.append([torch.randn(shape) for shape in ((3, 2), (), (5,), (2, 2, 2))])
wanted = [sum(each) for each in zip(*drawn)]
for size in (1, 6, 1 << 23):
    module.BUCKET = size
    own = [x.clone() for x in mine]
    ranks.add(own)
    for x, y in zip(own, wanted, strict=True):
        torch.testing.assert_close(x, y)
    ranks.same({f"bits {size}": str([x.view(torch.int32).tolist() for x in own])})
total = ranks.total(0.1 * (ranks.rank + 1))
assert abs(total - 0.6) < 1e-15
ranks.same({"total": total.hex()})
assert ranks.by_first(lambda: {"x": torch.arange(3), "rank": ranks.rank})["rank"] == 0
print(f"done {ranks.world}")  # one piece: the ranks share a pipe
""",
        world=3,
    )
    assert done.returncode == 0 and done.stdout.count("done 3") == 3, done.stderr


def test_a_failure_of_one_rank_is_everyones(tmp_path: Path) -> None:
    """The same diagnostics on every rank; a fault of another kind names the rank; nobody hangs."""
    done = ranked(
        tmp_path,
        """
from growplan.diagnostics import Diagnostic, DiagnosticError, Source, Span, fail
span = Span(Source("p.grow", "widen hidden"), 6, 12)
try:
    with ranks.together():
        if ranks.rank == 1:
            raise DiagnosticError(Diagnostic("GP521", "no file", span, help=("look",)))
except DiagnosticError as error:
    (d,) = error.diagnostics
    assert (d.code, str(d.span), d.help) == ("GP521", "p.grow:1:7", ("look",))
    print("told")
try:
    ranks.by_first(lambda: fail("GP522", "first", help="look") if ranks.first else None)
except DiagnosticError as error:
    assert error.diagnostics[0].code == "GP522"
    print("told")
try:
    with ranks.together():
        if ranks.rank == 1:
            raise MemoryError("full")
except RankFailed as error:
    assert ranks.rank == 0 and str(error) == "rank 1: MemoryError: full"
    print("told")
except MemoryError:
    assert ranks.rank == 1
    print("told")
try:
    ranks.same({"plan": "a", "data": str(ranks.rank)})
except DiagnosticError as error:
    assert (error.diagnostics[0].code, "another data than rank 0" in str(error)) == ("GP550", True)
    print("told")
assert ranks.total(1) == 2
""",
    )
    assert done.returncode == 0 and done.stdout.count("told") == 8, done.stderr


def test_a_rank_that_is_gone_is_noticed(tmp_path: Path) -> None:
    done = ranked(
        tmp_path,
        """
import os, signal, sys
from growplan.diagnostics import DiagnosticError
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun ends the others; this one is to see it by itself
if ranks.rank == 1:
    ranks.total(1.0)  # both are connected: who leaves before that fails the other in its start
    os._exit(3)
try:
    ranks.total(1.0)
    ranks.total(1.0)
except DiagnosticError as error:
    print(error, flush=True)
    os._exit(0)
""",
    )
    assert done.returncode == 1 and "GP551: another process of this run has ended" in done.stdout, done.stderr


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert place() == (0, 1) and own_device("cuda:1") == "cuda:1"
    for name, value in {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    assert place() == (3, 4) and own_device("cpu") == "cpu"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert (own_device("cuda"), own_device("auto")) == ("cuda:1", "cuda:1")
    with pytest.raises(DiagnosticError, match=r"GP552.*4 processes cannot all have `cuda:0`"):
        own_device("cuda:0")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DiagnosticError, match=r"GP552.*process 1 of this machine has no GPU: 1 in all"):
        own_device("auto")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert (own_device("auto"), own_device("cuda")) == ("cpu", "cuda")  # GP508 says the rest


def test_buckets_hold_every_tensor_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BUCKET", 4)
    sizes = [1, 2, 3, 9, 1]
    found = [[len(x) for x in bucket] for bucket in module._buckets([torch.zeros(n) for n in sizes])]
    assert found == [[1, 2, 3], [9], [1]] and Ranks(1, 2).first is False
