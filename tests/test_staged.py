"""Applying one stage of a plan, from the checkpoint that the stage before has left."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from growplan.apply import ApplyResult, apply
from growplan.checkpoint.growth import Parent
from growplan.checkpoint.growth_reader import read_growth
from growplan.checkpoint.verify import verify
from growplan.diagnostics import Diagnostic, DiagnosticError
from growplan.language import plan_hash
from growplan.language.plan import Plan, Stage, Train
from growplan.pipeline import compile_plan, stage_plan
from growplan.runtime import attach
from growplan.staged import begin_stage
from growplan.views.record import LogReport
from growplan.views.style import PLAIN
from tests.check.test_stages import steps
from tests.tiny import tiny_checkpoint

TRAINED = Train(steps=20)
PLAN = Plan(
    source="source",
    train=Train(on="corpus.txt", options={"batch": 2, "tokens": 8}),
    stages=(
        Stage(name="small", train=TRAINED),
        Stage(name="wide", steps=steps("mask-in ffn x2 over 20 steps", "wide"), train=TRAINED),
        Stage(name="deep", steps=steps("stack depth x2 via mslt", "deep"), train=TRAINED),
    ),
)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint("gpt2", tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def wide(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What stage `wide` makes, before it is trained."""
    out = tmp_path_factory.mktemp("run") / "wide"
    grown("wide", out, source, source)
    return out


def grown(stage: str, out: Path, source: Path, begin: Path | None) -> ApplyResult:
    return apply(PLAN, out, model_dir=source, stage=stage, begin=begin, stock=False)


def refused(stage: str, source: Path, begin: Path | None) -> Diagnostic:
    with pytest.raises(DiagnosticError) as error:
        begin_stage(PLAN, stage, begin, model_dir=source)
    (found,) = error.value.diagnostics
    assert found.help
    return found


def ended(wide: Path, out: Path) -> Path:
    """The checkpoint as if its mask had risen and been saved plain."""
    import transformers

    model = transformers.GPT2LMHeadModel.from_pretrained(wide)
    attached = attach(model, wide)
    attached.at(20)
    attached.finish()
    model.save_pretrained(out)
    shutil.copyfile(wide / "growth.json", out / "growth.json")
    return out


def test_one_stage_after_the_other(source: Path, wide: Path, tmp_path: Path) -> None:
    deep = tmp_path / "deep"
    result = grown("deep", deep, source, ended(wide, tmp_path / "trained"))
    assert result.typed.target.sizes["ffn"] == 384 and result.typed.target.depth == 4
    assert not verify(deep)


