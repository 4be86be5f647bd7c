"""Pipes, terminals, standard input, closed readers."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.made import REPOSITORY, A, document, process, run
from tests.tiny import tiny_checkpoint


def terminal(arguments: list[str], cwd: Path, **env: str) -> str:
    """What a command shows on a terminal (stdout and stderr together)."""
    primary, secondary = pty.openpty()
    environment = {k: v for k, v in os.environ.items() if k != "NO_COLOR"}
    environment |= {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm", **env}
    command = [sys.executable, "-m", "growplan", *arguments]
    with subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=secondary, stderr=secondary
    ):
        os.close(secondary)
        shown = b""
        while True:
            try:
                part = os.read(primary, 1 << 16)
            except OSError:  # Linux says EIO when the last writer is gone
                break
            if not part:
                break
            shown += part
    os.close(primary)
    return shown.decode()


def test_colour_on_a_terminal_only(here: Path) -> None:
    assert "\x1b[" in terminal(["check", "a.grow.yaml"], here)
    assert "\x1b[" not in terminal(["check", "a.grow.yaml"], here, NO_COLOR="1")
    assert "\x1b[" not in terminal(["check", "a.grow.yaml"], here, TERM="dumb")
    piped = process("check", "a.grow.yaml", cwd=here)
    assert "\x1b[" not in piped.stdout + piped.stderr


def test_the_same_words_with_and_without_colour(here: Path) -> None:
    import re

    coloured = terminal(["check", "a.grow.yaml"], here)
    plain = process("check", "a.grow.yaml", cwd=here)
    words = re.sub(r"\x1b\[[0-9;]*m", "", coloured).replace("\r\n", "\n")
    assert words.split() == (plain.stdout + plain.stderr).split()


def test_an_ascii_stream_gets_ascii(here: Path) -> None:
    shown = process("check", "a.grow.yaml", cwd=here, PYTHONIOENCODING="ascii")
    assert shown.returncode == 0
    assert "widen hidden 48->96 via fpi" in shown.stdout


def test_dash_is_standard_input(here: Path) -> None:
    assert document("check", "-", input=A)["plan"] == "<stdin>"
    assert run("fmt", "-", input="widen   ffn x2").stdout.strip() == "widen ffn x2"
    assert run("diff", "-", "a.grow.yaml", "--exit-code", input=A).exit_code == 0
    bad = run("check", "-", input=b"\xff\xfe")
    assert bad.exit_code == 1
    assert "<stdin>:1:1" in bad.stderr


def test_quiet_prints_nothing_and_keeps_errors(here: Path) -> None:
    assert run("check", "a.grow.yaml", "-q").output == ""
    refused = run("check", "missing.grow", "-q")
    assert "error[GP001]" in refused.stderr


def test_a_reader_that_goes_away(here: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "growplan", "show", "a.grow.yaml", "--as", "html"]
    with subprocess.Popen(
        command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdout is not None and child.stderr is not None
        child.stdout.close()
        errors = child.stderr.read()
    assert errors == b""
    assert child.returncode == 141


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    "arguments",
    [["check", "a.grow.yaml"], ["check", "a.grow.yaml", "--json"], ["check", "no", "--json"], ["--help"]],
    ids=" ".join,
)
def test_a_full_disk_is_one_line(here: Path, arguments: list[str]) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "growplan", *arguments]
    with FULL.open("w") as full:
        done = subprocess.run(
            command, cwd=here, env=environment, stdout=full, stderr=subprocess.PIPE, check=False
        )
    assert done.returncode == 2
    last = done.stderr.decode().splitlines()[-1]
    assert last == "error: cannot write the output: No space left on device"
    assert b"Traceback" not in done.stderr and b"internal" not in done.stderr


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_stderr_that_cannot_be_written_stops_nothing(here: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "growplan", "check", "missing.grow"]
    with FULL.open("w") as full:
        done = subprocess.run(
            command, cwd=here, env=environment, stdout=subprocess.PIPE, stderr=full, check=False
        )
    assert (done.returncode, done.stdout) == (1, b"")


def test_closed_streams(here: Path) -> None:
    def closed(redirection: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        script = f'exec "$0" -m growplan "$@" {redirection}'
        return subprocess.run(
            ["sh", "-c", script, sys.executable, *arguments],
            cwd=here,
            env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
            capture_output=True,
            text=True,
            check=False,
        )

    no_input = closed("<&-", "check", "-")
    assert (no_input.returncode, no_input.stdout) == (1, "")
    assert no_input.stderr.startswith("error[GP001]: standard input is closed")
    no_output = closed(">&-", "check", "a.grow.yaml")
    assert (no_output.returncode, no_output.stderr) == (
        2,
        "error: cannot write the output: standard output is closed\n",
    )
    assert closed("2>&-", "check", "a.grow.yaml").returncode == 0


def test_without_a_command_the_help_once_on_stderr() -> None:
    result = run()
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("Usage:") == 1 and "error" not in result.stderr.splitlines()[-1]
    assert "apply     Grow a checkpoint" in result.stderr


def test_ctrl_c_in_a_process(here: Path) -> None:
    """The signal arrives while the plan is read from a pipe that stays silent."""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-m", "growplan", "check", "-"]
    with subprocess.Popen(
        command,
        cwd=here,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a background job ignores it
    ) as child:
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.5)
        child.send_signal(signal.SIGINT)
        _, errors = child.communicate(timeout=20)
    assert child.returncode == 130
    assert errors.decode().strip() == "interrupted"


def test_a_progress_bar_on_a_terminal_and_lines_in_a_pipe(here: Path) -> None:
    tiny_checkpoint("gpt2", here / "tiny")
    (here / "wider.grow").write_text("source ./tiny\nwiden ffn x2 via fpi\n")
    shown = terminal(["apply", "wider.grow", "--out", "one"], here)
    assert "\x1b[" in shown and "asserting step 1 of 1" in shown and "bytes ?" not in shown
    assert "step 1  widen ffn 192→384 via fpi: exact" in shown
    piped = process("apply", "wider.grow", "--out", "two", cwd=here)
    assert piped.returncode == 0
    assert piped.stderr.startswith("step 1  widen ffn 192→384 via fpi: exact, output off by ")
    assert "wrote two: " in piped.stdout
    assert "\x1b" not in piped.stdout + piped.stderr
    again = process("apply", "wider.grow", "--out", "two", cwd=here)
    assert (again.returncode, again.stdout) == (1, "")
    assert "error[GP401]" in again.stderr
    assert run("verify", here / "two").exit_code == 0
    assert "widen ffn 192→384 via fpi" in run("log", here / "two").stdout


def test_a_dry_run_writes_nothing(here: Path) -> None:
    tiny_checkpoint("gpt2", here / "tiny")
    (here / "wider.grow").write_text("source ./tiny\nwiden ffn x2 via fpi\n")
    before = sorted(here.iterdir())
    result = run("apply", "wider.grow", "--out", "one", "--dry-run")
    assert result.exit_code == 0
    assert "nothing was written" in result.stdout
    assert sorted(here.iterdir()) == before
