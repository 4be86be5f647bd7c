"""Applying plans: what is written, what is recorded, and that nothing of the user's is touched."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from growplan.apply import apply
from growplan.backend.segments import segments
from growplan.checkpoint.files import file_sha256
from growplan.checkpoint.verify import verify
from growplan.cli.progress import phase
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.publish import Event
from growplan.views.apply import ApplyReport
from growplan.views.style import Style
from tests.tiny import tiny_checkpoint

STEPS = "widen hidden 48→72 via fpi; stack depth x2; mask-in heads; widen ffn x2"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint("gpt2", tmp_path_factory.mktemp("apply") / "source")


def grow(source: Path, out: Path, steps: str = STEPS, **kwargs: object) -> dict[str, str]:
    """Apply and return name -> sha256 of every file written."""
    apply(parse_text(steps, "p.grow", "dsl"), out, model_dir=source, **{"stock": False, **kwargs})  # type: ignore[arg-type]
    return {p.name: file_sha256(p) for p in sorted(out.iterdir()) if p.is_file()}


def test_the_result_verifies_and_loads_clean(source: Path, tmp_path: Path) -> None:
    grow(source, tmp_path / "out", stock=True)
    assert verify(tmp_path / "out") == []
    record = json.loads((tmp_path / "out/growth.json").read_text())
    (stock,) = record["extra"]["stock"]
    assert stock["output"] == "logits"
    assert [s["id"] for s in record["steps"]] == ["widen-hidden", "stack-depth", "mask-in-heads", "widen-ffn"]
    assert record["claim"] == "none"


def test_what_is_told_on_the_way(source: Path, tmp_path: Path) -> None:
    """Progress counts layers over all steps; the report tells storing from computing."""
    events: list[Event] = []
    plan = parse_text(STEPS, "p.grow", "dsl")
    result = apply(plan, tmp_path / "out", model_dir=source, stock=True, progress=events.append)
    kinds = list(dict.fromkeys(event.kind for event in events))
    assert kinds == ["assert", "step", "write", "compare", "segments", "stock", "publish"]
    asserted = [event for event in events if event.kind == "assert"]
    assert phase(asserted[0]) == "asserting step 1 of 4"
    counts = [event.done for event in asserted]
    assert counts == sorted(counts) and counts[0] == 0
    assert counts[-1] == asserted[-1].total == 2 + 4 + 4 + 4
    assert all(phase(event) for event in events if event.kind != "step")

    exact = apply(parse_text("widen ffn x2", "p.grow", "dsl"), tmp_path / "two", model_dir=source, stock=True)
    report = " ".join(ApplyReport(exact, "p.grow").human(Style()).split())
    assert "as stored in F32, computed in float64: logits off by" in report
    assert "by the stock transformers class, computed in F32, nothing missing; logits off by" in report
    assert "what storing in F32 rounds is measured above, and by `loaded` what computing in it" in report
    alone = " ".join(ApplyReport(replace(exact, stock=None), "p.grow").human(Style()).split())
    assert "computing in F32 rounds on top" in alone and "`loaded`" not in alone
    assert result.typed.claim.strength == "none"


def test_segments_are_source_against_result(source: Path, tmp_path: Path) -> None:
    grow(source, tmp_path / "out")
    found = json.loads((tmp_path / "out/growth.json").read_text())["segments"]
    assert [s["steps"] for s in found] == [["widen-hidden"], ["stack-depth"], ["mask-in-heads", "widen-ffn"]]
    assert [s["claim"] for s in found] == ["exact", "none", "exact"]
    relative = [s["measured"]["output_max_abs"] / s["measured"]["output_spread"] for s in found]
    assert relative[0] < 1e-5 and relative[2] < 1e-5
    assert relative[1] > 1e-2


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
@pytest.mark.parametrize(
    "steps", ["widen hidden 48→72; widen ffn x2", "mask-in ffn 192→200", "widen ffn x2 via bert2bert"]
)
def test_what_is_recorded_is_what_is_stored(dtype: str, steps: str, tmp_path: Path) -> None:
    """The certificate's error, measured again from both directories."""
    from tests.matrix.run import by_interpreter

    source = tiny_checkpoint("gpt2", tmp_path / "source", dtype=dtype)
    grow(source, tmp_path / "out", steps)
    (segment,) = json.loads((tmp_path / "out/growth.json").read_text())["segments"]
    ids = torch.randint(0, 31, (8, 20), generator=torch.Generator().manual_seed(1))
    a, b = (by_interpreter(d, ids)["logits"] for d in (source, tmp_path / "out"))
    found = float((a - b).abs().max())
    recorded = segment["measured"]["output_max_abs"]
    assert found / 5 <= recorded <= found * 5 or max(found, recorded) < 1e-12


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ([], []),
        (["exact"], [(0, 1)]),
        (["exact", "approximate", "exact (old vocab)"], [(0, 3)]),
        (["none", "none"], [(0, 1), (1, 2)]),
        (["exact", "none", "exact", "exact"], [(0, 1), (1, 2), (2, 4)]),
    ],
)
def test_segments(claims: list[str], expected: list[tuple[int, int]]) -> None:
    assert segments(claims) == expected


def test_the_same_plan_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    """Whatever the threads and the memory budget."""
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        a = grow(source, tmp_path / "a")
        torch.set_num_threads(2)
        b = grow(source, tmp_path / "b", memory=20_000)
    finally:
        torch.set_num_threads(threads)
    for name in ("model.safetensors", "config.json"):
        assert a[name] == b[name]
    other = grow(source, tmp_path / "c", "seed 1\n" + STEPS)
    assert other["model.safetensors"] != a["model.safetensors"]


