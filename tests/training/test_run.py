"""What a run does and leaves: growth, masks, moments, batches, losses, the last model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import apply
from growplan.checkpoint.growth_reader import read_growth
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.verify import verify
from growplan.language import plan_hash
from growplan.learn.corpus import Tokens
from tests.training.runs import bytes_of, held_out, losses, read, run, write_plan, write_source

MASKED = """
{name: small, train: {for: 3 steps}}
{name: wide, steps: ["mask-in ffn 192→256 over 4 steps"], train: {for: 5 steps}}
"""


def weights(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    write_source(folder)
    return folder


@pytest.fixture(scope="module")
def masked(folder: Path) -> Any:
    return run(write_plan(folder, MASKED, "masked"), folder / "masked")


def test_history_of_a_masked_growth(masked: Any) -> None:
    lines = masked.history
    assert [line["kind"] for line in lines] == [
        *["begin", *["step"] * 3, "end"],
        *["growth", "begin", *["step"] * 5, "end"],
    ]
    steps = [line for line in lines if line["kind"] == "step"]
    assert [line["global_step"] for line in steps] == list(range(1, 9))
    assert [line["tokens"] for line in steps] == [48 * n for n in range(1, 9)]
    assert steps[-1]["flops"] == masked.schedule.flops and all(line["lr"] == 1e-3 for line in steps)
    masks = [line.get("masks", {}).get("mask-in-ffn") for line in steps]
    assert masks == [None, None, None, 0.0, 0.25, 0.5, 0.75, None]  # in force in the step; then it is gone
    before, after = held_out(masked, "wide", "growth")
    assert after == pytest.approx(before, rel=1e-6) == held_out(masked, "small", "end")
    assert held_out(masked, "wide", "end") < held_out(masked, "small", "begin")


def test_the_last_model_is_a_plain_checkpoint(masked: Any, folder: Path) -> None:
    import transformers

    last = masked.out / "02-wide" / "trained"
    assert {p.name for p in masked.model.iterdir()} == {
        *("README.md", "config.json", "generation_config.json", "growth.json", "model.safetensors")
    }
    assert (masked.model / "model.safetensors").read_bytes() == (last / "model.safetensors").read_bytes()
    assert verify(masked.model) == verify(last) == []
    model, info = transformers.GPT2LMHeadModel.from_pretrained(masked.model, output_loading_info=True)
    assert not any(info.values()) and model.config.n_inner == 256 and model.config.use_cache
    growth = read_growth(masked.model)
    assert growth is not None and growth.extra["trained"]["stage"] == "wide"
    lineage, parent = [growth.claim], growth.parent
    while parent is not None:
        lineage.append(parent.claim)
        parent = parent.parent
    assert lineage == ["trained", "exact", "trained"]  # wide, its growth, small


def test_the_plan_lies_beside_what_it_made(folder: Path, tmp_path: Path) -> None:
    """As it was given; where `--set` changed it, its lines."""
    plan = write_plan(folder, "{name: a, train: {for: 1 steps}}", "kept")
    out = run(plan, tmp_path / "run").out
    assert (out / "plan.grow.yaml").read_bytes() == plan.read_bytes() and not (out / "plan.grow").exists()
    run(plan, out, "a.steps=2", force=True)
    assert not (out / "plan.grow.yaml").exists()
    assert plan_hash(read(out / "plan.grow")) == plan_hash(read(plan, "a.steps=2"))


def test_batches_are_those_of_the_corpus_by_number(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []
    batch = Tokens.batch
    monkeypatch.setattr(Tokens, "batch", lambda self, step: (drawn.append(step), batch(self, step))[1])
    run(write_plan(folder, MASKED, "drawn"), folder / "drawn")
    assert drawn == list(range(8))


@pytest.mark.parametrize("dropout", ["none", "model"])
def test_stages_that_only_train_are_one_training(dropout: str, folder: Path, tmp_path: Path) -> None:
    """Batches, dropout and moments go on from one stage to the next: the same bytes as in one."""
    one = write_plan(folder, "{name: a, train: {for: 6 steps}}", f"one-{dropout}", dropout=dropout)
    two = write_plan(
        folder,
        "{name: a, train: {for: 2 steps}}\n{name: b, train: {for: 4 steps}}",
        f"two-{dropout}",
        dropout=dropout,
    )
    first, second = run(one, tmp_path / "one"), run(two, tmp_path / "two")
    assert losses(first) == losses(second)
    assert (first.model / "model.safetensors").read_bytes() == (
        second.model / "model.safetensors"
    ).read_bytes()


def test_stages_of_other_batches_hold_out_the_same_rows(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stage begins with the loss that the one before it ended with, and trains on nothing of it."""
    stages = """
{name: a, train: {for: 2 steps, batch: 2}}
{name: b, train: {for: 2 steps, batch: 6}}
{name: c, train: {for: 2 steps, batch: 3, tokens: 6}}
"""
    windows, starts, out = Tokens._windows, dict[str, set[int]](), dict[str, set[int]]()

    def seen(self: Tokens, at: Any, key: str, step: int) -> Any:
        into = out if key.endswith("held mask") else starts
        into.setdefault(f"{self.rows}", set()).update(n + i for n in at for i in range(self.length))
        return windows(self, at, key, step)

    monkeypatch.setattr(Tokens, "_windows", seen)
    found = run(write_plan(folder, stages, "batches", dropout="none"), tmp_path / "run")
    assert held_out(found, "b", "begin") == pytest.approx(held_out(found, "a", "end"), rel=1e-6)
    assert out["2"] == out["6"] and min(out["3"]) == min(out["2"]) and len(out["2"]) > 150
    drawn = set[int]().union(*starts.values())
    assert starts.keys() == out.keys() and max(drawn) < min(out["2"])


