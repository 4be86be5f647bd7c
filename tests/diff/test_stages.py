"""Diffs of plans with stages: stages by name, their training, their steps."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from growplan.compare.diff import stage_edits
from growplan.compare.values import Added, Kept, Moved, Removed, StageEdit, StageFacts
from tests.cli.made import A, document, run
from tests.conftest import Golden

OLD = """\
source: ./gpt2
train: {on: corpus.txt, lr: 1e-3, batch: 4, tokens: 8}
stages:
  - {name: small, train: {steps: 300}}
  - name: wide
    steps: [widen hidden x2 via fpi]
    train: {steps: 300}
  - name: deep
    steps: [stack depth x2]
    train-only: new-layers
    train: {steps: 200, lr: 5e-4}
  - {name: all, train: {for: 2M tokens}}
"""
NEW = """\
source: ./gpt2
seed: 3
train: {on: corpus.txt, lr: 1e-3, tokens: 8}
stages:
  - {name: first, train: {steps: 300, batch: 4}}
  - name: wide
    steps: [widen hidden x2 via bert2bert, widen ffn x2]
    train: {steps: 400, batch: 4}
  - name: more
    steps: [widen vocab to 64]
    train: {for: 1.5M tokens}
  - name: deep
    steps: [stack depth x2]
    train-only: top 2
    train: {steps: 200, lr: 5e-4, batch: 4}
