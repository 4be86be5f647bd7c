"""Exit codes that scripts depend on: 0 fine, 1 the input has a problem, 2 usage or internal error."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.made import process, run

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["--version"],
        ["check", "a.grow.yaml"],
        ["check", "a.grow.yaml", "-q"],
        ["check", "-e", "widen ffn x2", "--model", "gpt2"],
        ["diff", "a.grow.yaml", "a.grow.yaml", "--exit-code"],
        ["diff", "a.grow.yaml", "b.grow.yaml"],
        ["diff", "a.grow.yaml", "b.grow.yaml", "--md"],
        ["show", "a.grow.yaml", "--as", "dot"],
        ["fmt", "--check", "a.grow.yaml"],
        ["explain"],
        ["explain", "gp204"],
        ["methods"],
        ["methods", "fpi"],
        ["families"],
        ["families", "bert"],
        ["schema"],
        ["new", "bert"],
        ["textconv", "a.grow.yaml"],
    ],
    ids=" ".join,
)
def test_fine(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout or "-q" in arguments


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["check", "missing.grow.yaml"], "GP001"),
        (["check", "-e", "widen hiden x2", "--model", "gpt2"], "GP101"),
        (["check", "-e", "widen ffn x2"], "GP130"),
        (["check", "-e", "widen ffn x2", "--model", "nowhere"], "GP400"),
        (["diff", "a.grow.yaml", "missing.grow.yaml"], "GP001"),
        (["show", "missing.grow.yaml"], "GP001"),
        (["fmt", "missing.grow.yaml"], "GP001"),
        (["verify", "nowhere"], "GP400"),
        (["log", "gpt2"], "GP605"),
        (["new", "nowhere"], "GP400"),
        (["textconv", "missing.grow.yaml"], "GP001"),
        (["apply", "a.grow.yaml", "--out", "grown"], "GP4"),  # there are no weights
        (["families", "nowhere.yaml"], "GP3"),
        (["families", "magic"], "GP340"),
        (["methods", "magic"], "GP111"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else value,
)
def test_a_problem_of_the_input(arguments: list[str], code: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1, result.output
    assert f"error[{code}" in result.stderr
    assert result.stdout == ""


def test_diff_and_fmt_report_what_they_found() -> None:
    assert run("diff", "a.grow.yaml", "b.grow.yaml", "--exit-code").exit_code == 1
    Path("loose.grow").write_text("source   ./gpt2;widen ffn   x2\n", encoding="utf-8")
    before = Path("loose.grow").read_text(encoding="utf-8")
    assert run("fmt", "--check", "loose.grow").exit_code == 1
    assert Path("loose.grow").read_text(encoding="utf-8") == before
    assert run("fmt", "loose.grow").exit_code == 0
    assert run("fmt", "--check", "loose.grow").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["chek"],
        ["check"],
        ["check", "a.grow.yaml", "-e", "widen ffn x2"],
        ["check", "a.grow.yaml", "--no-such-option"],
        ["diff", "a", "b", "c"],
        ["show", "a.grow.yaml", "--as", "poem"],
        ["explain", "GP999"],
        ["fmt", "--to", "dsl", "a.grow.yaml", "b.grow.yaml"],
        ["apply", "a.grow.yaml", "--from", "gpt2"],
        ["apply", "a.grow.yaml", "--memory", "lots"],
        ["apply", "a.grow.yaml", "--memory", "1"],
        ["apply", "a.grow.yaml", "--memory", "999kB"],
    ],
    ids=" ".join,
)
def test_usage(arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    assert "error: " in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_an_unknown_command_is_answered_with_the_nearest() -> None:
    assert "Did you mean `check`?" in run("chek").stderr


def test_a_fault_of_our_own_is_one_line_and_exit_2(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("planted")

    monkeypatch.setattr("growplan.pipeline.check", broken)
    result = run("check", "a.grow.yaml")
    assert result.exit_code == 2
    assert "internal error: ZeroDivisionError: planted" in result.stderr
    assert "GROWPLAN_TRACEBACK=1" in result.stderr
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("GROWPLAN_TRACEBACK", "1")
    assert "Traceback" in run("check", "a.grow.yaml").stderr


def test_ctrl_c_ends_with_a_word_and_130(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("growplan.pipeline.check", interrupted)
    result = run("check", "a.grow.yaml")
    assert (result.exit_code, result.stderr.strip()) == (130, "interrupted")


def test_as_a_process(here: Path) -> None:
    assert process("check", "a.grow.yaml", cwd=here).returncode == 0
    refused = process("check", "missing.grow.yaml", cwd=here)
    assert refused.returncode == 1
    assert "error[GP001]" in refused.stderr
