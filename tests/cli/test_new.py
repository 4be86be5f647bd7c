"""`growplan new`: a plan that checks as it stands, and never over a file."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.cli.made import REPOSITORY, document, run
from tests.families.configs import CONFIGS


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_the_starter_checks(family: str, here: Path) -> None:
    written = run("new", family)
    assert written.exit_code == 0, written.output
    assert f"wrote {family}-grown.grow.yaml" in written.stdout
    data = document("check", f"{family}-grown.grow.yaml")
    assert data["claim"]["strength"] == "exact"
    assert data["target"]["path"] == f"./{family}-grown"
    assert run("fmt", "--check", f"{family}-grown.grow.yaml").exit_code == 0


def test_it_never_overwrites(here: Path) -> None:
    assert run("new", "bert", "--out", "mine.grow.yaml").exit_code == 0
    Path("mine.grow.yaml").write_text("precious")
    refused = run("new", "bert", "--out", "mine.grow.yaml")
    assert refused.exit_code == 1
    assert "error[GP604]" in refused.stderr
    assert Path("mine.grow.yaml").read_text() == "precious"


def test_paths_are_relative_to_the_plan(here: Path) -> None:
    Path("plans").mkdir()
    assert run("new", "gpt2", "--out", "plans/wide.grow.yaml").exit_code == 0
    assert "source: ../gpt2\n" in Path("plans/wide.grow.yaml").read_text(encoding="utf-8")
    assert run("check", "plans/wide.grow.yaml").exit_code == 0


def test_dash_prints_it(here: Path) -> None:
    assert "widen hidden 48→96 via fpi" in run("new", "gpt2", "--out", "-").stdout


STAGED = [*CONFIGS, "mistral-7b", "mixtral-8x7b", "llama-3-8b", "smollm2-135m", "vit-b16-224", "deit-base"]


def data_for(family: str) -> str:
    """Something in the working directory that a model of this family can be trained on."""
    if family.startswith(("vit", "deit")):
        for label in ("cat", "dog"):
            Path("images", label).mkdir(parents=True)
            Path("images", label, "1.png").write_bytes(b"\x89PNG")
        return "images"
    return "corpus.txt"


@pytest.mark.parametrize("family", STAGED)
def test_the_starter_with_stages_checks_and_so_does_each_idea_in_it(family: str, here: Path) -> None:
    if not Path(family).exists():
        shutil.copytree(REPOSITORY / "plans" / "configs" / family, family)
    written = run("new", family, "--stages", data_for(family), "--out", "staged.grow.yaml")
    assert written.exit_code == 0, written.output
    data = document("check", "staged.grow.yaml")
    assert [stage["name"] for stage in data["stages"]] == ["small", "wide", "deep", "all"]
    assert all(stage["train"] for stage in data["stages"])
    assert data["stages"][1]["claim"]["strength"] == "exact"
    assert run("fmt", "--check", "staged.grow.yaml").exit_code == 0
    text = Path("staged.grow.yaml").read_text(encoding="utf-8")
    assert max(map(len, text.splitlines())) <= 100
    for idea in re.findall(r"# - .*", text):
        Path("idea.grow.yaml").write_text(text.replace(idea, idea[2:]), encoding="utf-8")
        assert run("check", "idea.grow.yaml").exit_code == 0, idea


def test_the_starter_with_stages_trains_behind_masks(here: Path) -> None:
    text = run("new", "gpt2", "--stages", "corpus.txt", "--out", "-").stdout
    assert "mask-in ffn 192→384 over 500 steps" in text
    assert "# - mask-in hidden 48→96 over 500 steps, delay 500" in text
    assert "train-only: new-layers" in text and "target: ./gpt2-run" in text


@pytest.mark.parametrize(
    ("model", "data", "code"),
    [("gpt2", "nowhere.txt", "GP521"), ("gpt2", "few.txt", "GP531"), ("nobody", "corpus.txt", "GP400")],
)
def test_what_cannot_be_trained_is_refused_and_nothing_is_written(
    model: str, data: str, code: str, here: Path
) -> None:
    Path("few.txt").write_text("few")
    refused = run("new", model, "--stages", data, "--out", "staged.grow.yaml")
    assert refused.exit_code == 1 and f"error[{code}]" in refused.stderr and "help:" in refused.stderr
    assert not Path("staged.grow.yaml").exists()


def test_data_and_family_are_relative_to_the_plan(here: Path) -> None:
    Path("plans").mkdir()
    Path("own.yaml").write_text("extends: gpt2\nfamily: mine\n")
    for more in ([], ["--stages", "corpus.txt"]):
        out = f"plans/{len(more)}.grow.yaml"
        assert run("new", "gpt2", "--family", "own.yaml", "--out", out, *more).exit_code == 0
        text = Path(out).read_text(encoding="utf-8")
        assert "family: ../own.yaml\n" in text and ("../corpus.txt" in text) == bool(more)
        assert run("check", out).exit_code == 0
    assert "family: gpt2\n" in run("new", "gpt2", "--family", "gpt2", "--out", "-").stdout