"""


@pytest.fixture
def plans(here: Path) -> Path:
    (here / "old.grow.yaml").write_text(OLD, encoding="utf-8")
    (here / "new.grow.yaml").write_text(NEW, encoding="utf-8")
    return here


def test_text(plans: Path, golden: Golden) -> None:
    """Needs neither weights nor the data."""
    golden(run("diff", "old.grow.yaml", "new.grow.yaml").stdout)
    golden(run("diff", "old.grow.yaml", "new.grow.yaml", "--md").stdout, "md")


def test_without_the_source(plans: Path, golden: Golden) -> None:
    shutil.rmtree("gpt2")
    golden(run("diff", "old.grow.yaml", "new.grow.yaml").stdout)


def test_data(plans: Path) -> None:
    data = document("diff", "old.grow.yaml", "new.grow.yaml")
    stages = {edit["name"]: edit for edit in data["stages"]}
    assert {name: edit["action"] for name, edit in stages.items()} == {
        "first": "changed",
        "wide": "changed",
        "more": "added",
        "deep": "changed",
        "all": "removed",
    }
    assert stages["first"]["changes"] == [{"field": "name", "old": "small", "new": "first"}]
    assert stages["wide"]["changes"] == [{"field": "length", "old": "300 steps", "new": "400 steps"}]
    assert stages["deep"]["changes"] == [{"field": "train-only", "old": "new-layers", "new": "top 2"}]
    more, old = stages["more"]["new"], stages["all"]["old"]
    assert more["training"] == {
        "length": "1.5M tokens",
        "on": "corpus.txt",
        "option lr": "0.001",
        "option tokens": "8",
    }
    assert more["tokens"] == 1_500_032 and old["tokens"] == 2_000_000  # whole steps of 16 · 8 and of 4 · 8
    assert data["old_totals"]["tokens"] == (300 + 300 + 200) * 32 + 2_000_000
    assert data["new_totals"]["flops"] > 0
    by_id = {(edit["new"] or edit["old"])["id"]: edit for edit in data["edits"] if "new" in edit}
    assert by_id["widen-hidden"]["new"]["stage"] == "wide" and by_id["stack-depth"]["action"] == "kept"
    made = {(change["stage"], change["name"]) for change in data["tensors"] if change["stage"] == "more"}
    assert made == {("more", "transformer.wte.weight")}  # what is as it was before that stage is left out
    assert {change["stage"] for change in data["tensors"]} == {"wide", "more", "deep"}


def test_the_same_training_said_at_another_place_is_no_difference(plans: Path) -> None:
    said = OLD.replace(", batch: 4", "").replace("train: {steps", "train: {batch: 4, steps")
    Path("said.grow.yaml").write_text(
        said.replace("{for: 2M tokens}", "{for: 2000k tokens, batch: 4}"), encoding="utf-8"
    )
    result = run("diff", "old.grow.yaml", "said.grow.yaml", "--exit-code")
    assert (result.exit_code, "no difference" in result.stdout) == (0, True)


def test_steps_that_go_into_stages(plans: Path) -> None:
    staged = A.replace("steps:\n", "stages:\n- name: one\n  steps:\n").replace("  - ", "    - ")
    Path("staged.grow.yaml").write_text(staged, encoding="utf-8")
    data = document("diff", "a.grow.yaml", "staged.grow.yaml")
    assert [edit["action"] for edit in data["stages"]] == ["added"]
    written = [edit for edit in data["edits"] if edit["new"]["implied"] is None]
    assert [edit["changes"] for edit in written] == [[{"field": "stage", "old": None, "new": "one"}]] * 3
    assert run("diff", "staged.grow.yaml", "a.grow.yaml").exit_code == 0


def test_textconv(plans: Path, golden: Golden) -> None:
    golden(run("textconv", "old.grow.yaml").stdout)


WIDE, DEEP, ALL = OLD[OLD.index("  - name: wide") :].replace("  - name: deep", "|  - name: deep").replace(
    "  - {name: all", "|  - {name: all"
).split("|")  # fmt: skip
MORE = "  - {name: more, steps: [mask-in ffn x2 over 20 steps], train: {for: 100 steps}}\n"
EDITS = {
    "added": OLD.replace(ALL, MORE + ALL),
    "removed": OLD.replace(DEEP, ""),
    "renamed": OLD.replace("name: wide", "name: broad"),
    "reordered": OLD.replace(WIDE + DEEP, DEEP + WIDE),
    "another rate": OLD.replace("lr: 5e-4", "lr: 3e-4"),
    "other parts frozen": OLD.replace("train-only: new-layers", "freeze: layers 0:3"),
    "not trained": OLD.replace("    train-only: new-layers\n    train: {steps: 200, lr: 5e-4}\n", ""),
    "joined": OLD.replace(DEEP, "").replace("via fpi]", "via fpi, stack depth x2]"),
}


def test_each_edit(plans: Path, golden: Golden) -> None:
    """Only what was edited is marked; what it comes to stands below it."""
    said = []
    for name, text in EDITS.items():
        assert text != OLD
        Path("edited.grow.yaml").write_text(text, encoding="utf-8")
        found = run("diff", "old.grow.yaml", "edited.grow.yaml").stdout
        said.append(f"# {name}\n\n{found}")
        back = document("diff", "edited.grow.yaml", "old.grow.yaml")
        there = document("diff", "old.grow.yaml", "edited.grow.yaml")
        assert len(back["tensors"]) == len(there["tensors"])
        marked = {edit["action"] for edit in there["stages"]} - {"kept"}
        opposite = {"added": "removed", "removed": "added"}
        assert {edit["action"] for edit in back["stages"]} - {"kept"} == {opposite.get(a, a) for a in marked}
    golden("\n".join(said))


def test_steps_that_go_into_a_stage_make_the_same_tensors(plans: Path) -> None:
    steps = "source: ./gpt2\nsteps: [widen hidden x2 via fpi]\n"
    Path("steps.grow.yaml").write_text(steps, encoding="utf-8")
    staged = steps.replace("steps: [", "stages: [{name: one, steps: [").replace("]", "]}]")
    Path("staged.grow.yaml").write_text(staged, encoding="utf-8")
    assert document("diff", "steps.grow.yaml", "staged.grow.yaml")["tensors"] == []
    assert document("diff", "staged.grow.yaml", "steps.grow.yaml")["tensors"] == []


def test_a_plan_that_only_one_side_has_lists_what_its_growth_makes(plans: Path) -> None:
    added = document("diff", "old.grow.yaml", "new.grow.yaml")["tensors"]
    Path("none.grow.yaml").write_text(
        "source: ./gpt2\nstages:\n  - {name: all, train: {on: c.txt, for: 3 steps}}\n", encoding="utf-8"
    )
    found = document("diff", "none.grow.yaml", "old.grow.yaml")["tensors"]
    assert added and {change["stage"] for change in found} == {"wide", "deep"}
    deep = [change for change in found if change["stage"] == "deep"]
    assert {(change["status"], tuple(change["layers"])) for change in deep} == {("added", (3, 4, 5))}
    wide = {change["name"]: change for change in found if change["stage"] == "wide"}
    assert wide["transformer.wte.weight"]["shape_old"] == "f32[31, 48]"
    assert wide["transformer.wte.weight"]["shape_new"] == "f32[31, 96]"


# matching ------------------------------------------------------------------------------------------------


def facts(words: str) -> tuple[StageFacts, ...]:
    """`a:x,y=3` is stage a with steps x and y, trained for 3 steps."""
    found = []
    for index, word in enumerate(words.split(), 1):
        word, _, length = word.partition("=")
        name, _, steps = word.partition(":")
        ids = tuple(filter(None, steps.split(",")))
        found.append(StageFacts(name, index, word, ids, (("length", length),)))
    return tuple(found)


def brief(edit: StageEdit) -> str:
    if isinstance(edit, Removed):
        return f"-{edit.old.name}"
    if isinstance(edit, Added):
        return f"+{edit.new.name}"
    renamed = edit.new.name if edit.old.name == edit.new.name else f"{edit.old.name}→{edit.new.name}"
    return (">" if isinstance(edit, Moved) else "" if isinstance(edit, Kept) else "~") + renamed


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("a=1 b:x=2", "a=1 b:x=2", "a b"),
        ("a=1 b:x=2", "a=1 b:x=3", "a ~b"),
        ("a=1 b:x=2", "b:x=2 a=1", "b >a"),
        ("a=1 b:x=2", "c=1 b:x=2", "~a→c b"),
        ("a=1 b:x=2", "a=1 c:x,y=5", "a ~b→c"),
        ("a=1 b:x=2", "c=9 b:x=2", "~a→c b"),
        ("a=1 b:x=2", "b:x=2 c=9", "-a b +c"),
        ("a:x=1", "b:y=2", "-a +b"),
        ("", "a=1", "+a"),
    ],
)
def test_stages_are_one_by_name_then_by_what_they_are(old: str, new: str, expected: str) -> None:
    found = [brief(edit) for edit in stage_edits(facts(old), facts(new))]
    assert sorted(found) == sorted(expected.split())
