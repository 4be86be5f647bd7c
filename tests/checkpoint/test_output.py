from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest

from growplan.checkpoint import lock, swap, target_checks
from growplan.checkpoint.output import Target, check_target
from growplan.diagnostics import DiagnosticError
from tests.checkpoint.made import failure, names, write_model


def fill(target: Target, text: str = "new") -> None:
    (target.partial / "config.json").write_text(text)
    (target.partial / "sub").mkdir()
    (target.partial / "sub" / "file").write_text(text)


def tree(path: Path) -> dict[str, str]:
    return {str(p.relative_to(path)): p.read_text() for p in sorted(path.rglob("*")) if p.is_file()}


NEW = {"config.json": "new", "sub/file": "new"}


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An earlier checkpoint at out/model."""
    path = tmp_path / "out" / "model"
    path.mkdir(parents=True)
    (path / "config.json").write_text("old")
    (path / "notes.txt").write_text("mine")
    return path


def test_publishes_all_or_nothing(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "er" / "model"
    with Target.open(out) as target:
        fill(target)
        assert not out.exists()
        assert target.publish().path == out
    assert tree(out) == NEW
    assert names(out.parent) == ["model"]


def test_without_publish_nothing_stays(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), Target.open(tmp_path / "model") as target:
        fill(target)
        raise RuntimeError("a failed assertion")
    assert names(tmp_path) == []


def test_an_empty_directory_is_taken(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with Target.open(tmp_path / "model") as target:
        fill(target)
        target.publish()
    assert tree(tmp_path / "model") == NEW


def test_a_full_target_is_never_touched(old: Path) -> None:
    before = tree(old)
    diagnostic = failure(lambda: Target.open(old))
    assert diagnostic.code == "GP401"
    assert "--force" in " ".join(diagnostic.help)
    assert tree(old) == before
    assert names(old.parent) == ["model"]


def test_something_that_appears_while_writing_is_not_overwritten(tmp_path: Path) -> None:
    out = tmp_path / "model"
    with Target.open(out) as target:
        fill(target)
        out.mkdir()
        (out / "theirs").write_text("x")
        assert failure(target.publish).code == "GP401"
    assert tree(out) == {"theirs": "x"}


def test_force_judges_again_what_appears_while_writing(tmp_path: Path) -> None:
    out = tmp_path / "model"
    with Target.open(out, force=True) as target:
        fill(target)
        out.mkdir()
        (out / "theirs").write_text("x")
        assert failure(target.publish).code == "GP407"
    assert tree(out) == {"theirs": "x"}


@pytest.mark.parametrize("atomic", [True, False])
def test_force_replaces_a_checkpoint(old: Path, atomic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not atomic:
        monkeypatch.setattr(swap, "exchange", lambda a, b: False)
    with Target.open(old, force=True) as target:
        fill(target)
        assert tree(old)["config.json"] == "old"
        assert target.publish().leftover is None
    assert tree(old) == NEW
    assert names(old.parent) == ["model"]


def test_an_old_one_that_cannot_be_deleted_is_named_and_deleted_later(
    old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Target.open(old, force=True) as target:
        fill(target)
        with monkeypatch.context() as patch:
            patch.setattr(shutil, "rmtree", lambda *args, **kwargs: None)
            leftover = target.publish().leftover
    assert leftover is not None
    assert tree(leftover)["config.json"] == "old"
    assert tree(old).items() >= NEW.items()
    with Target.open(old, force=True) as target:
        assert not leftover.exists() or leftover == target.partial
        fill(target)
        target.publish()
    assert tree(old) == NEW
    assert names(old.parent) == ["model"]


def test_force_keeps_the_old_one_until_the_new_one_is_there(old: Path) -> None:
    before = tree(old)
    with pytest.raises(RuntimeError), Target.open(old, force=True) as target:
        fill(target)
        raise RuntimeError
    assert tree(old) == before


@pytest.mark.parametrize("content", ["photos", ".git"])
def test_force_does_not_delete_what_is_no_checkpoint(content: str, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / content).mkdir(parents=True)
    if content == ".git":
        (home / "config.json").write_text("{}")
    assert failure(lambda: Target.open(home, force=True)).code == "GP407"
    assert (home / content).exists()


def test_the_target_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for force in (False, True):
        assert failure(lambda force=force: Target.open(tmp_path / "file", force=force)).code == "GP401"  # type: ignore[misc]
    below = failure(lambda: check_target(tmp_path / "file" / "model"))
    assert below.code == "GP402"
    assert failure(lambda: Target.open(tmp_path / "file" / "model")).code in ("GP402", "GP432")


@pytest.mark.parametrize("path", ["/", "", " ", "a\0b"])
def test_paths_that_are_no_target(path: str) -> None:
    assert failure(lambda: Target.open(path)).code == "GP402"


def test_a_mount_point_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda p: True)
    diagnostic = failure(lambda: Target.open(tmp_path / "out"))
    assert diagnostic.code == "GP402"
    assert str(tmp_path / "out" / "model") in diagnostic.help[0]


# sources -----------------------------------------------------------------------------------------


def test_target_and_source_may_not_overlap(tmp_path: Path) -> None:
    source = write_model(tmp_path / "work" / "source")
    (tmp_path / "link").symlink_to(source)
    before = {p: p.read_bytes() for p in source.rglob("*")}
    for out in (
        source,
        source / "grown",
        source.parent,
        tmp_path / "link",
        tmp_path / "link" / "grown",
        source / ".." / "source",
    ):
        for force in (False, True):
            act = lambda out=out, force=force: Target.open(out, sources=[source], force=force)  # type: ignore[misc] # noqa: E731
            assert failure(act).code == "GP405", out
    assert {p: p.read_bytes() for p in source.rglob("*")} == before
    assert names(tmp_path) == ["link", "work"]


def test_a_source_named_like_the_partial_is_safe(tmp_path: Path) -> None:
    source = write_model(tmp_path / "model.partial")
    assert failure(lambda: Target.open(tmp_path / "model", sources=[source])).code == "GP405"
    assert failure(lambda: Target.open(tmp_path / "model")).code == "GP403"
    assert (source / "config.json").exists()


def test_a_source_that_links_into_the_target_is_refused(old: Path, tmp_path: Path) -> None:
    (old / "model.safetensors").write_text("weights")
    source = tmp_path / "source"
    source.mkdir()
    (source / "model.safetensors").symlink_to(old / "model.safetensors")
    assert failure(lambda: Target.open(old, sources=[source], force=True)).code == "GP405"


def test_a_plan_inside_the_target_is_safe(old: Path) -> None:
    plan = old / "grow.yaml"
    plan.write_text("growplan: 1")
    assert failure(lambda: Target.open(old, protect=[plan], force=True)).code == "GP405"
    assert plan.exists()


# links -------------------------------------------------------------------------------------------


def test_a_link_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "model").mkdir()
    (tmp_path / "model").symlink_to(tmp_path / "disk" / "model")
    with Target.open(tmp_path / "model") as target:
        assert target.partial.parent == tmp_path / "disk"
        fill(target)
        target.publish()
    assert (tmp_path / "model").is_symlink()
    assert tree(tmp_path / "disk" / "model") == NEW


def test_a_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert failure(lambda: Target.open(tmp_path / "a")).code == "GP402"


def test_force_does_not_follow_links_inside_the_old_one(old: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "data").write_text("x")
    (old / "link").symlink_to(tmp_path / "precious")
    with Target.open(old, force=True) as target:
        fill(target)
        target.publish()
    assert tree(tmp_path / "precious") == {"data": "x"}


# .partial ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["directory", "file", "link", "copy of a killed run"])
def test_a_foreign_partial_is_refused(kind: str, tmp_path: Path) -> None:
    partial = tmp_path / "model.partial"
    if kind == "file":
        partial.write_text("x")
    elif kind == "link":
        (tmp_path / "elsewhere").mkdir()
        partial.symlink_to(tmp_path / "elsewhere")
    else:
        partial.mkdir()
        (partial / "thesis.tex").write_text("x")
    if kind == "copy of a killed run":
        (partial / swap.MARKER).write_text('{"own": [1, 2], "replaces": null, "aside": null}')
    before = sorted(tmp_path.rglob("*"))
    assert failure(lambda: Target.open(tmp_path / "model")).code == "GP403"
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("text", ["", "{", "[]", '{"own": 3}', '{"own": ["a", 1]}', '{"own": null}', "\0"])
def test_a_marker_that_is_no_marker(text: str, tmp_path: Path) -> None:
    (tmp_path / swap.MARKER).write_text(text)
    assert swap.read_marker(tmp_path) is None


# disk space and permissions ----------------------------------------------------------------------

Statvfs = namedtuple("Statvfs", "f_bavail f_frsize f_blocks")


def test_a_disk_that_is_too_small_is_refused_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "statvfs", lambda p: Statvfs(1000, 4096, 10**6))
    out = tmp_path / "model"
    diagnostic = failure(lambda: Target.open(out, needed_bytes=10_000_000))
    assert diagnostic.code == "GP406"
    assert "10.0 MB are needed" in diagnostic.message
    assert "4.1 MB are free" in diagnostic.message
    assert names(tmp_path) == []
    Target.open(out, needed_bytes=2_000_000).close()


def test_a_disk_that_does_not_say_is_given_a_chance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda p: Statvfs(0, 4096, 0))
    assert target_checks.free_bytes(tmp_path) is None
    Target.open(tmp_path / "model", needed_bytes=10**12).close()


def test_check_target_writes_nothing(tmp_path: Path) -> None:
    check_target(tmp_path / "a" / "b", needed_bytes=100)
    assert names(tmp_path) == []


def test_a_parent_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert failure(lambda: Target.open("/sys/model")).code == "GP431"  # closed even to root
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    assert failure(lambda: check_target(tmp_path / "model")).code == "GP431"
    assert names(tmp_path) == []


# two at once -------------------------------------------------------------------------------------


def test_a_second_run_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    with Target.open(tmp_path / "model") as target:
        fill(target)
        diagnostic = failure(lambda: Target.open(tmp_path / "model", force=True))
        assert diagnostic.code == "GP404"
        assert str(os.getpid()) in dict(diagnostic.notes)["held by"]
        assert tree(target.partial).keys() >= NEW.keys()
        target.publish()
    assert tree(tmp_path / "model") == NEW


def test_of_many_processes_exactly_one_wins(tmp_path: Path) -> None:
    code = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from growplan.checkpoint.output import Target\n"
        "from growplan.diagnostics import DiagnosticError\n"
        "try:\n"
        "    with Target.open(sys.argv[1]) as target:\n"
        "        (target.partial / 'config.json').write_text(sys.argv[2])\n"
        "        time.sleep(1.5)\n"
        "        target.publish()\n"
        "        print('won')\n"
        "except DiagnosticError as error: print(error.diagnostics[0].code)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "model")]
    runs = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(4)]
    said = [run.communicate()[0].strip() for run in runs]
    assert said.count("won") == 1, said
    assert all(word in ("won", "GP404", "GP401") for word in said), said
    assert (tmp_path / "model" / "config.json").read_text() == str(said.index("won"))
    assert names(tmp_path) == ["model"]


def test_a_lock_file_of_a_killed_run_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / ".model.growplan-lock").write_text(f"{os.getpid()} elsewhere\n")
    Target.open(tmp_path / "model").close()
    assert names(tmp_path) == []


def test_a_lock_file_removed_by_its_owner_in_between_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, calls = tmp_path / "lock", lock._lock, []

    def racing(fd: int, what: Path) -> None:
        real(fd, what)
        calls.append(fd)
        if len(calls) == 1:
            path.unlink()

    monkeypatch.setattr(lock, "_lock", racing)
    held = lock.RunLock(path, tmp_path)
    assert len(calls) == 2
    assert path.exists()
    held.release()
    held.release()
    assert not path.exists()


@pytest.mark.parametrize(("owner", "free"), [("999999999", True), (str(os.getppid()), False)])
def test_without_flock_the_process_decides(
    owner: str, free: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import fcntl
    import socket

    def unsupported(fd: int, operation: int) -> None:
        raise OSError(errno.ENOSYS, "no flock here")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    (tmp_path / ".model.growplan-lock").write_text(f"{owner} {socket.gethostname()}\n")
    if free:
        Target.open(tmp_path / "model").close()
    else:
        with pytest.raises(DiagnosticError, match="GP404"):
            Target.open(tmp_path / "model")