def test_dropout_is_on_where_the_plan_wants_it(folder: Path, tmp_path: Path) -> None:
    stages = "{name: a, train: {for: 1 steps}}"
    with_it = run(write_plan(folder, stages, "with", dropout="model"), tmp_path / "with")
    without = run(write_plan(folder, stages, "without", dropout="none"), tmp_path / "without")
    assert losses(with_it) != losses(without)
    assert held_out(with_it, "a", "begin") == held_out(without, "a", "begin")


@pytest.mark.parametrize("optimizer", ["grow", "reset"])
def test_moments_at_a_growth(optimizer: str, folder: Path, tmp_path: Path) -> None:
    stages = f"""
{{name: a, train: {{for: 2 steps}}}}
{{name: b, steps: ["widen ffn 192→384 via fpi, split even"], train: {{for: 1 steps, optimizer: {optimizer}}}}}
"""
    out = run(write_plan(folder, stages, optimizer), tmp_path / "run").out
    old, new = (
        torch.load(out / stage / "trained" / "optimizer.pt", weights_only=True)["state"]
        for stage in ("01-a", "02-b")
    )
    assert {float(state["step"]) for state in new.values()} == {3.0 if optimizer == "grow" else 1.0}
    shapes = {tuple(state["exp_avg"].shape) for state in new.values()}
    assert (48, 384) in shapes and len(old) == len(new)


def test_the_rate_after_a_growth_as_papers_have_it(folder: Path, tmp_path: Path) -> None:
    """200 steps after widening (staged training), 1 after stacking; no growth, no warm-up."""
    stages = """
{name: a, train: {for: 2 steps}}
{name: b, steps: ["widen ffn 192→384 via fpi"], train: {for: 3 steps}}
{name: c, steps: ["stack depth x2"], train: {for: 2 steps, schedule: linear}}
"""
    result = run(write_plan(folder, stages, "paper", warmup="paper"), tmp_path / "run")
    rates = [line["lr"] for line in result.history if line["kind"] == "step"]
    assert rates == pytest.approx([1e-3, 1e-3, 5e-6, 1e-5, 1.5e-5, 1e-3, 5e-4])
    old, new = (
        {name.removeprefix("transformer."): value for name, value in weights(result.out / path).items()}
        for path in ("02-b/grown", "02-b/trained")
    )
    moved = max(float((new[name] - value).abs().max()) for name, value in old.items())
    assert moved < 1.2 * sum(rates[2:5])  # AdamW moves a number by the rate at most, about
    plan = write_plan(folder, stages, "paper", warmup="paper")
    assert bytes_of(stopped_in_the_middle(plan, tmp_path / "again", at=2)) == bytes_of(result.out)


def test_new_layers_alone_are_trained(folder: Path, tmp_path: Path) -> None:
    stages = """
{name: deep, steps: [stack depth 2→4 via mslt], train-only: new-layers, train: {for: 2 steps}}
{name: all, train: {for: 2 steps}}
"""
    out = run(write_plan(folder, stages, "mslt"), tmp_path / "run").out
    grown = weights(out / "01-deep" / "grown")
    names = {name.removeprefix("transformer."): name for name in grown}

    def moved(stage: str, since: dict[str, torch.Tensor]) -> set[str]:
        now = {k.removeprefix("transformer."): v for k, v in weights(out / stage / "trained").items()}
        return {name for name, there in names.items() if not torch.equal(now[name], since[there])}

    new = {name for name in names if name.startswith(("h.2.", "h.3."))}
    assert moved("01-deep", grown) == new
    assert moved("02-all", grown) > new


