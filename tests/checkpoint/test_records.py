"""growth.json, the model card, and verify."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from growplan.checkpoint.card import base_model_name, card_text, front_matter, write_card
from growplan.checkpoint.files import file_sha256
from growplan.checkpoint.growth import (
    GROWTH,
    Growth,
    Hint,
    Parent,
    SegmentRecord,
    StepRecord,
    growth_text,
    write_growth,
)
from growplan.checkpoint.growth_reader import parent_of, read_growth
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from tests.checkpoint.made import failure, write_weights

STEP = StepRecord(
    id="wider",
    text="widen hidden 384→768 via fpi",
    claim="exact",
    proof="exact",
    reasons=("even copies",),
    measured={"law": 1.5e-7, "kl": 0.0},
)
GROWN = Growth(
    plan="growplan 1\nwiden hidden 384→768 via fpi\n",
    plan_hash="ab" * 32,
    seed=0,
    claim="exact",
    source="minilm",
    source_files={"model.safetensors": "cd" * 32},
    steps=(STEP,),
    tensors={},
    segments=(SegmentRecord(("wider",), "exact", {"logits_max_abs": 1e-6}),),
    versions={"growplan": "0.1.0"},
    hint=Hint(0.5, 200, "the copies have to part"),
    parent=Parent("ef" * 32, "01" * 32, "exact", ("stack depth 3→6",), Parent("1", "2", "none", ())),
)


def test_growth_comes_back_as_it_was_written(tmp_path: Path) -> None:
    write_growth(tmp_path, GROWN)
    assert read_growth(tmp_path) == GROWN
    text = (tmp_path / GROWTH).read_text()
    assert json.loads(text)["format_version"] == 1
    assert growth_text(GROWN) == text
    assert "Infinity" not in growth_text(replace(GROWN, extra={"kl": float("inf")}))


def test_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    measured = {"kl": float("inf"), "law": float("nan")}
    write_growth(tmp_path, replace(GROWN, steps=(replace(STEP, measured=measured),)))
    back = read_growth(tmp_path)
    assert back is not None
    assert str(back.steps[0].measured) == str(measured)


def test_no_growth_is_no_error(tmp_path: Path) -> None:
    assert read_growth(tmp_path) is None
    assert parent_of(tmp_path) is None


def test_lineage_names_the_parent(tmp_path: Path) -> None:
    path = write_growth(tmp_path, GROWN)
    parent = parent_of(tmp_path)
    assert parent == Parent(file_sha256(path), GROWN.plan_hash, "exact", (STEP.text,), GROWN.parent)


def test_a_newer_format_is_refused_at_its_line(tmp_path: Path) -> None:
    (tmp_path / GROWTH).write_text('{\n"format_version": 2}')
    diagnostic = failure(lambda: read_growth(tmp_path))
    assert diagnostic.code == "GP451"
    assert diagnostic.span is not None
    assert diagnostic.span.line == 2


@settings(max_examples=300)
@given(data=st.data())
def test_mutated_records_raise_nothing_but_diagnostics(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    document: Any = json.loads(growth_text(GROWN))
    junk = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=3)
        | st.just([])
        | st.just([1])
        | st.just({})
    )
    place, key = document, data.draw(st.sampled_from(sorted(document)))
    while isinstance(place[key], (dict, list)) and place[key] and data.draw(st.booleans()):
        place = place[key]
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
    place[key] = data.draw(junk)
    folder = tmp_path_factory.mktemp("records")
    (folder / GROWTH).write_text(json.dumps(document))
    try:
        growth = read_growth(folder)
    except DiagnosticError as error:
        assert error.diagnostics[0].code in ("GP450", "GP451")
        assert error.diagnostics[0].span is not None
        return
    assert growth is not None
    growth_text(growth)
    card_text(growth, folder, title="x")


# card --------------------------------------------------------------------------------------------

SOURCE_CARD = """---
license: apache-2.0
language: en
tags:
- sentence-transformers
- 'feature-extraction'
datasets:
- s2orc
base_model: somebody/else
widget:
  - text: hello
