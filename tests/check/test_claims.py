"""Proofs that no shipped family or method needs, and what families and methods of one's own may do."""

from __future__ import annotations

from pathlib import Path

import pytest

from growplan.check import check_plan
from growplan.check.depth import depth_proof
from growplan.check.resolve import Request
from growplan.diagnostics import DiagnosticError, Source
from growplan.families import bind, load_family, parse_family
from growplan.families.model import Model
from growplan.language import parse_text
from growplan.methods.base import Claim, LayerSource, Method
from tests.check.models import GPT2, check, model, read


class _Shuffled(Method):
    """Silent blocks between old ones, two of which have changed places."""

    def deepen(self, old: int, new: int, options: object) -> tuple[LayerSource, ...]:
        order = [1, 0, *range(2, old)]
        return (*map(LayerSource, order), *(LayerSource(0, "zero") for _ in range(new - old)))


def test_silent_blocks_prove_nothing_where_the_old_ones_moved() -> None:
    request = Request(None, "s", "deepen", "shuffled", {"depth": (12, 14)}, None)
    part = depth_proof(request, _Shuffled("shuffled"), model("gpt2"), Claim("none"))
    assert part.proof.claim == Claim("none")
    request = Request(None, "s", "deepen", "shuffled", {"depth": (12, 12)}, None)
    part = depth_proof(request, _Shuffled("shuffled"), model("gpt2"), Claim("none"))
    assert part.proof.claim == Claim("none"), "nothing is added, and nothing stays in its place"


def with_ffn_norm(eps: str) -> Model:
    """GPT-2 with a norm over ffn, whose epsilon stays where those over a widened stream move."""
    text = Path(load_family("gpt2").path).read_text(encoding="utf-8")
    for old, new in (
        ("h.mlp.c_proj(act(h.mlp.c_fc(h.ln_2(x))))", "h.mlp.c_proj(h.mlp.ln(act(h.mlp.c_fc(h.ln_2(x)))))"),
        ("  h.mlp.c_proj:", f"  h.mlp.ln: layernorm ffn, eps {eps}\n  h.mlp.c_proj:"),
        ("layer_norm_epsilon: 1e-5}", "layer_norm_epsilon: 1e-5, ffn_epsilon: 1e-5}"),
    ):
        assert old in text
        text = text.replace(old, new)
    return bind(parse_family(Source("own.yaml", text)), read(GPT2))


def test_norms_that_share_an_epsilon_need_one_factor() -> None:
    with pytest.raises(DiagnosticError) as error:
        plan = parse_text("widen hidden 768→1024 via lemon", "p.grow", "dsl")
        check_plan(plan, with_ffn_norm("layer_norm_epsilon"))
    notes = [text for d in error.value.diagnostics for _, text in d.notes]
    assert any("one factor for every norm" in note for note in notes)


def test_a_rescaled_stream_leaves_a_shared_epsilon_alone() -> None:
    plan = parse_text("widen hidden 768→1024; widen heads to 16", "p.grow", "dsl")
    typed = check_plan(plan, with_ffn_norm("layer_norm_epsilon"))
    assert [s.candidate for s in typed.steps] == ["mean rows, rescaled", "copies"]
    assert str(typed.claim) == "exact"
    assert typed.target.config["layer_norm_epsilon"] == 1e-5


def test_each_epsilon_has_its_own_factor() -> None:
    plan = parse_text("widen hidden 768→1024", "p.grow", "dsl")
    typed = check_plan(plan, with_ffn_norm("ffn_epsilon"))
    assert str(typed.claim) == "exact"
    assert typed.target.config["layer_norm_epsilon"] == pytest.approx(7.5e-6)
    assert typed.target.config["ffn_epsilon"] == 1e-5


