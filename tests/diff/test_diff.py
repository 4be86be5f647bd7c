"""Whole diffs: with sources and without, as text, Markdown and JSON."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from growplan.compare.values import TensorChange
from growplan.views.edits import by_name, tensor_name
from tests.cli.made import A, B, document, run
from tests.conftest import Golden


def test_text(here: Path, golden: Golden) -> None:
    golden(run("diff", "a.grow.yaml", "b.grow.yaml").stdout)
    golden(run("diff", "a.grow.yaml", "b.grow.yaml", "-v").stdout, "verbose")
    golden(run("diff", "a.grow.yaml", "b.grow.yaml", "--md").stdout, "md")


def test_without_the_source(here: Path, golden: Golden) -> None:
    shutil.rmtree("gpt2")
    golden(run("diff", "a.grow.yaml", "b.grow.yaml").stdout)
    data = document("diff", "a.grow.yaml", "b.grow.yaml")
    assert data["tensors"] is None and data["old_totals"] is None
    assert len(data["notes"]) == 2


def test_json(here: Path) -> None:
    data = document("diff", "a.grow.yaml", "b.grow.yaml")
    assert {e["action"] for e in data["edits"]} == {"added", "changed", "moved"}
    added = next(e for e in data["edits"] if e["action"] == "added")
    assert added["new"]["options"] == {"split": "even"}
    assert added["new"]["sizes"] == [{"axis": "ffn", "from": 192, "to": 384}]
    assert data["header"] == [{"field": "seed", "old": "0", "new": "3"}]
    assert data["new_totals"]["cost"]["parameters"] > data["old_totals"]["cost"]["parameters"]
    assert any(t["name"] == "transformer.h.{i}.mlp.c_fc.weight" for t in data["tensors"])


def test_layout_and_comments_are_no_difference(here: Path) -> None:
    Path("same.grow.yaml").write_text("# the same\n" + A.replace("48→96", "to 96"), encoding="utf-8")
    result = run("diff", "a.grow.yaml", "same.grow.yaml", "--exit-code")
    assert result.exit_code == 0
    assert "no difference" in result.stdout


@pytest.mark.parametrize("old, new", [(A, B), (B, A), (A, A)])
def test_exit_code_and_differs_agree(here: Path, old: str, new: str) -> None:
    Path("old.grow.yaml").write_text(old, encoding="utf-8")
    Path("new.grow.yaml").write_text(new, encoding="utf-8")
    data = document("diff", "old.grow.yaml", "new.grow.yaml")
    assert data["differs"] is (old != new)
    assert run("diff", "old.grow.yaml", "new.grow.yaml", "--exit-code").exit_code == int(old != new)


def test_a_seed_changes_what_is_drawn_and_nothing_else(here: Path) -> None:
    Path("seed.grow.yaml").write_text(A + "seed: 9\n", encoding="utf-8")
    data = document("diff", "a.grow.yaml", "seed.grow.yaml")
    assert {e["action"] for e in data["edits"]} == {"kept"}
    assert {t["status"] for t in data["tensors"]} == {"redrawn"}


def test_errors_of_both_sides_are_reported_together(here: Path) -> None:
    Path("x.grow").write_text("widden ffn x2")
    Path("y.grow").write_text("widen ffn x2 x3")
    errors = run("diff", "x.grow", "y.grow").stderr
    assert "x.grow:1:1" in errors and "y.grow:1:" in errors


def test_copies_of_other_layers_are_no_new_draw(here: Path) -> None:
    for name, method in (("old", "stackbert"), ("new", "interlace")):
        text = f"growplan: 1\nsource: ./gpt2\nsteps:\n  - stack depth x2 via {method}\n"
        Path(f"{name}.grow.yaml").write_text(text, encoding="utf-8")
    data = document("diff", "old.grow.yaml", "new.grow.yaml")
    assert {t["status"] for t in data["tensors"]} == {"changed"}


def test_plans_that_name_no_source_are_compared_as_written(here: Path) -> None:
    for name, size in (("old", 96), ("new", 144)):
        text = f"growplan: 1\nsteps:\n  - widen hidden to {size}\n"
        Path(f"{name}.grow.yaml").write_text(text, encoding="utf-8")
    notes = document("diff", "old.grow.yaml", "new.grow.yaml")["notes"]
    assert len(notes) == 2 and all("without its source: GP130" in note for note in notes)


def test_experts_fold_like_layers(here: Path) -> None:
    for name, steps in (
        ("old", "upcycle ffn to 4 experts"),
        ("new", "upcycle ffn to 8 experts, granularity 2"),
    ):
        Path(f"{name}.grow").write_text(f"source ./llama\n{steps}\n", encoding="utf-8")
    lines = run("diff", "old.grow", "new.grow").stdout.splitlines()
    named = [line.split()[1].split("experts.")[1] for line in lines if "experts." in line]
    assert named == [f"{e}.{w}.weight" for w in ("w1", "w3", "w2") for e in ("{0:4}", "{4:8}")]
    depth = len({line.split("layers.")[1].split(".")[0] for line in lines if "experts." in line})
    assert depth == 1, "all layers in one line"
    (head,) = (line for line in lines if line.startswith("tensors made differently"))
    changes = document("diff", "old.grow", "new.grow")["tensors"]
    count = sum(max(1, len(c["layers"])) * max(1, len(c["experts"])) for c in changes)
    assert head == f"tensors made differently ({count}, layers and experts folded)"
    shards = [c for c in changes if c["name"].endswith("{e}.w1.weight") and c["status"] == "added"]
    assert [c["experts"] for c in shards] == [[4, 6], [5, 7]], "shards of the ffn are made otherwise"


def test_uneven_experts_are_not_said_of_all_layers() -> None:
    changes = [
        TensorChange("h.{i}.experts.{e}.w", (0, 1), "changed", experts=(0, 1)),
        TensorChange("h.{i}.experts.{e}.w", (2,), "changed", ("x",), experts=(0,)),
    ]
    shown = [(tensor_name(change), change.count) for change in by_name(changes)]
    assert shown == [("h.{0:3}.experts.{0}.w", 3), ("h.{0:2}.experts.{1}.w", 2)]
