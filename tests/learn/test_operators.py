"""`via ligo` from the plan to the published checkpoint: losses, records, resumption, mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import apply
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.learn.operators import OPERATOR
from growplan.learn.reading import read_corpus
from growplan.learn.resume import folder_of
from growplan.pipeline import check
from growplan.publish import Event
from growplan.views.apply import ApplyReport
from growplan.views.style import Style
from tests.learn.handmade import bound
from tests.tiny import tiny_checkpoint

TEXT = Path(__file__).parents[2] / "plans" / "data" / "austen.txt"
LINE = "grow hidden 48→64, heads 6→8, ffn 192→224, depth 2→3 via ligo on austen.txt for {steps} steps"


def gpt2(folder: Path, **config: Any) -> Path:
    return tiny_checkpoint("gpt2", folder, vocab_size=256, bos_token_id=0, eos_token_id=0, **config)


def plan_of(
    folder: Path, line: str, *, options: str = ", lr 0.01, batch 4, warmup 2", steps: int = 12
) -> Any:
    """A plan beside its data, both written into `folder`."""
    (folder / "austen.txt").write_bytes(TEXT.read_bytes())
    text = text_of(line, options, steps)
    (folder / "p.grow").write_text(text)
    return parsed(folder, text)


def text_of(line: str, options: str, steps: int) -> str:
    return f"source ./m\ntarget ./g\nseed 3\n{line.format(steps=steps)}{options}\n"


def parsed(folder: Path, text: str) -> Any:
    return parse_text(text, str(folder / "p.grow"), "dsl").read_from(str(folder / "p.grow"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, list[Event]]:
    folder = tmp_path_factory.mktemp("ligo")
    gpt2(folder / "m")
    events: list[Event] = []
    return folder, apply(plan_of(folder, LINE), progress=events.append), events


def test_a_fit_lowers_the_loss_that_the_written_checkpoint_has(run: tuple[Path, Any, list[Event]]) -> None:
    """Measured again through from_pretrained, on the batches that were held out."""
    import transformers

    folder, result, _ = run
    fitted = result.fitted[0]
    assert fitted.after < fitted.before - 0.5 and not result.findings
    model, info = transformers.GPT2LMHeadModel.from_pretrained(folder / "g", output_loading_info=True)
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    after, step = bound(folder / "g"), result.typed.steps[0]
    corpus = read_corpus(folder / "austen.txt", folder / "m", after, fitted.recipe, step.key)
    total = asked = 0.0
    with torch.no_grad():
        for batch in corpus.held_out():
            loss = model.eval()(batch.inputs, labels=batch.inputs).loss
            total, asked = total + float(loss) * batch.asked(), asked + batch.asked()
    assert total / asked == pytest.approx(fitted.after, rel=1e-5)


def test_the_record_says_what_was_fitted(run: tuple[Path, Any, list[Event]]) -> None:
    from hashlib import sha256

    from safetensors.torch import load_file

    folder, result, events = run
    record = json.loads((folder / "g" / "growth.json").read_text())
    fitted = record["extra"]["fitted"][0]
    assert (fitted["before"], fitted["after"]) == (result.fitted[0].before, result.fitted[0].after)
    assert fitted["recipe"]["lr"] == 0.01 and fitted["recipe"]["tokens"] == 24 and len(fitted["curve"]) == 12
    assert fitted["data_sha256"] == sha256(TEXT.read_bytes()).hexdigest()
    leaves = load_file(folder / "g" / OPERATOR)
    assert fitted["leaves"] == {n: sha256(x.numpy().tobytes()).hexdigest() for n, x in leaves.items()}
    assert fitted["parameters"] == sum(x.numel() for x in leaves.values())
    assert not verify(folder / "g") and not folder_of(folder / "g").exists()
    learned = [event for event in events if event.kind == "learn"]
    assert [event.done for event in learned] == list(range(13)) and learned[-1].total == 12
    text = ApplyReport(result, "p.grow").human(Style())
    assert f"{fitted['before']:.4f} → {fitted['after']:.4f} on what is held out" in text


def test_a_changed_operator_file_is_found(run: tuple[Path, Any, list[Event]], tmp_path: Path) -> None:
    import shutil

    shutil.copytree(run[0] / "g", tmp_path / "g")
    file = tmp_path / "g" / OPERATOR
    file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\0")
    assert [d.code for d in verify(tmp_path / "g")] == ["GP462"]


def test_a_grown_checkpoint_grows_again_without_the_old_operator(
    run: tuple[Path, Any, list[Event]], tmp_path: Path
) -> None:
    plan = parse_text(f"source {run[0] / 'g'}\ntarget {tmp_path / 'h'}\nstack depth x2", "p.grow", "dsl")
    result = apply(plan)
    assert not (tmp_path / "h" / OPERATOR).exists() and [left.path for left in result.left] == ["README.md"]


SCRIPT = """
import sys
from pathlib import Path
from growplan.apply import apply
from growplan.language import parse_text
path = Path(sys.argv[1]) / "p.grow"
apply(parse_text(path.read_text(), str(path), "dsl").read_from(str(path)), resume=sys.argv[2] == "resume")
"""


def start(folder: Path, how: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(folder), how], env={**os.environ, "PYTHONPATH": "."}
    )


def test_a_killed_fit_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        gpt2(folder / "m")
        plan_of(folder, LINE, steps=60)
    assert start(whole, "anew").wait() == 0
    run, state = start(killed, "anew"), folder_of(killed / "g") / "1.safetensors"
    while not state.exists() and run.poll() is None:
        time.sleep(0.005)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL and state.exists() and not (killed / "g").exists()
    assert start(killed, "resume").wait() == 0
    for name in ("model.safetensors", "config.json", OPERATOR):
        assert (whole / "g" / name).read_bytes() == (killed / "g" / name).read_bytes()
    records = [json.loads((f / "g" / "growth.json").read_text())["extra"]["fitted"] for f in (whole, killed)]
    assert records[0] == records[1] and not state.parent.exists()


def test_what_is_no_continuation_is_refused(tmp_path: Path) -> None:
    gpt2(tmp_path / "m")

    class Stopped(Exception):
        pass

    def stop(event: Event) -> None:
        if event.kind == "learn" and event.done == 21:
            raise Stopped

    with pytest.raises(Stopped):
        apply(plan_of(tmp_path, LINE, steps=30), progress=stop)
    assert folder_of(tmp_path / "g").exists() and not (tmp_path / "g").exists()
    other = plan_of(tmp_path, LINE, steps=31)
    with pytest.raises(DiagnosticError, match=r"GP535.*belongs to another run: plan changed"):
        apply(other, resume=True)
    own = tmp_path / "own.yaml"
    own.write_text(Path(bound(tmp_path / "m").family.path).read_text() + "# mine\n")
    with pytest.raises(DiagnosticError, match=r"GP535.*belongs to another run: family changed"):
        apply(plan_of(tmp_path, LINE, steps=30), resume=True, family=own)
    (tmp_path / "m" / "special_tokens_map.json").write_text("{}")
    with pytest.raises(DiagnosticError, match=r"GP535.*belongs to another run: source changed"):
        apply(plan_of(tmp_path, LINE, steps=30), resume=True)
    apply(other)  # anew
    static = parse_text(f"source {tmp_path / 'm'}\ntarget {tmp_path / 'h'}\nstack depth x2", "p.grow", "dsl")
    with pytest.raises(DiagnosticError, match=r"GP535.*fits nothing"):
        apply(static, resume=True)


def test_a_rising_loss_is_told_and_written(tmp_path: Path) -> None:
    gpt2(tmp_path / "m")
    result = apply(plan_of(tmp_path, LINE, options=", lr 0.5, warmup 0, batch 2", steps=3))
    assert [d.code for d in result.findings] == ["GP536"] and result.findings[0].severity == "warning"
    assert (tmp_path / "g").exists()


def test_little_data_is_told(tmp_path: Path) -> None:
    """Read many times over; held out, but drawn too. The checkpoint is written."""
    gpt2(tmp_path / "m")
    (tmp_path / "d.txt").write_text("It is a truth universally acknowledged, that a single man.\n" * 40)
    line = LINE.replace("austen.txt", "d.txt")
    result = apply(plan_of(tmp_path, line, options=", lr 0.01, batch 64", steps=32))
    (told,) = result.findings
    assert told.code == "GP560" and told.severity == "warning" and told.help
    assert [label for label, _ in told.notes] == ["read", "repeated"]
    assert (
        "each about 22 times" in told.notes[0][1]
        and "96 of the 118 tokens held out are drawn too" in told.notes[1][1]
    )
    assert "of which 96 stand among the others too" in ApplyReport(result, "p.grow").human(Style())


def test_check_says_that_a_file_is_too_short(tmp_path: Path) -> None:
    gpt2(tmp_path / "m")
    plan = plan_of(tmp_path, LINE.replace("austen.txt", "d.txt"))
    (tmp_path / "d.txt").write_text("short")
    with pytest.raises(DiagnosticError, match=r"GP531: .*d.txt has 5 bytes, too few for windows of 24"):
        check(plan)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (LINE.replace("austen.txt", "none.txt"), "GP521: there is no file"),
        (LINE + ", tokens 5000", None),
        ("widen ffn 192→200 via fpi; grow depth 2→3 via ligo on none.txt", "GP521"),
    ],
)
def test_mistakes_are_placed_at_the_data(tmp_path: Path, line: str, expected: str | None) -> None:
    gpt2(tmp_path / "m")
    plan = plan_of(tmp_path, line, options="", steps=1)
    if expected is None:
        assert apply(plan).fitted[0].recipe.tokens == 24
        return
    with pytest.raises(DiagnosticError, match=expected) as caught:
        apply(plan)
    span = caught.value.diagnostics[0].span
    assert span is not None and span.source.text[span.start : span.end] == "none.txt"


def test_a_learned_step_among_others(tmp_path: Path) -> None:
    """It is fitted on the model after it, whatever comes before and after."""
    gpt2(tmp_path / "m")
    line = (
        "widen ffn 192→208 via fpi\n"
        "grow hidden 48→56, heads 6→7, depth 2→3 via ligo on austen.txt for 3 steps, batch 2\n"
        "stack depth x2\n"
    )
    result = apply(plan_of(tmp_path, line, options=""))
    assert [len(result.fitted), result.typed.target.depth] == [1, 6]
    assert not verify(tmp_path / "g")


def test_half_precision_is_fitted_in_float32(tmp_path: Path) -> None:
    gpt2(tmp_path / "m", dtype="bfloat16")
    result = apply(plan_of(tmp_path, LINE, steps=4))
    assert result.fitted[0].after < result.fitted[0].before
    assert not verify(tmp_path / "g")


OTHERS: list[tuple[str, str | None, str]] = [
    ("bert", "BertForMaskedLM", ", mask 4"),
    ("vit", None, ""),
    ("llama", None, ""),
    ("mixtral", None, ""),
]


@pytest.mark.parametrize(("family", "architecture", "mask"), OTHERS)
def test_other_families_from_plan_to_checkpoint(
    tmp_path: Path, family: str, architecture: str | None, mask: str
) -> None:
    """Masked tokens with the plan's own mask, images, grouped queries, experts; loaded by the stock class."""
    import numpy as np

    source = tiny_checkpoint(family, tmp_path / "m", architecture=architecture)
    random, model = np.random.default_rng(0), bound(source)
    if model.inputs == "image":
        labels = random.integers(0, 2, 80)
        pixels = random.normal(size=(80, 2, 20, 20)) + labels[:, None, None, None]
        np.savez(tmp_path / "d.npz", images=pixels, labels=labels)
    else:
        (np.arange(900) * 7 % 31).astype("<u2").tofile(tmp_path / "d.bin")
    data = "d.npz" if model.inputs == "image" else "d.bin"
    kv = ", kv_heads 3→4" * ("kv_heads" in model.sizes)
    line = f"grow hidden 48→64, heads 6→8{kv}, ffn 80→96, depth 2→3 via ligo on {data} for 10 steps{mask}"
    result = apply(plan_of(tmp_path, line, options=", lr 0.01, batch 8"), stock=True)
    assert result.fitted[0].after < result.fitted[0].before
    assert result.stock is not None and not verify(tmp_path / "g")
