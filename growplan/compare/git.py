"""Reading plans out of git, by git itself; never through a shell."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from growplan.checkpoint.files import is_directory
from growplan.diagnostics import fail

PLAN_PATTERNS = ("*.grow.yaml", "*.grow.yml", "*.grow")


@dataclass(frozen=True)
class ChangedFile:
    """A plan that differs between two trees; None where it does not exist."""

    old: str | None
    new: str | None


def _git(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "LC_ALL": "C", "GIT_OPTIONAL_LOCKS": "0"}
    try:
        return subprocess.run(
            ["git", *arguments],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            env=environment,
            check=False,
        )
    except FileNotFoundError:
        fail("GP601", "git is not installed", help="name two files: `growplan diff OLD NEW`")
    except NotADirectoryError:
        fail("GP601", f"{folder} is not a folder", help="name two files: `growplan diff OLD NEW`")


def root(folder: Path) -> Path:
    """The top of the working tree around `folder`; GP601 outside of one."""
    done = _git(["rev-parse", "--show-toplevel"], folder)
    if done.returncode != 0:
        where = "here" if folder == Path() else f"at {folder}"
        fail("GP601", f"there is no git repository {where}", help="name two files: `growplan diff OLD NEW`")
    return Path(os.fsdecode(done.stdout.rstrip(b"\n")))


def is_revision(text: str, folder: Path = Path()) -> bool:
    """Whether git knows `text` as a commit or tree. GP601 where there is no repository."""
    root(folder)
    done = _git(["rev-parse", "--verify", "--quiet", "--end-of-options", text + "^{tree}"], folder)
    return done.returncode == 0


def need_revision(text: str, folder: Path = Path()) -> None:
    """GP602 unless git knows the revision."""
    if not is_revision(text, folder):
        fail(
            "GP602",
            f"`{text}` is neither a file nor a git revision",
            help=("`git log --oneline` lists revisions", "give a plan's path"),
        )


class Revision:
    """The files of one revision, named by paths relative to the working directory."""

    def __init__(self, name: str, near: str) -> None:
        """`near` is a path in the repository. Raises GP601, GP602."""
        folder = Path(near).absolute().parent
        while not is_directory(folder):  # it may be gone from the working tree
            folder = folder.parent
        need_revision(name, folder)
        self.name = name
        self._top = root(folder)

    def blob(self, path: str) -> bytes:
        """The bytes of a file; GP603 where the revision has none of this name."""
        try:
            return self.read(path)
        except FileNotFoundError:
            fail(
                "GP603",
                f"{path} does not exist in `{self.name}`",
                help=f"if it was renamed: `growplan diff {self.name}:OLD-NAME {path}`",
            )

    def read(self, path: str) -> bytes:
        """The bytes of a file; FileNotFoundError where the revision has none of this name."""
        inside = os.path.relpath(os.path.realpath(path), os.path.realpath(self._top))
        done = _git(["cat-file", "blob", f"{self.name}:{Path(inside).as_posix()}"], self._top)
        if done.returncode != 0:
            raise FileNotFoundError(path)
        return done.stdout


def changed_plans(old: str, new: str | None) -> Iterator[ChangedFile]:
    """Plans that differ between a revision and another (None: the working tree), renames found.

    Paths are relative to the working directory.
    """
    need_revision(old)
    if new is not None:
        need_revision(new)
    top = root(Path())
    revisions = [old] if new is None else [old, new]
    arguments = ["diff", "--no-ext-diff", "--name-status", "-z", "-M", *revisions, "--", *PLAN_PATTERNS]
    done = _git(arguments, top)
    words = iter(os.fsdecode(done.stdout).split("\0"))
    for status in words:
        if not status:
            return
        before = _near(top, next(words))
        after = _near(top, next(words)) if status[0] in "RC" else before
        yield ChangedFile(None if status == "A" else before, None if status == "D" else after)


def _near(top: Path, path: str) -> str:
    return os.path.relpath(top / path)