---
# MiniLM
"""


def test_front_matter_keeps_raw_blocks() -> None:
    blocks = front_matter(SOURCE_CARD)
    assert blocks["datasets"] == "datasets:\n- s2orc"
    assert blocks["license"] == "license: apache-2.0"
    assert front_matter("# no front matter") == {}
    assert front_matter("---\nnever: ends\n") == {}
    assert front_matter("") == {}


def test_the_card(tmp_path: Path) -> None:
    import yaml

    source = tmp_path / "all minilm"
    source.mkdir()
    (source / "README.md").write_text(SOURCE_CARD)
    text = card_text(GROWN, source, title="minilm-768")
    head = yaml.safe_load(text.split("---")[1])
    assert head == {
        "license": "apache-2.0",
        "language": "en",
        "datasets": ["s2orc"],
        "library_name": "transformers",
        "tags": ["sentence-transformers", "feature-extraction", "growplan"],
    }
    assert "# minilm-768" in text
    assert "Grown from a local checkpoint `all-minilm` with growplan." in text
    assert "| `widen hidden 384→768 via fpi` | exact | exact | law 1.5e-07, kl 0 |" in text
    assert "```\ngrowplan 1\nwiden hidden 384→768 via fpi\n```" in text
    assert "0.5× the usual peak learning rate with 200 warm-up steps" in text
    once = replace(GROWN, hint=Hint(1.0, 1, "x"))
    assert "with 1 warm-up step: x." in card_text(once, source, title="x")
    assert write_card(tmp_path, text).read_text() == text


def test_the_card_of_the_first_source_counts_after_a_second_growth(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")
    (tmp_path / "README.source.md").write_text("---\nlicense: apache-2.0\ntags: [a, yes, 'b c', d]\n---\n")
    text = card_text(GROWN, tmp_path, title="x")
    assert "license: apache-2.0" in text
    assert 'tags:\n- a\n- "yes"\n- d\n- growplan\n' in text


def test_base_model_names(tmp_path: Path) -> None:
    snapshot = tmp_path / "models--org--some-name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    assert base_model_name(snapshot) == "org/some-name"
    card = card_text(GROWN, snapshot, title="x")
    assert "base_model:\n- org/some-name\n" in card and "Grown from `org/some-name` with" in card
    assert base_model_name(tmp_path / "my model!") == "my-model"
    assert base_model_name(Path("/")) == "source"


# verify ------------------------------------------------------------------------------------------


@pytest.fixture
def grown(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text('{\n  "dtype": "float32"\n}')
    (tmp_path / "README.md").write_text("card")
    sums = write_weights(tmp_path, max_shard_bytes=50)
    files = {name: file_sha256(tmp_path / name) for name in ("config.json", "README.md")}
    write_growth(tmp_path, replace(GROWN, tensors=sums, files=files))
    return tmp_path


def _findings(folder: Path) -> list[tuple[str, str]]:
    return [(d.code, d.severity) for d in verify(folder)]


def test_an_untouched_checkpoint_has_no_findings(grown: Path) -> None:
    seen: list[tuple[int, int]] = []
    assert verify(grown, lambda done, total: seen.append((done, total))) == []
    assert seen[-1] == (66, 66)


def test_one_flipped_bit_is_found(grown: Path) -> None:
    path = grown / "model-00001-of-00002.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    (finding,) = verify(grown)
    assert finding.code == "GP462"
    assert "`a.weight`" in finding.message


def test_several_findings_come_together(grown: Path) -> None:
    (grown / "README.md").write_text("edited")
    (grown / "config.json").write_text('{\n  "dtype": "float16"\n}')
    (grown / ".growplan-partial").write_text("")
    assert _findings(grown) == [
        ("GP464", "error"),
        ("GP465", "warning"),
        ("GP462", "warning"),
        ("GP462", "error"),
    ]


def test_missing_and_extra_tensors(grown: Path) -> None:
    for path in grown.glob("model*"):
        path.unlink()
    write_weights(grown, {"a.weight": ("F32", (3, 4)), "new": ("F32", (1,))})
    assert _findings(grown) == [("GP461", "error")] * 3 + [("GP463", "error")]


def test_broken_parts_do_not_hide_others(grown: Path) -> None:
    (grown / "config.json").write_text("{")
    (grown / "model-00002-of-00002.safetensors").write_bytes(b"")
    (grown / GROWTH).write_text("[]")
    assert [code for code, _ in _findings(grown)] == ["GP301", "GP415", "GP450"]


def test_a_checkpoint_of_anybody_else(grown: Path) -> None:
    (grown / GROWTH).unlink()
    assert _findings(grown) == [("GP460", "error")]


def test_files_put_there_later_are_named(grown: Path) -> None:
    (grown / ".cache").mkdir()
    (grown / ".cache" / "lock").write_text("")
    (grown / ".gitattributes").write_text("")
    assert verify(grown) == []
    (grown / "sub").mkdir()
    (grown / "sub" / "modeling.py").write_text("")
    (grown / "pytorch_model.bin").write_text("")
    (finding,) = verify(grown)
    assert (finding.code, finding.severity) == ("GP466", "warning")
    assert finding.message == "not written by growplan: pytorch_model.bin, sub/modeling.py"


def test_a_missing_directory_is_no_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert failure(lambda: verify("missing")).help == ("check the path",)


def test_growth_cannot_name_files_outside(grown: Path) -> None:
    growth = read_growth(grown)
    assert growth is not None
    write_growth(grown, replace(growth, files={"../secret": "0", "/etc/passwd": "0"}))
    assert [code for code, _ in _findings(grown)] == ["GP450", "GP450", "GP466"]


def test_no_directory_is_an_error(tmp_path: Path) -> None:
    assert failure(lambda: verify(tmp_path / "none")).code == "GP400"
