"""What torch and safetensors make of a disk that fills up is told, and nothing is half-written."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import apply
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.runtime import grow
from growplan.runtime.export import export
from growplan.runtime.saving import saving
from tests.disk import no_file_longer_than
from tests.runtime.grown import Grown
from tests.runtime.trained import save, train, trainer_optimizer


@pytest.fixture
def half(tmp_path: Path) -> tuple[Any, Path]:
    """A model in the middle of a ramp, and its checkpoint."""
    grown = Grown.by("mask-in ffn x2 over 10 steps", "gpt2", tmp_path)
    model, masks = grown.attached()
    masks.at(5)
    model.save_pretrained(tmp_path / "half")
    masks.save(tmp_path / "half")
    return model, tmp_path / "half"


def test_an_export(half: tuple[Any, Path]) -> None:
    out = half[1].parent / "out"
    with (
        no_file_longer_than(100_000),
        pytest.raises(DiagnosticError, match=r"model.safetensors: File too large"),
    ):
        export(half[1], out)
    assert not list(out.parent.glob("out*"))
    assert export(half[1], out).path == out


def test_the_state_of_an_optimizer(tmp_path: Path) -> None:
    """The weights are written in half precision, so that it is moments that no longer fit."""
    grown = Grown.by("widen ffn x2 via fpi", "gpt2", tmp_path)
    module = grown.load("m").float()
    optimizer = trainer_optimizer(module)
    train(module, optimizer, torch.arange(40).view(2, 20) % 31, 1)
    source = save(module, optimizer, tmp_path / "source")
    plan = parse_text("widen ffn x2 via fpi", "<test>", "dsl")
    with no_file_longer_than(700_000), pytest.raises(DiagnosticError, match=r"optimizer.pt: File too large"):
        apply(plan, tmp_path / "out", model_dir=source, stock=False, optimizer="grow")
    assert not list(tmp_path.glob("out*"))


def test_a_growth_in_a_loop(tmp_path: Path) -> None:
    grown = Grown.by("widen ffn x2 via fpi", "gpt2", tmp_path)
    plan = parse_text("widen ffn x2 via fpi", "<test>", "dsl")
    with no_file_longer_than(100_000), pytest.raises(DiagnosticError, match="File too large"):
        grow(plan, grown.load("m"), stock=False)


def test_other_mistakes_are_what_they_were(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of memory"), saving(tmp_path / "x"):
        raise RuntimeError("out of memory")
    with pytest.raises(DiagnosticError, match=r"GP432.*Input/output"), saving(tmp_path / "x"):
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 64 vs 0")
    with pytest.raises(DiagnosticError, match="GP430"), saving(tmp_path / "x"):
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("unexpected pos 64 vs 0") from None