def test_an_existing_target_is_not_touched(source: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("mine")
    with pytest.raises(DiagnosticError, match="GP401"):
        grow(source, tmp_path / "out")
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_failed_assertion_publishes_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from growplan.backend import kernels
    from growplan.ir.primitives import ZeroOut

    real = kernels.KERNELS[ZeroOut]
    monkeypatch.setitem(kernels.KERNELS, ZeroOut, lambda *args: real(*args) + 1e-3)
    with pytest.raises(DiagnosticError, match="GP50"):
        grow(source, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_source_stays_as_it_was(source: Path, tmp_path: Path) -> None:
    before = {p.name: file_sha256(p) for p in source.iterdir()}
    grow(source, tmp_path / "out")
    assert {p.name: file_sha256(p) for p in source.iterdir()} == before
    with pytest.raises(DiagnosticError, match="GP40"):
        grow(source, source / "inside")


def test_growing_a_grown_model_records_its_parent(source: Path, tmp_path: Path) -> None:
    grow(source, tmp_path / "one", "widen ffn x2")
    grow(tmp_path / "one", tmp_path / "two", "deepen depth x2")
    record = json.loads((tmp_path / "two/growth.json").read_text())
    assert record["parent"]["steps"] == ["widen ffn 192→384 via fpi"]
    assert record["parent"]["growth_sha256"] == file_sha256(tmp_path / "one/growth.json")


def test_a_config_alone_cannot_be_applied(source: Path, tmp_path: Path) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare/config.json").write_bytes((source / "config.json").read_bytes())
    with pytest.raises(DiagnosticError, match="GP413"):
        grow(tmp_path / "bare", tmp_path / "out")


def test_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    result = apply(parse_text(STEPS, "p.grow", "dsl"), tmp_path / "out", model_dir=source, dry_run=True)
    assert result.dry_run and result.bytes_written > 0
    assert list(tmp_path.iterdir()) == []


def flip_a_bit(out: Path, source: Path) -> None:
    data = bytearray((out / "model.safetensors").read_bytes())
    data[-2] ^= 0x40
    (out / "model.safetensors").write_bytes(data)


def touch(out: Path, source: Path) -> None:
    os.utime(source / "model.safetensors", ns=(1, 1))


@pytest.mark.parametrize(("damage", "code"), [(flip_a_bit, "GP506"), (touch, "GP425")])
def test_what_changes_while_it_is_written_is_noticed(
    damage: Callable[[Path, Path], None], code: str, tmp_path: Path
) -> None:
    """In the result, or in the source after it was read: nothing is published."""
    source = tiny_checkpoint("gpt2", tmp_path / "source")

    def progress(event: Event) -> None:
        if event.kind == "write" and 0 < event.total == event.done:
            damage(tmp_path / "out.partial", source)

    with pytest.raises(DiagnosticError, match=code):
        grow(source, tmp_path / "out", "mask-in ffn 192→200", progress=progress)
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


def test_room_for_what_is_carried_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from growplan import apply as module

    source = tiny_checkpoint("gpt2", tmp_path / "source")
    asked: list[int] = []
    monkeypatch.setattr(
        module, "check_target", lambda path, *, needed_bytes, **_: asked.append(needed_bytes) or Path(path)
    )
    for _ in range(2):
        apply(parse_text("widen ffn x2", "p.grow", "dsl"), tmp_path / "o", model_dir=source, dry_run=True)
        (source / "tokenizer.json").write_bytes(bytes(3_000_000))
    assert asked[1] - asked[0] == 3_000_000
    assert asked[0] > (source / "model.safetensors").stat().st_size


def test_a_pooling_module_follows_the_width(tmp_path: Path) -> None:
    source = tiny_checkpoint("bert", tmp_path / "source")
    (source / "modules.json").write_text('[{"idx": 0, "path": ""}, {"idx": 1, "path": "1_Pooling"}]')
    (source / "1_Pooling").mkdir()
    (source / "1_Pooling/config.json").write_text('{"word_embedding_dimension": 48}')
    grow(source, tmp_path / "out", "widen hidden 48→96 via fpi")
    assert json.loads((tmp_path / "out/1_Pooling/config.json").read_text()) == {
        "word_embedding_dimension": 96
    }
    assert verify(tmp_path / "out") == []


def test_the_report_names_what_stays_behind(tmp_path: Path) -> None:
    from growplan.views.apply import ApplyReport
    from growplan.views.style import Style

    source = tiny_checkpoint("gpt2", tmp_path / "source")
    (source / "pytorch_model.bin").write_bytes(b"old")
    plan = parse_text("widen ffn x2", "p.grow", "dsl")
    result = apply(plan, tmp_path / "out", model_dir=source, stock=False)
    text = ApplyReport(replace(result, leftover=tmp_path / "rest"), "p").human(Style())
    assert "not carried: pytorch_model.bin (the old weights again, in another format)" in text
    assert f"could not be deleted: {tmp_path / 'rest'}" in text


def test_a_family_file_of_another_model_is_found_by_transformers(tmp_path: Path) -> None:
    """Checker and interpreter share the file's mistake; the stock class does not."""
    from growplan.families import builtin_families

    text = Path(builtin_families()["llama"]).read_text()
    assert "attention(rope(q), rope(k), v" in text
    family = tmp_path / "no-rope.yaml"
    wrong = text.replace("attention(rope(q), rope(k), v", "attention(q, k, v")
    family.write_text(wrong.replace("carried: [", "carried: [rope_parameters, "))
    source = tiny_checkpoint("llama", tmp_path / "source")
    with pytest.raises(DiagnosticError, match="GP511"):
        grow(source, tmp_path / "out", "widen head_dim 8→12", family=family, stock=True)
    assert not (tmp_path / "out").exists()
    grow(source, tmp_path / "out", "widen head_dim 8→12", stock=True)
