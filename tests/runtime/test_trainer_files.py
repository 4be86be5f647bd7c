"""`growplan apply --optimizer` on checkpoints as transformers' Trainer writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from growplan.apply import ApplyResult, apply
from growplan.checkpoint.verify import verify
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from growplan.runtime import record_frozen
from growplan.runtime.state_dict import OTHERS
from tests.cli.made import run
from tests.float64 import load_float64
from tests.matrix.run import inputs_for, write_source
from tests.runtime.gradients import BY_NAME, compiled_case
from tests.runtime.trained import frozen, named_state, save, train, trainer_optimizer

STEPS = "widen ffn 80→160 via fpi, split even; deepen depth x2 via identity"


@pytest.fixture
def module(tmp_path: Path) -> Any:
    source = write_source(BY_NAME["gpt2-tied"], tmp_path / "start")
    return load_float64(source, "GPT2LMHeadModel").float()


def checkpoint(module: Any, folder: Path, **options: Any) -> Path:
    """The module after three steps, as the Trainer would save it."""
    optimizer = trainer_optimizer(module, **options)
    train(module, optimizer, torch.arange(40).view(2, 20) % 31, 3)
    return save(module, optimizer, folder)


def grown(source: Path, target: Path, mode: Any, steps: str = STEPS, **options: Any) -> ApplyResult:
    plan = parse_text(steps, "<test>", "dsl")
    return apply(plan, target, model_dir=source, stock=False, optimizer=mode, **options)


def loaded(target: Path, frozen_words: tuple[str, ...] = ()) -> tuple[Any, torch.optim.AdamW]:
    """The grown model, and the Trainer's optimizer for it with the state that lies beside it."""
    import transformers

    new = transformers.GPT2LMHeadModel.from_pretrained(target)
    frozen(new, frozen_words)
    optimizer = trainer_optimizer(new)
    optimizer.load_state_dict(torch.load(target / "optimizer.pt", weights_only=True))
    return new, optimizer


def refused(source: Path, target: Path, mode: str = "grow") -> str:
    with pytest.raises(DiagnosticError) as error:
        grown(source, target, mode)
    (found,) = error.value.diagnostics
    assert found.help and not target.exists() and not target.with_name(target.name + ".partial").exists()
    return f"{found.code}: {found.message}"


