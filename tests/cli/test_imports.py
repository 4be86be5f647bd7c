"""What a command must not import, and that importing the package costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.made import REPOSITORY

HEAVY = ("torch", "transformers", "networkx", "numpy", "scipy", "rich", "safetensors", "matplotlib")
PROBE = """
import sys
from growplan.cli import cli
code = 0
try:
    cli.main(args={arguments!r})
except SystemExit as exit:
    code = exit.code
print(sorted(set(sys.modules) & set({heavy!r})), code, file=sys.stderr)
"""


def modules(code: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=cwd,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "a.grow.yaml"],
        ["check", "c.grow.yaml"],
        ["diff", "a.grow.yaml", "b.grow.yaml"],
        ["fmt", "--check", "a.grow.yaml"],
        ["explain", "GP204"],
        ["methods"],
        ["families"],
        ["textconv", "a.grow.yaml"],
    ],
    ids=" ".join,
)
def test_a_command_stays_light(arguments: list[str], here: Path) -> None:
    assert modules(PROBE.format(arguments=arguments, heavy=HEAVY), here) == "[] 0"


def test_import_growplan_imports_nothing_else(here: Path) -> None:
    code = (
        "import sys, growplan; print([m for m in sys.modules if m.startswith('growplan')], file=sys.stderr)"
    )
    assert modules(code, here) == "['growplan']"


@pytest.mark.parametrize(
    "arguments", [["runtime", "export", "a", "b"], ["train", "a.grow.yaml"], ["toy", "a.grow.yaml"]]
)
def test_a_command_says_that_torch_is_not_installed(arguments: list[str], here: Path) -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from growplan.cli import cli; cli.main(args=sys.argv[1:])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=here,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert done.returncode == 1 and "error[GP637]" in done.stderr
    assert "`torch`, which is not installed" in done.stderr and "pip install 'growplan[torch]'" in done.stderr


def test_the_runtime_is_there_when_it_is_asked_for(here: Path) -> None:
    """`import growplan` is all that the examples of the documentation import."""
    code = "import sys, growplan; print('torch' in sys.modules, growplan.runtime.Rewarm, file=sys.stderr)"
    assert modules(code, here) == "False <class 'growplan.runtime.rewarm.Rewarm'>"


def test_a_70b_model_is_checked_from_its_config_alone(here: Path) -> None:
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 8192,
        "num_attention_heads": 64,
        "num_key_value_heads": 8,
        "intermediate_size": 28672,
        "num_hidden_layers": 80,
        "vocab_size": 128256,
        "max_position_embeddings": 8192,
        "rms_norm_eps": 1e-5,
        "rope_theta": 500000.0,
    }
    (here / "large").mkdir()
    (here / "large" / "config.json").write_text(json.dumps(config))
    (here / "large.grow").write_text("source ./large\nwiden hidden to 12288 via fpi\nstack depth x2\n")
    assert modules(PROBE.format(arguments=["check", "large.grow"], heavy=HEAVY), here) == "[] 0"