def test_an_axis_that_cannot_be_split_refuses_a_map() -> None:
    """A fused gate over the stream itself: a mean of all units is none of either half."""
    text = Path(load_family("gpt2").path).read_text(encoding="utf-8")
    for old, new in (
        ("h.mlp.c_fc: linear hidden -> ffn,", "h.mlp.c_fc: linear hidden -> hidden + hidden,"),
        ("h.mlp.c_proj: linear ffn -> hidden,", "h.mlp.c_proj: linear hidden -> hidden,"),
        (
            "  x = x + h.mlp.c_proj(act(h.mlp.c_fc(h.ln_2(x))))",
            "  g, u = h.mlp.c_fc(h.ln_2(x))\n  x = x + h.mlp.c_proj(act(g) * u)",
        ),
        ("  ffn: n_inner ?? 4*hidden\n", ""),
    ):
        assert old in text
        text = text.replace(old, new)
    gated = bind(parse_family(Source("own.yaml", text)), read(GPT2))
    assert str(check_plan(parse_text("widen hidden x2", "p.grow", "dsl"), gated).claim) == "exact"
    with pytest.raises(DiagnosticError) as error:
        check_plan(parse_text("widen hidden 768→1024", "p.grow", "dsl"), gated)
    (found,) = error.value.diagnostics
    assert found.code == "GP201"
    assert ("found", "a mean row has no direct sum") in found.notes


def test_a_norm_before_a_tied_head_is_named_once() -> None:
    (step, *_) = check("gpt2", "widen hidden 768→1024 via bert2bert").steps
    assert [v.module for v in step.violations] == ["h.ln_1", "h.ln_2", "ln_f"]


def test_the_cost_in_half_precision() -> None:
    """Half of the bytes; the peak is the same, for a law is measured in float64."""
    full, half = (check("gpt2", "widen ffn x2", dtype=d) for d in ("float32", "bfloat16"))
    assert half.cost_before.largest_tensor == 50257 * 768 * 2
    assert 2 * half.cost_before.bytes == full.cost_before.bytes
    assert half.peak_memory == full.peak_memory


def test_a_method_that_promises_nothing_is_no_way_to_a_stronger_claim() -> None:
    with pytest.raises(DiagnosticError) as error:
        check("bert", "widen hidden 384→768 via aki, expect exact")
    (found,) = error.value.diagnostics
    assert found.code == "GP204"
    assert found.help == (
        "`via fpi`, which is exact here",
        "`via bert2bert` (approximate, as published)",
        "or `expect none`",
    )


def test_aki_names_what_comes_from_above() -> None:
    (step, _) = check("smollm", "widen hidden 576→960 via aki, reading rows").steps
    assert str(step.proof.claim) == "none" and step.violations == ()
    assert step.proof.reasons[0].endswith("new rows of self_attn.o_proj, mlp.down_proj")
    (step, *_) = check("gpt2", "grow ffn to 4096, heads to 16, hidden to 1024 via aki, reading inner").steps
    assert step.proof.reasons[0].endswith(
        "new rows of attn.c_attn, mlp.c_fc; new columns of attn.c_proj, mlp.c_proj"
    )


@pytest.mark.parametrize(("reading", "axes"), [("rows", None), ("inner", "`hidden`")], ids=["rows", "inner"])
def test_units_of_the_layer_above_are_no_twins(reading: str, axes: str | None) -> None:
    """Residual units are copies in the inner reading; the way out has uneven shares."""
    typed = check("bert", f"grow hidden 384→768, heads 12→24, ffn x2 via aki, reading {reading}")
    found = [d for d in typed.lints if d.code == "GP901"]
    assert [d.message.split(" share")[0] for d in found] == ([f"copies of {axes}"] if axes else [])
    for d in found:
        assert d.help == ("`via bert2bert, split uneven`, whose copies get shares of their own",)
        way = check("bert", "grow hidden 384→768, heads 12→24, ffn x2 via bert2bert, split uneven")
        assert not [d for d in way.lints if d.code == "GP901"]


def test_the_way_out_of_twins_keeps_an_exact_step_exact() -> None:
    sizes = "grow hidden x2, heads x2, ffn x2 via"
    (found,) = [d for d in check("gpt2", f"{sizes} staged").lints if d.code == "GP901"]
    assert found.help == ("`via lemon`, as exact, whose copies are told apart",)
    way = check("gpt2", f"{sizes} lemon")
    assert str(way.claim) == "exact" and not [d for d in way.lints if d.code == "GP901"]
