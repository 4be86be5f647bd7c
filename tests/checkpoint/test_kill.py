"""SIGKILL before every single file operation of a run, and once more at random times."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from growplan.checkpoint import swap
from growplan.checkpoint.output import Target
from growplan.diagnostics import DiagnosticError
from tests.checkpoint.made import names

OLD = {"config.json": "old", "data/x": "old"}
NEW = {"config.json": "new", "data/x": "new"}
_EVENTS = ("open", "os.", "shutil.", "ctypes.", "fcntl.")


@pytest.fixture(autouse=True)
def no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill, unlike a power cut, loses nothing that was written: syncing only costs time here."""
    monkeypatch.setattr(os, "fsync", lambda fd: None)


def _tree(path: Path) -> dict[str, str]:
    return {
        str(p.relative_to(path)): p.read_text()
        for p in sorted(path.rglob("*"))
        if p.is_file() and p.name != swap.MARKER
    }


def _write(path: Path, text: str) -> None:
    (path / "data").mkdir()
    (path / "config.json").write_text(text)
    (path / "data" / "x").write_text(text)


def _run(out: Path, force: bool) -> None:
    with Target.open(out, force=force) as target:
        _write(target.partial, "new")
        target.publish()


def _killed_at(moment: int, out: Path, force: bool, atomic: bool, gently: bool = False) -> bool:
    """Run in a child that kills itself (`gently`: is interrupted) before its `moment`-th file operation.

    False when it ended first.
    """
    child = os.fork()
    if child == 0:
        if not atomic:
            swap.exchange = lambda a, b: False
        seen = [0]

        def count(event: str, args: object) -> None:
            if event.startswith(_EVENTS):
                seen[0] += 1
                if seen[0] == moment and gently:
                    raise KeyboardInterrupt
                if seen[0] == moment:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            _run(out, force)
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status) or (gently and os.WEXITSTATUS(status)):
        return True
    assert os.WEXITSTATUS(status) == 0
    return False


def _moments(tmp_path: Path, old: bool, atomic: bool, gently: bool = False) -> Iterator[Path]:
    """One directory per moment, in the state a kill left there."""
    for moment in range(1, 500):
        folder = tmp_path / str(moment)
        folder.mkdir()
        out = folder / "model"
        if old:
            out.mkdir()
            _write(out, "old")
        if not _killed_at(moment, out, force=old, atomic=atomic, gently=gently):
            assert moment > 15
            return
        yield out
    pytest.fail("the run never ended")


def test_a_kill_leaves_nothing_or_all(tmp_path: Path) -> None:
    ends = set()
    for out in _moments(tmp_path, old=False, atomic=True):
        assert not out.exists() or _tree(out) == NEW
        ends.add(out.exists())
        if out.exists():
            with pytest.raises(DiagnosticError, match="GP401"):
                _run(out, force=False)
        else:
            _run(out, force=False)
        assert _tree(out) == NEW
        assert names(out.parent) == ["model"]
        assert not (out / swap.MARKER).exists()
    assert ends == {True, False}


@pytest.mark.parametrize("atomic", [True, False])
def test_a_kill_during_force_leaves_old_or_new(tmp_path: Path, atomic: bool) -> None:
    ends = set()
    for out in _moments(tmp_path, old=True, atomic=atomic):
        if out.exists():
            assert _tree(out) in (OLD, NEW)
            ends.add(_tree(out)["config.json"])
        else:
            assert not atomic
            (aside,) = out.parent.glob("model.old-*")
            assert _tree(aside) == OLD
            ends.add("aside")
        _run(out, force=True)
        assert _tree(out) == NEW
        assert names(out.parent) == ["model"]
        assert not (out / swap.MARKER).exists()
    assert ends == {"old", "new"} | (set() if atomic else {"aside"})


def test_after_a_kill_during_force_a_plain_run_restores_and_refuses(tmp_path: Path) -> None:
    for out in _moments(tmp_path, old=True, atomic=False):
        with pytest.raises(DiagnosticError, match="GP401"):
            _run(out, force=False)
        assert _tree(out) in (OLD, NEW)
        assert list(out.parent.glob("model.old-*")) == []


@pytest.mark.parametrize("old", [True, False])
@pytest.mark.parametrize("atomic", [True, False])
def test_an_interrupt_tidies_up_itself(tmp_path: Path, old: bool, atomic: bool) -> None:
    for out in _moments(tmp_path, old=old, atomic=atomic, gently=True):
        assert set(names(out.parent)) <= {"model", ".model.growplan-lock"}
        if old or out.exists():
            assert _tree(out) in ((OLD, NEW) if old else (NEW,))
            assert not (out / swap.MARKER).exists()


@pytest.mark.parametrize("atomic", [True, False])
def test_a_second_kill_while_tidying_up_after_the_first(tmp_path: Path, atomic: bool) -> None:
    draw = random.Random(0)
    for out in _moments(tmp_path, old=True, atomic=atomic):
        for _ in range(2):
            _killed_at(draw.randrange(1, 60), out, force=True, atomic=atomic)
            whole = [_tree(p) for p in (out, *out.parent.glob("model.old-*")) if p.exists()]
            assert OLD in whole or NEW in whole
        _run(out, force=True)
        assert _tree(out) == NEW
        assert names(out.parent) == ["model"]


def test_kills_at_random_times_of_real_processes(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from growplan.checkpoint.layout import plan_shards\n"
        "from growplan.checkpoint.output import Target\n"
        "from growplan.checkpoint.writer import Writer\n"
        "layout = plan_shards({f't{i}': ('U8', (1 << 20,)) for i in range(16)}, 1 << 22)\n"
        "print('ready', flush=True)\n"
        "for _ in range(1000):\n"
        "    with Target.open(sys.argv[1], force=True) as target:\n"
        "        (target.partial / 'config.json').write_text('{}')\n"
        "        with Writer(target.partial, layout) as writer:\n"
        "            for name in layout.slots: writer.write(name, bytes(1 << 20))\n"
        "            writer.finish()\n"
        "        target.publish()\n"
    )
    from growplan.checkpoint.headers import read_headers

    out = tmp_path / "model"
    for round_number in range(5):
        run = subprocess.Popen([sys.executable, "-c", code, str(out)], stdout=subprocess.PIPE, text=True)
        assert run.stdout is not None
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.05 + 0.11 * round_number)
        run.kill()
        run.communicate()
        if out.exists():
            assert len(read_headers(out).tensors) == 16
