"""docs/adding-a-family.md is run as it stands: its files, its scripts, its commands, in order."""

from __future__ import annotations

import doctest
import re
import runpy
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from growplan.algebra import Expansion
from growplan.check.rules import Refusal
from growplan.check.types import type_model
from growplan.diagnostics import Source
from growplan.families import bind, parse_family
from growplan.methods.base import Candidate
from tests.cli.made import REPOSITORY, run
from tests.families.configs import config
from tests.matrix.run import by_transformers, ids_for, worst

TEXT = (REPOSITORY / "docs" / "adding-a-family.md").read_text(encoding="utf-8")


def blocks() -> Iterator[tuple[str, str]]:
    """(language, body) of every fenced block."""
    yield from re.findall(r"```(\w+)\n(.*?)```", TEXT, re.DOTALL)


def python(command: str) -> None:
    """`python SCRIPT ARGUMENT…` in this process, importing from the script's folder alone."""
    script, *arguments = shlex.split(command)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [script, *arguments])
        runpy.run_path(script, run_name="__main__")


def test_opt_from_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = 0
    for language, body in blocks():
        name = re.match(r"# ([\w.]+)", body)
        if language != "console":
            assert name is not None, "a block of the page that is no file"
            Path(name[1]).write_text(body, encoding="utf-8")
            continue
        command, _, expected = body.removeprefix("$ ").partition("\n")
        program, _, arguments = command.partition(" ")
        capsys.readouterr()
        if program == "python":
            python(arguments)
            shown = capsys.readouterr().out
        else:
            assert program == "growplan"
            result = run(*shlex.split(arguments))
            shown = result.stdout + (result.stderr if result.exit_code else "")
        checker = doctest.OutputChecker()
        assert checker.check_output(expected, shown, doctest.ELLIPSIS), f"{command}\n{shown}"
        ran += 1
    assert ran == 8
    ids = ids_for(31, 24)
    source, grown = (by_transformers(Path(d), "OPTForCausalLM", ids) for d in ("opt-tiny", "opt-grown"))
    assert source["logits"].dtype == torch.float64
    assert worst({"logits": source["logits"]}, grown) < 1e-12


def test_a_fixed_epsilon_cannot_be_scaled() -> None:
    """Mean rows would need eps * 2/3, which no config key holds; even copies leave it alone."""
    text = next(body for _, body in blocks() if body.startswith("# opt.yaml"))
    family = parse_family(Source("opt.yaml", text))
    sizes = {"hidden_size": 48, "num_attention_heads": 6, "ffn_dim": 80, "num_hidden_layers": 2}
    model = bind(
        family, config({"model_type": "opt", **sizes, "vocab_size": 31, "max_position_embeddings": 24})
    )
    norm = model.modules["decoder.final_layer_norm"]
    assert (model.eps(norm), norm.eps) == (1e-5, None)
    type_model(model, Candidate("even copies", {"hidden": Expansion.circular(48, 96)}))
    with pytest.raises(Refusal, match="an epsilon that a config key holds"):
        type_model(model, Candidate("mean rows", {"hidden": Expansion.padded(48, 72, "mean")}))