def test_lineage_is_recorded_and_shown(source: Path, wide: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep"
    grown("deep", out, source, ended(wide, tmp_path / "trained"))
    growth = read_growth(out)
    assert growth is not None and growth.parent is not None
    said = {"name": "deep", "index": 3, "of": 3, "plan_hash": plan_hash(PLAN)}
    assert growth.extra["stage"] == said
    assert (growth.stage, growth.parent.stage) == ("deep", "wide")
    text = LogReport("deep", growth).human(PLAIN)
    assert "stage deep" in text and "stage wide" in text
    assert text.index("stage deep") < text.index("stage wide")


def test_what_a_stage_was_trained_on_is_shown(source: Path, wide: Path, tmp_path: Path) -> None:
    growth = read_growth(ended(wide, tmp_path / "trained"))
    assert growth is not None
    facts = {
        "stage": "wide",
        "steps": 20,
        "data": "corpus.txt",
        "tokens": 320,
        "flops": 7 * 10**8,
        "held_out": 2.5,
    }
    text = LogReport("d", replace(growth, extra={"trained": facts})).human(PLAIN)
    assert "20 steps on corpus.txt, 320 tokens, 700M FLOPs, held-out loss 2.5" in text
    assert "held-out" not in LogReport("d", replace(growth, extra={"trained": {"held_out": "x"}})).human(
        PLAIN
    )


def test_growth_json_without_a_stage_is_read_as_before(source: Path, wide: Path, tmp_path: Path) -> None:
    old = ended(wide, tmp_path / "old")
    document = json.loads((old / "growth.json").read_text())
    del document["extra"]["stage"]
    document["parent"] = {
        "growth_sha256": "0",
        "plan_hash": "1",
        "claim": "exact",
        "steps": [],
        "parent": None,
    }
    (old / "growth.json").write_text(json.dumps(document))
    growth = read_growth(old)
    assert growth is not None and growth.parent is not None
    assert (growth.stage, growth.parent.stage, growth.parent.trained) == ("", "", {})


def test_what_earlier_stages_were_trained_on_is_shown_as_far_as_it_is_recorded(
    source: Path, wide: Path, tmp_path: Path
) -> None:
    growth = read_growth(ended(wide, tmp_path / "trained"))
    assert growth is not None
    facts = {"steps": 20, "data": "corpus.txt", "tokens": 320, "flops": 7 * 10**8, "held_out": 2.5}
    first = Parent("0", "1", "trained", (), stage="small", trained=facts)
    last = replace(growth, claim="trained", extra={"trained": {**facts, "stage": "wide"}}, parent=first)
    text = LogReport("d", last).human(PLAIN)
    assert text.count("20 steps on corpus.txt, 320 tokens, 700M FLOPs, held-out loss 2.5") == 2
    assert "trained in all: 40 steps, 640 tokens, 1.40G FLOPs" in text
    older = LogReport("d", replace(last, parent=replace(first, trained={}))).human(PLAIN)
    assert "stage small" in older and "in all" not in older


def test_a_training_in_the_lineage_that_is_no_object_is_refused(
    source: Path, wide: Path, tmp_path: Path
) -> None:
    wrong = ended(wide, tmp_path / "wrong")
    document = json.loads((wrong / "growth.json").read_text())
    parent = {"growth_sha256": "0", "plan_hash": "1", "claim": "trained", "steps": [], "parent": None}
    document["parent"] = {**parent, "trained": [1]}
    (wrong / "growth.json").write_text(json.dumps(document))
    with pytest.raises(DiagnosticError) as error:
        read_growth(wrong)
    assert error.value.diagnostics[0].code == "GP450" and "parent.trained" in str(error.value)


def test_the_first_growth_begins_with_the_source_only_as_the_first_stage(source: Path) -> None:
    found = refused("wide", source, None)
    assert found.code == "GP598" and "`small`" in found.message
    first = Plan(source="source", train=PLAN.train, stages=PLAN.stages[1:])
    assert begin_stage(first, "wide", model_dir=source)[1] == source


def test_another_model_is_refused_with_both_sizes(source: Path, tmp_path: Path) -> None:
    found = refused("deep", source, source)
    assert found.code == "GP598" and "192" in found.message and "384" in found.message
    bert = refused("wide", source, tiny_checkpoint("bert", tmp_path))
    assert bert.code == "GP598" and "family" in bert.message and bert.notes


def test_a_checkpoint_whose_masks_have_not_risen_is_refused(source: Path, wide: Path) -> None:
    found = refused("deep", source, wide)
    assert found.code == "GP588" and "wide0" in found.message
    assert "runtime export" not in str(found.help)  # it refuses what a stock load computes


def test_a_stage_that_grows_nothing_and_one_that_is_none(source: Path) -> None:
    assert refused("small", source, None).code == "GP597"
    assert refused("huge", source, None).code == "GP597"
    with pytest.raises(DiagnosticError, match="no stages"):
        stage_plan(Plan(source="x", steps=steps("widen ffn x2")), "wide")


def test_a_stage_alone_asks_for_a_target(source: Path) -> None:
    with pytest.raises(DiagnosticError) as error:
        apply(PLAN, model_dir=source, stage="wide", begin=source)
    (found,) = error.value.diagnostics
    assert found.code == "GP131" and found.help == ("give `--out DIR`",)


def test_the_first_growth_alone_has_a_source() -> None:
    assert stage_plan(PLAN, "small").source == "source"
    with pytest.raises(DiagnosticError) as error:
        compile_plan(stage_plan(PLAN, "wide"))
    assert [d.code for d in error.value.diagnostics] == ["GP130"]


def test_the_whole_is_no_one_growth(source: Path) -> None:
    with pytest.raises(DiagnosticError) as error:
        compile_plan(PLAN, model_dir=source)
    (found,) = error.value.diagnostics
    assert found.code == "GP594" and "--stage wide" in found.help[1]
