"""What is wrong with a source, a family file or a target is shown at the plan line that names it."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.apply import apply
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language import parse_file
from growplan.pipeline import check
from tests.cli.made import run, write_models
from tests.tiny import tiny_checkpoint

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(write_models(tmp_path))
    tiny_checkpoint("gpt2", tmp_path / "tiny")
    (tmp_path / "weightless").mkdir()
    return tmp_path


def findings(header: str, *, applied: bool = False, **given: str) -> list[Diagnostic]:
    """What a plan with these headers is refused for."""
    Path("p.grow.yaml").write_text(f"growplan: 1\n{header}\nsteps:\n  - widen ffn x2\n", encoding="utf-8")
    plan = parse_file("p.grow.yaml")
    with pytest.raises(DiagnosticError) as caught:
        apply(plan, **given) if applied else check(plan, **given)  # type: ignore[arg-type]
    return list(caught.value.diagnostics)


def shown(found: list[Diagnostic]) -> list[tuple[str, str | None]]:
    """(code, the text at its place)."""
    return [(d.code, d.span.source.text[d.span.start : d.span.end] if d.span else None) for d in found]


def test_source() -> None:
    assert shown(findings("source: ./nope")) == [("GP400", "./nope")]
    assert shown(findings("source: ./weightless")) == [("GP300", "./weightless")]
    assert shown(findings("source: ./gpt2\ntarget: ./new", applied=True)) == [("GP413", "./gpt2")]
    Path("gpt2/model.safetensors").write_bytes(b"")
    assert shown(findings("source: ./gpt2")) == [("GP415", "./gpt2")]


def test_a_source_of_the_command_line_has_no_place() -> None:
    assert shown(findings("source: ./gpt2", model_dir="nope")) == [("GP400", None)]
    assert shown(findings("source: ./gpt2", family="nope.yaml")) == [("GP340", None)]


def test_family_and_source_together() -> None:
    found = findings("family: ./nope.yaml\nsource: ./nope")
    assert shown(found) == [("GP340", "./nope.yaml"), ("GP400", "./nope")]
    assert [d.span.line for d in found if d.span] == [2, 3]


def test_target() -> None:
    Path("full").mkdir()
    Path("full/x").write_text("x")
    header = "source: ./tiny\ntarget: ./full"
    assert shown(findings(header, applied=True)) == [("GP401", "./full")]
    assert shown(findings(header, applied=True, dry_run=True)) == [("GP401", "./full")]  # type: ignore[arg-type]
    assert shown(findings(header, applied=True, out="full")) == [("GP401", None)]
    assert shown(findings("source: ./nope\ntarget: ./full", applied=True)) == [
        ("GP400", "./nope"),
        ("GP401", "./full"),
    ]


def test_a_fresh_clone_is_told_how_to_get_the_source_of_an_example() -> None:
    for path in sorted((ROOT / "examples").glob("*/*.grow*")):
        text = path.read_text(encoding="utf-8")
        Path(path.name).write_text(text.replace("./model", "./gone"), encoding="utf-8")
        refused = run("check", path.name)
        assert "error[GP400]: there is no directory ./gone" in refused.stderr
        named = [word for word in refused.stderr.split() if word.startswith("examples/")]
        assert named and all((ROOT / word).is_file() for word in named), refused.stderr
