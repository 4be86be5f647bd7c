"""Lints: each fires where it should, once for a plan, and nowhere else."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from growplan.check.ramp_lints import stride
from growplan.diagnostics import Diagnostic
from growplan.methods.base import Ramp
from growplan.runtime.ramps import value_at
from tests.check.models import check


def found(name: str, steps: str, **config: Any) -> list[Diagnostic]:
    return list(check(name, steps, **config).lints)


def codes(name: str, steps: str, **config: Any) -> list[str]:
    return [d.code for d in found(name, steps, **config)]


# copies and dead units (what their gradients are: tests/methods/test_gradients.py) -------------------


def test_even_shares_of_copies() -> None:
    assert codes("gpt2", "widen ffn x2, split even") == ["GP901"]
    assert codes("gpt2", "widen ffn x2") == []


def test_one_finding_names_every_axis_of_a_plan() -> None:
    steps = "widen hidden 512→768 via bert2bert; widen ffn x2 via bert2bert"
    (twins,) = found("bert", steps, hidden_size=512, num_attention_heads=8)
    assert twins.code == "GP901"
    assert "`hidden`, `ffn` and `heads`" in twins.message
    assert twins.span is not None
    assert twins.span.line == 1


def test_the_way_out_of_twins_is_one_the_method_has() -> None:
    (twins,) = found("gpt2", "widen ffn x2 via net2net, split even")
    (way,) = twins.help
    assert "`split uneven`" in way
    assert codes("gpt2", "widen ffn x2 via net2net, split uneven") == []


@pytest.mark.parametrize(
    ("name", "steps", "dead"),
    [
        ("smollm", "widen hidden 576→768", True),
        ("smollm", "widen head_dim 64→128", True),
        ("smollm", "mask-in ffn 1536→2048", True),
        ("gpt2", "mask-in heads 12→16; widen hidden to 1024", True),
        ("gpt2", "widen hidden 768→1024", False),  # mean rows
        ("gpt2", "widen vocab 50257→50304", False),  # learns when a word is seen
        ("gpt2", "widen ffn x2", False),  # copies
    ],
)
def test_units_that_never_learn(name: str, steps: str, dead: bool) -> None:
    first, *rest = steps.split("; ")
    for init, fires in (("normal(0)", dead), ("normal(0.01)", False), ("like", False)):
        assert ("GP902" in codes(name, "; ".join([f"{first}, init {init}", *rest]))) == fires


# rounding -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "lints"),
    [
        ("widen head_dim 64→128", ["GP903"]),
        ("widen head_dim 64→256", []),
        ("widen hidden x2", []),
        ("widen hidden 576→768", ["GP903"]),
        ("widen hidden 576→768; widen hidden to 960", ["GP903"]),
    ],
)
def test_factors_that_half_precision_holds(steps: str, lints: list[str]) -> None:
    assert codes("smollm", steps, dtype="bfloat16", rope_theta=1e3) == lints


def test_half_precision_factors_of_a_mean() -> None:
    assert codes("gpt2", "widen hidden 768→1024", dtype="bfloat16") == ["GP903"]
    assert codes("gpt2", "widen hidden 768→1024") == []


# sizes ----------------------------------------------------------------------------------------------


def test_sizes_off_the_tiles_are_named_with_what_can_be_reached() -> None:
    steps = "widen ffn 1536→2000; widen vocab to 49200; widen head_dim 64→96"
    (odd,) = [d for d in found("smollm", steps) if d.code == "GP910"]
    assert all(size in odd.message for size in ("`head_dim` 96", "`ffn` 2000", "`vocab` 49200"))
    assert set(odd.help) == {
        "`ffn` 1984 or 2048",
        "`vocab` 49152 or 49216",
        "`head_dim` 64 or 128",
    }


def test_hidden_moves_by_whole_heads() -> None:
    """Heads of 48: multiples of 64 that hold whole heads are multiples of 192."""
    config = {"n_embd": 768, "n_head": 16}
    (odd,) = [d for d in found("gpt2", "widen hidden 768→1008", **config) if d.code == "GP910"]
    assert odd.help == ("`hidden` 960 or 1152",)


@pytest.mark.parametrize(
    ("name", "steps", "config"),
    [
        ("gpt2", "widen ffn x2", {}),  # vocab 50257 was so
        ("gpt2", "widen vocab 50257→50304", {}),
        ("gpt2", "widen hidden 48→72", {"n_embd": 48, "n_head": 6}),  # too small for tiles to matter
        ("smollm", "widen head_dim 40→60", {"head_dim": 40}),  # was no multiple before
    ],
)
def test_nothing_is_said_of_what_the_plan_did_not_spoil(
    name: str, steps: str, config: dict[str, Any]
) -> None:
    assert "GP910" not in codes(name, steps, **config)


LARGE = {"hidden_size": 4096, "num_attention_heads": 32, "num_key_value_heads": 8, "num_hidden_layers": 32}


def test_heads_that_no_longer_divide() -> None:
    (lost,) = found("smollm", "grow heads to 36, kv_heads to 9 via fpi; widen hidden to 4608", **LARGE)
    assert lost.code == "GP911"
    assert "`heads` 36 by 8, `kv_heads` 9 by 8" in lost.message
    assert lost.help == ("`heads` 32 or 40", "`kv_heads` 8 or 16")


def test_heads_of_small_models_and_those_that_never_divided() -> None:
    assert codes("gpt2", "widen hidden 768→960") == []
    steps = "grow heads to 48, kv_heads to 12 via fpi; widen hidden to 6144"
    assert [d.message for d in found("smollm", steps, **LARGE) if d.code == "GP911"] == [
        "no longer divides, as it did: `kv_heads` 12 by 8; tensor parallelism gives each device whole heads"
    ]
    assert codes("smollm", "widen hidden x2", **{**LARGE, "num_attention_heads": 32}) == []


# ramps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ramp", "moved"),
    [
        (" over 2 steps", "0.5"),
        (" over 49 steps", "0.02"),
        (" over 50 steps", ""),
        (" over 49 steps, delay 1000", "0.02"),
        (" over 10 steps, ramp cosine", "0.16"),
        (" over 78 steps, ramp cosine", "0.02"),
        (" over 79 steps, ramp cosine", ""),
        ("", ""),  # 5000 steps
    ],
)
def test_ramps_too_short(ramp: str, moved: str) -> None:
    """A mask that moves by more than 0.02 in a step; a cosine is steepest in its middle."""
    shown = [d for d in found("gpt2", f"mask-in ffn x2{ramp}") if d.code == "GP630"]
    assert [(d.severity, d.message.partition(":")[0]) for d in shown] == [
        ("warning", f"the mask of `mask-in-ffn` moves by {moved} in a step")
    ] * bool(moved)
    for finding in shown:
        assert finding.span is not None and finding.help and "`over 1000 steps`" in finding.help[0]
        assert codes("gpt2", "mask-in ffn x2 over 1000 steps") == []


def test_short_ramps_are_one_finding() -> None:
    steps = "mask-in ffn x2 over 4 steps; mask-in heads 12→16 over 50 steps; mask-in depth x2 over 10 steps"
    (lint,) = found("gpt2", f"{steps}; widen hidden to 1024", n_embd=768)
    assert lint.message.startswith("the masks of `mask-in-ffn`, `mask-in-depth` move by up to 0.25 in a step")


def test_masks_that_are_given_up_have_no_ramp() -> None:
    assert codes("gpt2", "mask-in ffn x2 over 2 steps") == ["GP630"]
    assert codes("gpt2", "mask-in ffn x2 over 2 steps; widen ffn x2") == []


@pytest.mark.parametrize("shape", ["linear", "cosine"])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_what_a_mask_moves_by(shape: Literal["linear", "cosine"], steps: int) -> None:
    """No step of a ramp is larger; one of an even number of steps, about the middle, is as large."""
    ramp = Ramp(steps, shape, 3)
    moves = [value_at(ramp, done + 1) - value_at(ramp, done) for done in range(steps + 5)]
    assert max(moves) <= stride(ramp) + 1e-12
    assert max(moves) >= stride(ramp) * (0.7 if shape == "cosine" and steps < 3 else 0.97)


# dropout --------------------------------------------------------------------------------------------


def test_dropout_beside_an_exact_claim_is_a_note() -> None:
    rates = {"attn_pdrop": 0.1, "embd_pdrop": 0.0, "resid_pdrop": None, "summary_first_dropout": 0.1}
    (note,) = found("gpt2", "widen ffn x2", **rates)
    assert (note.code, note.severity) == ("GP912", "note")
    assert "`attn_pdrop` 0.1" in note.message
    assert "resid" not in note.message
    assert "summary" not in note.message
    assert codes("gpt2", "stack depth x2", attn_pdrop=0.1) == []
    assert codes("gpt2", "widen ffn x2", attn_pdrop=0.0) == []
