"""Depth: what is proved of silent blocks, and how far post-norm insertion can be off."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from growplan.check import check_plan
from growplan.check.blocks import in_line_norms, last_module
from growplan.check.norms import twice_error
from growplan.diagnostics import DiagnosticError, Source
from growplan.families import bind, load_family, parse_family
from growplan.families.model import Model
from growplan.language import parse_text
from tests.check.models import BERT, GPT2, check, model, read

FIRST, LAST = "layer.attention.output.LayerNorm", "layer.output.LayerNorm"


def normalised(x: list[float], eps: float, *, centred: bool) -> list[float]:
    mean = sum(x) / len(x) if centred else 0.0
    energy = sum((v - mean) ** 2 for v in x) / len(x)
    return [(v - mean) / (energy + eps) ** 0.5 for v in x]


@pytest.mark.parametrize("eps", [1e-12, 1e-5, 1e-3, 0.2, 0.9])
@pytest.mark.parametrize("std", [1e-3, 0.1, 0.7, 1.0, 3.0, 1e3])
@pytest.mark.parametrize("centred", [True, False])
def test_plain_norms_in_a_row_stay_within_the_bound(eps: float, std: float, centred: bool) -> None:
    rng = random.Random(7)
    x = [rng.gauss(0.3, std) for _ in range(24)]
    mean = sum(x) / len(x) if centred else 0.0
    variance = sum((v - mean) ** 2 for v in x) / len(x)
    once = again = normalised(x, eps, centred=centred)
    for _ in range(300):
        again = normalised(again, eps, centred=centred)
        error = max(abs(a / b - 1) for a, b in zip(again, once, strict=True))
        assert error <= twice_error(eps, variance) * (1 + 1e-9) + 1e-12
    assert twice_error(eps, variance) <= max(eps / 2 / variance, eps) * (1 + 1e-9)
    assert twice_error(eps, variance) < 2 * error + 1e-12, "the bound is near"


def test_post_norm_moves_the_last_norm_alone() -> None:
    (step,) = check("bert", "deepen depth 6→9 via identity, place end").steps
    assert str(step.proof.claim) == "approximate"
    assert [v.module for v in step.violations] == [LAST, FIRST]
    assert "5e-11 at v = 0.01" in step.violations[0].bound
    assert all(s.norms == () for s in step.layers[:5])
    assert step.layers[5].norms == ((LAST, None),)
    assert [s.norms for s in step.layers[6:]] == [
        ((FIRST, None), (LAST, None)),
        ((FIRST, None), (LAST, None)),
        ((FIRST, None), (LAST, 5)),
    ]


def test_default_claims_follow_the_norms() -> None:
    for via in ("identity", "net2net", "llama-pro"):
        assert str(check("gpt2", f"deepen depth x2 via {via}").claim) == "exact"
        assert str(check("bert", f"deepen depth x2 via {via}").claim) == "approximate"


def refusal(steps: str, source: Model) -> tuple[str, str]:
    with pytest.raises(DiagnosticError) as error:
        check_plan(parse_text(steps, "p.grow", "dsl"), source)
    (found,) = error.value.diagnostics
    return found.code, " | ".join(text for label, text in found.notes if label == "why")


def test_before_the_first_layer_there_is_no_norm_to_move() -> None:
    code, why = refusal("deepen depth x2 via identity, place start", model("bert"))
    assert code == "GP204" and "no layer below it" in why


def own(family: str, base: dict[str, object], *changes: tuple[str, str]) -> Model:
    text = Path(load_family(family).path).read_text(encoding="utf-8")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return bind(parse_family(Source("own.yaml", text)), read(base))


ATTENTION = "x = layer.attention.output.LayerNorm(a + x)"
OUTPUT = "x = layer.output.LayerNorm(layer.output.dense(act(layer.intermediate.dense(x))) + x)"
FFN = "layer.output.dense(act(layer.intermediate.dense(x)))"


def test_parallel_blocks_are_pre_norm() -> None:
    parallel = own(
        "gpt2",
        GPT2,
        (
            "  x = x + h.attn.c_proj(attention(q, k, v, causal=True))\n"
            "  x = x + h.mlp.c_proj(act(h.mlp.c_fc(h.ln_2(x))))",
            "  x = x + h.attn.c_proj(attention(q, k, v, causal=True))"
            " + h.mlp.c_proj(act(h.mlp.c_fc(h.ln_2(x))))",
        ),
    )
    assert in_line_norms(parallel) == ()
    assert str(check_plan(parse_text("deepen depth x2", "p.grow", "dsl"), parallel).claim) == "exact"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        # Res-Post-Norm: the norm of a zero is its shift
        ([(OUTPUT, f"x = x + layer.output.LayerNorm({FFN})")], "still changes its input"),
        # a norm of another epsilon does not repeat the other
        (
            [
                (
                    "layer.output.LayerNorm: layernorm hidden, eps layer_norm_eps",
                    "layer.output.LayerNorm: layernorm hidden, eps own_eps",
                ),
                ("layer_norm_eps: 1e-12}", "layer_norm_eps: 1e-12, own_eps: 1e-12}"),
            ],
            "differ in kind, axis or epsilon",
        ),
        # RMSNorm and LayerNorm do not repeat each other
        (
            [
                (
                    "layer.attention.output.LayerNorm: layernorm hidden",
                    "layer.attention.output.LayerNorm: rmsnorm hidden",
                )
            ],
            "differ in kind, axis or epsilon",
        ),
        # one norm in two places
        (
            [
                (OUTPUT, OUTPUT.replace("layer.output.LayerNorm", "layer.attention.output.LayerNorm")),
                ("  layer.output.LayerNorm: layernorm hidden, eps layer_norm_eps\n", ""),
            ],
            "used twice",
        ),
        # the block does not end in its norm
        (
            [
                (ATTENTION, "y = layer.attention.output.LayerNorm(a + x)"),
                (
                    OUTPUT,
                    f"z = {LAST}(y)\n  x = z + {FFN.replace('(x)', '(z)')}",
                ),
            ],
            "does not end in",
        ),
    ],
)
def test_refuses_what_is_not_proved(changes: list[tuple[str, str]], reason: str) -> None:
    code, why = refusal("deepen depth x2", own("bert", BERT, *changes))
    assert code == "GP204" and reason in why


def test_a_first_norm_outside_the_line_stays() -> None:
    """Pre-norm attention, post-norm ffn: one norm in line, and the block ends in it."""
    key = "layer.attention.self.key("
    mixed = own("bert", BERT, (ATTENTION, "x = a + x"), (f"{key}x)", f"{key}{FIRST}(x))"))
    assert in_line_norms(mixed) == (LAST,) and last_module(mixed) == LAST
    assert str(check_plan(parse_text("deepen depth x2", "p.grow", "dsl"), mixed).claim) == "approximate"


@pytest.mark.parametrize(
    ("steps", "shown"),
    [
        ("stack depth to 16 via solar", "0:8, 4:12"),
        ("stack depth to 14 via mslt, new fresh", "0:12, 2 fresh"),
        ("stack depth to 13 via midas", "0:5, 5 ×2, 6:12"),
        ("stack depth to 18 via interlace", "0 ×2, 1, 2 ×2, 3, 4 ×2, 5, 6 ×2, 7, 8 ×2, 9, 10 ×2, 11"),
    ],
)
def test_the_layers_are_said(steps: str, shown: str) -> None:
    assert f"the layers are {shown}" in check("gpt2", steps).steps[0].proof.reasons


def test_a_size_may_be_left_to_an_option() -> None:
    (step,) = check("gpt2", "stack depth via solar, m 3").steps
    assert step.axes == (("depth", 12, 18),)
    assert refusal("stack depth via solar", model("gpt2"))[0] == "GP105"
    assert refusal("stack depth via solar, m half", model("gpt2"))[0] == "GP116"
    assert refusal("stack depth via solar, m 7", model("gpt2"))[0] == "GP222"
    assert refusal("stack depth 12→20 via solar, m 3", model("gpt2"))[0] == "GP221"


LISTED = [("carried: [", "layer_lists: [kinds]\ncarried: [")]


@pytest.mark.parametrize(
    ("steps", "kinds"),
    [
        ("stack depth x2", ["a", "b", "c"] * 2),
        ("deepen depth to 5 via identity", ["a", "b", "b", "c", "c"]),
        ("stack depth to 5 via mslt, new fresh", ["a", "b", "c", "c", "c"]),
        ("deepen depth to 5 via lesa", ["a", "a", "b", "b", "c"]),
        (
            "stack depth to 4 via interlace; deepen depth to 5 via identity, place start",
            ["a", "a", "a", "b", "c"],
        ),
        ("widen ffn x2", ["a", "b", "c"]),
    ],
)
def test_lists_over_layers_follow_the_layers(steps: str, kinds: list[str]) -> None:
    source = own("gpt2", {**GPT2, "n_layer": 3, "kinds": ["a", "b", "c"]}, *LISTED)
    typed = check_plan(parse_text(steps, "p.grow", "dsl"), source)
    assert typed.target.config["kinds"] == kinds
    assert ("kinds" in dict(typed.steps[0].config)) == (kinds != ["a", "b", "c"])


def test_what_is_no_list_stays() -> None:
    source = own("gpt2", {**GPT2, "kinds": "all"}, *LISTED)
    assert check_plan(parse_text("stack depth x2", "p.grow", "dsl"), source).target.config["kinds"] == "all"


def test_a_list_of_another_length_is_refused() -> None:
    with pytest.raises(DiagnosticError) as error:
        own("gpt2", {**GPT2, "kinds": ["a"]}, *LISTED)
    (found,) = error.value.diagnostics
    assert (found.code, found.message) == ("GP322", "`kinds` has 1 entries, and the model has 12 layers")


def test_attention_scaled_by_the_layer_is_refused() -> None:
    """Its layers would compute something else at another place."""
    with pytest.raises(DiagnosticError) as error:
        model("gpt2", scale_attn_by_inverse_layer_idx=True)
    assert error.value.diagnostics[0].code == "GP313"


def test_options_of_widths_say_nothing_of_layers() -> None:
    for steps in ("deepen depth x2 via net2net, split uneven", "stack depth x2 via bert2bert, map circular"):
        assert refusal(steps, model("gpt2"))[0] == "GP115"
    assert check("gpt2", "widen ffn x2 via net2net, split uneven").steps
    assert check("gpt2", "deepen depth x2 via identity, place end").steps


@pytest.mark.parametrize("steps", ["deepen depth 12→12 via identity", "stack depth via gstack, g 1"])
def test_a_stack_that_stays_is_called_unchanged(steps: str) -> None:
    (step,) = check("gpt2", steps).steps
    assert step.candidate == "unchanged" and str(step.proof.claim) == "exact"
