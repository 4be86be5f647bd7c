"""Paths that a plan or an argument names: devices, pipes, names longer than a file system allows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.cli.made import run
from tests.tiny import tiny_checkpoint

LONG = "a" * 300
DEVICE = "/dev/zero"

pytestmark = pytest.mark.usefixtures("here")


@pytest.fixture
def pipe() -> str:
    """A pipe that nobody writes to: opening it would wait for ever."""
    os.mkfifo("pipe.yaml", 0o600)
    return "pipe.yaml"


def refused(*arguments: str) -> str:
    """The first line of a refusal."""
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    return result.stderr.splitlines()[0]


@pytest.mark.parametrize("key", ["family", "extends"])
def test_a_plan_cannot_make_growplan_read_a_device_or_wait_for_a_pipe(key: str, pipe: str) -> None:
    for path in (DEVICE, f"./{pipe}"):
        Path("bad.grow.yaml").write_text(f"{key}: {path}\nsource: ./gpt2\nsteps:\n  - widen ffn x2\n")
        first = refused("check", "bad.grow.yaml")
        assert "cannot read" in first and first.endswith("it is not a regular file")


def test_neither_can_arguments(pipe: str) -> None:
    for path in (DEVICE, pipe):
        assert refused("check", "a.grow.yaml", "--family", path).startswith("error[GP340]")
    assert refused("check", DEVICE).startswith("error[GP004]")
    assert refused("textconv", DEVICE).startswith("error[GP001]")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "model.safetensors.index.json"])
def test_neither_can_a_model(name: str, pipe: str) -> None:
    Path("gpt2", name).unlink(missing_ok=True)
    Path(pipe).rename(Path("gpt2", name))
    assert "is not a regular file" in refused("check", "a.grow.yaml")


def test_neither_can_a_record(pipe: str) -> None:
    tiny_checkpoint("gpt2", Path("tiny"))
    Path(pipe).rename("tiny/growth.json")
    assert "is not a regular file" in refused("log", "tiny")
    result = run("verify", "tiny")
    assert result.exit_code == 1
    assert "growth.json: it is not a regular file" in result.stderr


def test_names_longer_than_a_file_system_allows() -> None:
    tiny_checkpoint("gpt2", Path("tiny"))
    apply = ("apply", "a.grow.yaml", "--model", "tiny", "--out")
    assert refused(*apply, LONG).endswith("File name too long")
    assert refused(*apply, "a" * 250).endswith("File name too long")  # NAME.partial would be
    assert refused(*apply, f"{LONG}/out").startswith("error[GP4")
    assert refused("diff", "a.grow.yaml", LONG).startswith("error[GP001]")
    assert refused("check", "a.grow.yaml", "--family", LONG).startswith("error[GP340]")
    assert refused("check", "a.grow.yaml", "--model", LONG).startswith("error[GP400]")
    assert refused("check", LONG).startswith("error[GP001]")
    assert refused("fmt", LONG).startswith("error[GP001]")
    assert refused("verify", LONG).startswith("error[GP400]")
    assert refused("new", "tiny", "-o", LONG).startswith("error[GP604]")
    Path("bad.grow.yaml").write_text(f"extends: ./{LONG}\nsource: ~nobody-of-this-name/x\nsteps: []\n")
    assert run("check", "bad.grow.yaml").exit_code == 1
    Path("bad.grow.yaml").write_text("source: ~nobody-of-this-name/x\nsteps:\n  - widen ffn x2\n")
    assert refused("check", "bad.grow.yaml").startswith("error[GP400]")


def test_a_missing_file_outside_git_is_a_missing_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert refused("diff", "a.grow.yaml", "nope") == "error[GP001]: no such file: `nope`"
    assert refused("diff", "nope", "a.grow.yaml") == "error[GP001]: no such file: `nope`"


def test_fmt_to_prints_also_where_the_syntax_stays() -> None:
    Path("loose.grow").write_text("source   ./gpt2;widen ffn   x2\n", encoding="utf-8")
    Path("loose.grow.yaml").write_text("source:   ./gpt2\nsteps:\n - widen ffn   x2\n", encoding="utf-8")
    for name, to in (("loose.grow", "dsl"), ("loose.grow.yaml", "yaml")):
        before = Path(name).read_text(encoding="utf-8")
        result = run("fmt", "--to", to, name)
        assert (result.exit_code, result.stderr) == (0, "")
        assert "source" in result.stdout and "reformatted" not in result.stdout
        assert Path(name).read_text(encoding="utf-8") == before


def test_verify_of_a_model_that_was_not_grown() -> None:
    tiny_checkpoint("gpt2", Path("tiny"))
    result = run("verify", "tiny")
    assert result.exit_code == 1
    assert result.stdout == "not verified: tiny: no growth.json: 1 error\n"
