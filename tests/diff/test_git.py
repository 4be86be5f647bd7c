"""Git itself calls growplan: external diff, textconv, renames, and revisions as operands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from growplan.cli.operands import is_driver_call
from tests.cli.made import REPOSITORY, A, B, document, run

GROWPLAN = f"{sys.executable} -m growplan"


def git(*arguments: str) -> str:
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("GIT_")},
        "PYTHONPATH": str(REPOSITORY),
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_SYSTEM": os.devnull,
    }
    for who in ("AUTHOR", "COMMITTER"):
        environment |= {f"GIT_{who}_NAME": "test", f"GIT_{who}_EMAIL": "test@example.org"}
    done = subprocess.run(
        ["git", *arguments], env=environment, capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def repository(here: Path) -> Path:
    """Two commits of plan.grow.yaml (A, then B) and the model's config beside it."""
    git("init", "--quiet", "--initial-branch=main")
    git("config", "diff.growplan.command", f"{GROWPLAN} diff")
    git("config", "diff.growplan.textconv", f"{GROWPLAN} textconv")
    Path(".gitattributes").write_text("*.grow.yaml diff=growplan\n*.grow diff=growplan\n")
    Path("a.grow.yaml").unlink()
    Path("b.grow.yaml").unlink()
    for text, message in ((A, "first"), (B, "second")):
        Path("plan.grow.yaml").write_text(text, encoding="utf-8")
        git("add", "--all")
        git("commit", "--quiet", "-m", message)
    return here


def test_git_diff_calls_the_driver(repository: Path) -> None:
    shown = git("diff", "HEAD~1")
    assert "diff --growplan a/plan.grow.yaml b/plan.grow.yaml" in shown
    assert "fpi → bert2bert" in shown
    assert "parameters" in shown  # the source was found beside the plan


def test_git_diff_of_the_working_tree(repository: Path) -> None:
    Path("plan.grow.yaml").write_text(A, encoding="utf-8")
    assert "bert2bert → fpi" in git("diff")


def test_added_and_deleted_files(repository: Path) -> None:
    Path("more.grow").write_text("source ./gpt2\nwiden ffn x2 via fpi\n")
    git("add", "more.grow")
    shown = git("diff", "--cached")
    assert "+  1  widen ffn 192→384 via fpi" in shown and "tensors" not in shown  # of the whole model
    git("commit", "--quiet", "-m", "more")
    git("rm", "--quiet", "more.grow")
    assert "-  1  widen ffn 192→384 via fpi" in git("diff", "--cached")


def test_git_log_with_ext_diff(repository: Path) -> None:
    shown = git("log", "-p", "--ext-diff")
    assert "fpi → bert2bert" in shown
    assert "+  1  widen hidden 48→96 via fpi" in shown  # the first commit adds the file


def test_plain_git_log_uses_textconv(repository: Path) -> None:
    shown = git("log", "-p", "-1")
    assert "-widen-hidden: widen hidden 48→96 via fpi" in shown
    assert "+widen-hidden: widen hidden 48→96 via bert2bert" in shown
    assert "--growplan" not in shown


def test_a_rename(repository: Path) -> None:
    git("mv", "plan.grow.yaml", "renamed.grow.yaml")
    text = B.replace("seed: 3", "seed: 4")
    Path("renamed.grow.yaml").write_text(text, encoding="utf-8")
    git("add", "--all")
    shown = git("diff", "--cached", "-M")
    assert "diff --growplan a/plan.grow.yaml b/renamed.grow.yaml" in shown
    assert "rename from plan.grow.yaml" in shown
    assert "~ seed  3 → 4" in shown


def test_a_broken_plan_is_compared_line_by_line(repository: Path) -> None:
    Path("plan.grow.yaml").write_text("growplan: 1\nsteps: [widden\n")
    shown = git("diff")
    assert "compared line by line: plan.grow.yaml:" in shown
    assert "+steps: [widden" in shown
    git("commit", "--quiet", "-am", "broken")
    assert "+steps: [widden" in git("log", "-p", "-1")


def test_revisions(repository: Path) -> None:
    changed = {"added", "changed", "moved"}
    for operands in (
        ["HEAD~1", "--", "plan.grow.yaml"],
        ["HEAD~1", "HEAD", "--", "plan.grow.yaml"],
        ["HEAD~1", "plan.grow.yaml"],
        ["HEAD~1:plan.grow.yaml", "plan.grow.yaml"],
        ["HEAD~1"],
        ["HEAD~1", "HEAD"],
    ):
        data = document("diff", *operands)
        assert {e["action"] for e in data["edits"]} == changed, operands
        assert data["new_totals"] is not None
    assert run("diff", "plan.grow.yaml", "--exit-code").exit_code == 0  # against HEAD
    assert "no plan differs" in run("diff", "HEAD").stdout


def test_a_revision_from_a_subfolder_and_for_another_folder(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("sub").mkdir()
    monkeypatch.chdir("sub")
    assert document("diff", "HEAD~1", "--", "../plan.grow.yaml")["differs"]
    assert document("diff", "HEAD~1")["differs"]
    monkeypatch.chdir("/")
    assert document("diff", "HEAD~1", "--", str(repository / "plan.grow.yaml"))["differs"]


def test_what_a_plan_extends_comes_from_the_same_revision(repository: Path) -> None:
    Path("base.grow.yaml").write_text("growplan: 1\nsource: ./gpt2\nseed: 1\nsteps: [widen ffn x2]\n")
    Path("child.grow.yaml").write_text("growplan: 1\nextends: ./base.grow.yaml\n")
    git("add", "--all")
    git("commit", "--quiet", "-m", "child")
    Path("base.grow.yaml").write_text("growplan: 1\nsource: ./gpt2\nseed: 2\nsteps: [widen ffn x2]\n")
    data = document("diff", "HEAD", "--", "child.grow.yaml")
    assert data["header"] == [{"field": "seed", "old": "1", "new": "2"}]


@pytest.mark.parametrize(
    ("operands", "code"),
    [
        (["HEAD~9", "--", "plan.grow.yaml"], "GP602"),
        (["no-such-thing"], "GP602"),
        (["HEAD", "--", "never.grow.yaml"], "GP603"),
        (["--exit-code", "HEAD:never.grow.yaml", "plan.grow.yaml"], "GP603"),
    ],
)
def test_refusals(repository: Path, operands: list[str], code: str) -> None:
    result = run("diff", *operands)
    assert result.exit_code == 1
    assert f"error[{code}]" in result.stderr


def test_a_revision_that_looks_like_an_option(repository: Path) -> None:
    assert run("diff", "--output=stolen", "--", "plan.grow.yaml").exit_code == 2
    assert not Path("stolen").exists()


def test_outside_of_a_repository(here: Path) -> None:
    result = run("diff", "HEAD~1", "--", "a.grow.yaml")
    assert result.exit_code == 1
    assert "error[GP601]" in result.stderr


def test_what_a_call_by_git_looks_like() -> None:
    call = ["plan.grow", "old/x", "ab12cd3", "100644", "plan.grow", "0000000", "100644"]
    assert is_driver_call(call)
    assert is_driver_call([*call, "new.grow", "similarity index 90%\n"])
    assert is_driver_call(["plan.grow", "/dev/null", ".", ".", "plan.grow", "ab12cd3", "100644"])
    assert not is_driver_call(call[:6])
    assert not is_driver_call(["a", "b", "c", "d", "e", "f", "g"])