def test_moments_go_to_the_parameters_that_the_trainer_numbers(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    result = grown(source, tmp_path / "target", "grow")
    assert result.optimizer is not None
    assert (result.optimizer.exact, result.optimizer.estimate, result.optimizer.reset) == (28, 0, 24)
    assert result.optimizer.from_step == 3
    old_state = torch.load(source / "optimizer.pt", weights_only=True)
    old = trainer_optimizer(module)
    old.load_state_dict(old_state)
    before = named_state(module, old)
    new, optimizer = loaded(tmp_path / "target")
    after = named_state(new, optimizer)
    assert torch.equal(
        after["transformer.wte.weight"]["exp_avg"], before["transformer.wte.weight"]["exp_avg"]
    )
    for layer, first in ((0, 0), (2, 1)):  # each old layer is followed by a silent one
        name = "transformer.h.{}.mlp.c_fc.weight"
        m, v = (before[name.format(first)][key] for key in ("exp_avg", "exp_avg_sq"))
        state = after[name.format(layer)]
        assert torch.equal(state["exp_avg"], torch.cat([m, m], 1) / 2)
        assert torch.equal(state["exp_avg_sq"], torch.cat([v, v], 1) / 4)
        assert float(state["step"]) == 3
        assert f"transformer.h.{layer + 1}.mlp.c_fc.weight" not in after
    train(new, optimizer, torch.arange(40).view(2, 20) % 31, 1)
    assert all(bool(p.isfinite().all()) for p in new.parameters())


def test_the_trainer_goes_on_with_schedule_and_state(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    result = grown(source, tmp_path / "target", "grow")
    target = tmp_path / "target"
    for name in ("scheduler.pt", "rng_state.pth"):
        assert (target / name).read_bytes() == (source / name).read_bytes()
    state = json.loads((target / "trainer_state.json").read_text())
    assert (state["global_step"], state["epoch"], state["best_model_checkpoint"]) == (3, 0.5, None)
    assert [left.path for left in result.left] == ["training_args.bin"]
    record = json.loads((target / "growth.json").read_text())
    assert record["extra"]["optimizer"]["mode"] == "grow"
    assert {"optimizer.pt", "scheduler.pt", "trainer_state.json"} <= set(record["files"])
    assert verify(target) == []


def test_reset_keeps_the_rates_and_begins_the_moments_anew(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    result = grown(source, tmp_path / "target", "reset")
    assert result.optimizer is not None and result.optimizer.reset == 52 and result.optimizer.exact == 0
    new, optimizer = loaded(tmp_path / "target")
    assert not optimizer.state
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.0]
    train(new, optimizer, torch.arange(40).view(2, 20) % 31, 1)


@pytest.mark.parametrize("mode", ["drop", None])
def test_drop_leaves_it_out_and_says_what_would_carry_it(module: Any, mode: str, tmp_path: Path) -> None:
    result = grown(checkpoint(module, tmp_path / "source"), tmp_path / "target", mode)
    assert result.optimizer is None and not (tmp_path / "target" / "optimizer.pt").exists()
    why = {left.path: left.why for left in result.left}
    assert set(why) >= {"optimizer.pt", "scheduler.pt", "trainer_state.json", "rng_state.pth"}
    assert ("--optimizer grow" in why["optimizer.pt"]) == (mode is None)


def test_one_group_of_all_parameters_is_known_too(module: Any, tmp_path: Path) -> None:
    optimizer = torch.optim.AdamW(module.parameters())
    train(module, optimizer, torch.arange(40).view(2, 20) % 31, 2)
    grown(save(module, optimizer, tmp_path / "source"), tmp_path / "target", "grow")
    import transformers

    new = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "target")
    plain = torch.optim.AdamW(new.parameters())
    plain.load_state_dict(torch.load(tmp_path / "target" / "optimizer.pt", weights_only=True))
    state, before = named_state(new, plain), named_state(module, optimizer)
    name = "transformer.h.0.ln_1.weight"
    assert torch.equal(state[name]["exp_avg"], before[name]["exp_avg"])


def test_frozen_parameters_are_not_numbered(module: Any, tmp_path: Path) -> None:
    names = frozen(module, ("wte", "wpe", "h.0."))
    source = checkpoint(module, tmp_path / "source")
    assert refused(source, tmp_path / "target").startswith("GP573")
    record_frozen(source, names)
    result = grown(source, tmp_path / "target", "grow")
    assert result.optimizer is not None and set(result.optimizer.frozen) == set(names)
    old = trainer_optimizer(module)
    old.load_state_dict(torch.load(source / "optimizer.pt", weights_only=True))
    new, optimizer = loaded(tmp_path / "target", ("wte", "wpe", "h.0."))  # of each old layer's two, h.0 is it
    before, after = named_state(module, old), named_state(new, optimizer)
    m = before["transformer.h.1.ln_1.weight"]["exp_avg"]
    assert torch.equal(after["transformer.h.2.ln_1.weight"]["exp_avg"], m)
    record = json.loads((tmp_path / "target" / "growth-frozen.json").read_text())
    assert record == {"frozen": sorted(names)} and verify(tmp_path / "target") == []
    (source / "growth-frozen.json").write_text('{"frozen": 3}', encoding="utf-8")
    assert refused(source, tmp_path / "again").startswith("GP577")


# what is refused -----------------------------------------------------------------------------------------


def test_no_state_at_all_or_in_parts(module: Any, tmp_path: Path) -> None:
    source = tmp_path / "source"
    module.save_pretrained(source)
    assert refused(source, tmp_path / "target") == f"GP570: there is no optimizer's state in {source}"
    (source / "global_step3").mkdir()
    assert "is not one `optimizer.pt`" in refused(source, tmp_path / "target")


@pytest.mark.parametrize("text", [b"", b"no pickle", b"\x80\x04cos\nsystem\n."])
def test_anything_but_tensors_is_never_unpickled(module: Any, text: bytes, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    (source / "optimizer.pt").write_bytes(text)
    assert refused(source, tmp_path / "target").startswith("GP571")


@pytest.mark.parametrize("state", [3, {}, {"state": {}}, {"state": {}, "param_groups": [{"lr": 1}]}])
def test_what_is_no_state_dict(module: Any, state: object, tmp_path: Path) -> None:
    source = save(module, trainer_optimizer(module), tmp_path / "source")
    torch.save(state, source / "optimizer.pt")
    assert refused(source, tmp_path / "target").startswith("GP571")


KINDS = [(mark, name) for mark, name in OTHERS if mark in ("qmap1", "exp_avg_sq_row", "momentum_buffer")]


@pytest.mark.parametrize(("mark", "name"), [*KINDS, ("exp_avg", "Lion"), ("x", "not known")])
def test_other_optimizers_are_refused_by_name(module: Any, mark: str, name: str, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    state = torch.load(source / "optimizer.pt", weights_only=True)
    state["state"] = {number: {mark: torch.zeros(3)} for number in state["state"]}
    torch.save(state, source / "optimizer.pt")
    said = refused(source, tmp_path / "target")
    assert said.startswith("GP572") and name in said


def test_state_of_another_model(module: Any, tmp_path: Path) -> None:
    """Of as many parameters and another shape; of fewer parameters; with two swapped."""
    source = checkpoint(module, tmp_path / "source")
    whole = torch.load(source / "optimizer.pt", weights_only=True)
    state = {**whole, "state": {**whole["state"], 0: whole["state"][1], 1: whole["state"][0]}}
    torch.save(state, source / "optimizer.pt")
    assert refused(source, tmp_path / "target").startswith("GP574: `exp_avg` of `transformer.wte.weight`")
    groups = [{**whole["param_groups"][0], "params": [0, 1]}, whole["param_groups"][1]]
    torch.save({**whole, "param_groups": groups}, source / "optimizer.pt")
    assert refused(source, tmp_path / "target").startswith("GP573")


def test_a_broken_trainer_state(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    (source / "trainer_state.json").write_text("{", encoding="utf-8")
    assert refused(source, tmp_path / "target").startswith("GP576")


def test_a_dry_run_reads_the_state_too(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    assert grown(source, tmp_path / "target", "grow", dry_run=True).dry_run
    (source / "optimizer.pt").write_bytes(b"")
    with pytest.raises(DiagnosticError, match="GP571"):
        grown(source, tmp_path / "target", "grow", dry_run=True)


def test_running_averages_are_named(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    (source / "model_ema.safetensors").write_bytes(b"x")
    why = {left.path: left.why for left in grown(source, tmp_path / "target", "grow").left}
    assert "running average" in why["model_ema.safetensors"]


def test_experts_that_are_packed_in_memory(tmp_path: Path) -> None:
    source = write_source(BY_NAME["mixtral-gqa"], tmp_path / "start")
    case = compiled_case(source, source, "widen ffn 80→160 via fpi, split even")
    module = load_float64(source, "MixtralForCausalLM").float()
    optimizer = trainer_optimizer(module)
    train(module, optimizer, inputs_for(case.rules.source), 2)
    save(module, optimizer, tmp_path / "source")
    result = grown(tmp_path / "source", tmp_path / "target", "grow", "widen ffn 80→160 via fpi, split even")
    assert result.optimizer is not None and result.optimizer.reset == 0
    import transformers

    new = transformers.MixtralForCausalLM.from_pretrained(tmp_path / "target", experts_implementation="eager")
    grown_optimizer = trainer_optimizer(new)
    grown_optimizer.load_state_dict(torch.load(tmp_path / "target" / "optimizer.pt", weights_only=True))
    before, after = named_state(module, optimizer), named_state(new, grown_optimizer)
    name = "model.layers.0.mlp.experts.down_proj"
    m = before[name]["exp_avg"]
    assert torch.equal(after[name]["exp_avg"], torch.cat([m, m], -1))
    train(new, grown_optimizer, inputs_for(case.rules.target), 1)


def test_the_command_says_what_went_on(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    ask = ("apply", str(tmp_path / "p.grow"), "--out", str(tmp_path / "target"), "--no-stock")
    (tmp_path / "p.grow").write_text(f"source {source}\n{STEPS.replace('; ', chr(10))}\n", encoding="utf-8")
    told = run(*ask)
    assert "not carried: optimizer.pt (moments of the old model; `--optimizer grow` carries" in told.stdout
    shown = run(*ask, "--force", "--optimizer", "grow").stdout
    assert "adam     moments of 52 tensors: 28 exact, 0 estimated, 24 begin anew" in shown
    assert (
        "optimizer.pt, rng_state.pth, scheduler.pt, trainer_state.json; training goes on from step 3" in shown
    )
    refusal = run(*ask, "--force", "--optimizer", "growl")
    assert refusal.exit_code == 2
    (source / "optimizer.pt").write_bytes(b"")
    refusal = run(*ask, "--force", "--optimizer", "reset")
    assert refusal.exit_code == 1 and "GP571" in refusal.stderr and "Traceback" not in refusal.stderr
    assert (tmp_path / "target" / "optimizer.pt").stat().st_size > 1000  # what was there is still there


def test_a_state_that_cannot_be_written_publishes_nothing(
    module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that fills up in the middle of optimizer.pt, when the weights are there already."""
    source, written = checkpoint(module, tmp_path / "source"), []
    save_whole = torch.save

    def save_half(made: object, file: Any) -> None:
        written.append(sorted(path.name for path in Path(file.name).parent.iterdir()))
        file.write(b"half")
        with Path("/dev/full").open("wb") as full:
            save_whole(made, full)

    monkeypatch.setattr(torch, "save", save_half)
    assert refused(source, tmp_path / "target").startswith("GP430")
    assert "model.safetensors" in written[0]


@pytest.mark.parametrize("key", ["step", "exp_avg"])
@pytest.mark.parametrize("value", [torch.ones(3).to_sparse(), torch.ones((), device="meta"), "x", None])
def test_what_is_no_number_and_no_plain_tensor(key: str, value: Any, module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    state = torch.load(source / "optimizer.pt", weights_only=True)
    state["state"][0][key] = value
    torch.save(state, source / "optimizer.pt")
    assert refused(source, tmp_path / "target").startswith("GP572")


def test_parameters_have_numbers(module: Any, tmp_path: Path) -> None:
    source = checkpoint(module, tmp_path / "source")
    state = torch.load(source / "optimizer.pt", weights_only=True)
    state["param_groups"][0]["params"][0] = [0]
    torch.save(state, source / "optimizer.pt")
    assert refused(source, tmp_path / "target").startswith("GP571")