def test_sub_models(folder: Path, tmp_path: Path) -> None:
    stages = "{name: a, train: {for: 6 steps, sub-models: 1}, train-only: [embeddings, head]}"
    result = run(write_plan(folder, stages, "sub"), tmp_path / "run")
    assert len(losses(result)) == 6 and held_out(result, "a", "end") < held_out(result, "a", "begin")


@pytest.mark.parametrize(
    ("family", "architecture", "data", "growth"),
    [
        ("bert", "BertForMaskedLM", "ids", "mask-in depth 2→3 over 2 steps"),
        ("llama", "LlamaForCausalLM", "ids", "mask-in ffn 80→120 over 2 steps"),
        ("llama", "LlamaForCausalLM", "ids", "mask-in hidden 48→72 over 2 steps"),
        ("vit", "ViTForImageClassification", "images", "widen ffn 80→120 via fpi"),
        ("bert", "BertForSequenceClassification", "labels", "widen ffn 80→120 via fpi"),
        ("mixtral", "MixtralForCausalLM", "ids", "deepen depth x2 via identity"),
    ],
)
def test_tasks_and_families(family: str, architecture: str, data: str, growth: str, tmp_path: Path) -> None:
    """Each to its end, and again from the middle to the same bytes."""
    import json

    import numpy as np

    sizes = {"intermediate_size": 80} if family in ("bert", "vit") else {}
    write_source(tmp_path, family, architecture=architecture, **sizes)
    random, given = np.random.default_rng(1), {"on": "data.npy"}
    if data == "images":
        np.savez(tmp_path / "x.npz", images=random.normal(size=(60, 2, 20, 20)), labels=np.arange(60) % 2)
        given = {"on": "x.npz"}
    if data == "labels":
        rows = [{"ids": random.integers(2, 31, 4 + i % 5).tolist(), "label": i % 2} for i in range(60)]
        (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
        given = {"on": "x.jsonl"}
    if architecture == "BertForMaskedLM":
        given["mask"] = "3"
    stages = f"""
{{name: a, train: {{for: 2 steps}}}}
{{name: b, steps: ["{growth}"], train: {{for: 4 steps}}}}
"""
    plan = write_plan(tmp_path, stages, **given)
    result = run(plan, tmp_path / "run")
    before, after = held_out(result, "b", "growth")
    assert after == pytest.approx(before, rel=1e-5)
    assert held_out(result, "b", "end") != after
    assert read_headers(result.model).dtypes == {"F32"}
    again = stopped_in_the_middle(plan, tmp_path / "again")
    assert bytes_of(again) == bytes_of(result.out)


def stopped_in_the_middle(plan: Path, out: Path, at: int = 3) -> Path:
    """A run that an exception ends behind step `at` of its second stage, and then the rest of it."""

    class Stop(Exception):
        pass

    def stop(step: Any) -> None:
        if step.kind == "step" and step.stage.index == 2 and step.done == at:
            raise Stop

    with pytest.raises(Stop):
        run(plan, out, progress=stop)
    seen: list[Any] = []
    run(plan, out, progress=seen.append)
    assert [(step.stage.name, step.done) for step in seen if step.resumed] == [("b", 2)] * (at > 2)
    return out


def test_half_precision_is_trained_in_float32_and_left_as_it_was(tmp_path: Path) -> None:
    write_source(tmp_path, dtype="bfloat16")
    result = run(write_plan(tmp_path, MASKED), tmp_path / "run")
    trained = result.out / "02-wide" / "trained"
    assert read_headers(trained).dtypes == {"F32"} and read_headers(result.model).dtypes == {"BF16"}
    a, b = weights(trained), weights(result.model)
    assert all(torch.equal(a[name].bfloat16(), b[name]) for name in a)
    assert verify(trained) == verify(result.model) == []


def test_a_stage_applied_by_itself_is_the_same_growth(masked: Any, folder: Path, tmp_path: Path) -> None:
    """What docs/training.md says of `apply --stage`."""
    grown = masked.out / "02-wide" / "grown"
    plan = read(folder / "masked.grow.yaml")
    start = masked.out / "01-small" / "trained"
    apply(plan, tmp_path / "grown", stage="wide", begin=start, optimizer="grow", stock=False)
    for name in (
        "model.safetensors",
        "config.json",
        "growth-state.json",
        "growth.json",
        "trainer_state.json",
    ):
        assert (tmp_path / "grown" / name).read_bytes() == (grown / name).read_bytes(), name
    old, new = (torch.load(path / "optimizer.pt") for path in (grown, tmp_path / "grown"))
    assert all(
        torch.equal(old["state"][i]["exp_avg_sq"], state["exp_avg_sq"]) for i, state in new["state"].items()
    )
