"""Checking plans: what is implied, what is proved, and where mistakes are reported."""

from __future__ import annotations

from typing import Any

import pytest

from growplan.algebra import Expansion
from growplan.check import check_plan
from growplan.check.blocks import in_line_norms, writers
from growplan.diagnostics import DiagnosticError
from growplan.language import parse_text
from tests.check.models import check, model


def lines(name: str, steps: str, **config: Any) -> list[str]:
    return [f"{s.text} [{s.candidate}] {s.proof.claim}" for s in check(name, steps, **config).steps]


def test_the_users_sentence() -> None:
    """`widen hidden 768→1024 via fpi; stack depth x2; mask-in heads` as it stands."""
    sentence = "widen hidden 768→1024 via fpi; stack depth x2; mask-in heads"
    assert lines("gpt2", sentence) == [
        "widen hidden 768→1024 via fpi [mean rows] exact",
        "stack depth 12→24 via stackbert [stack appended] none",
        "mask-in heads 12→16 via msg [masked units] exact",
    ]
    smollm = "widen hidden 576→768 via fpi; stack depth x2; mask-in heads"
    assert lines("smollm", smollm)[2] == "mask-in heads 9→12 via msg [masked units] exact"


def test_the_claim_of_a_plan_is_its_weakest_step() -> None:
    assert str(check("gpt2", "widen hidden 768→1024; stack depth x2").claim) == "none"
    assert str(check("gpt2", "widen hidden 768→1024; deepen depth x2").claim) == "exact"
    assert str(check("gpt2", "widen vocab 50257→50304").claim) == "exact (old vocab)"
    assert str(check("bert", "widen hidden 384→512 via bert2bert").claim) == "approximate"


def test_what_no_step_names_is_implied_at_the_end() -> None:
    *_, last = check("bert", "widen hidden 384→768 via fpi; widen ffn x2").steps
    assert last.text == "widen heads 12→24 via fpi"
    assert last.implied == "hidden = heads*head_dim"
    assert last.origin == "implied by widen-hidden"
    assert last.after.config["num_attention_heads"] == 24


def test_kv_heads_follow_only_where_equal() -> None:
    grouped = check("smollm", "widen hidden 576→768").target
    assert (grouped.sizes["heads"], grouped.sizes["kv_heads"]) == (12, 3)
    plain = check("smollm", "widen hidden 576→768", num_key_value_heads=9).target
    assert (plain.sizes["heads"], plain.sizes["kv_heads"]) == (12, 12)


def test_a_soft_equation_holds_only_where_the_source_has_it() -> None:
    decoupled = check("smollm", "widen hidden 576→1152", head_dim=128).target
    assert decoupled.sizes["heads"] == 9


def test_the_candidate_that_the_norms_accept() -> None:
    assert lines("gpt2", "widen hidden x2")[0].startswith("widen hidden 768→1536 via fpi [even copies]")
    assert "[zero rows]" in lines("smollm", "widen hidden 576→768")[0]
    stream = check("gpt2", "widen hidden 768→1024").steps[0].stream
    assert stream == Expansion.padded(768, 1024, "mean")


def test_epsilon_moves_with_the_width() -> None:
    assert check("gpt2", "widen hidden 768→1024").target.config["layer_norm_epsilon"] == pytest.approx(7.5e-6)
    assert "rms_norm_eps" not in dict(check("smollm", "widen hidden x2").steps[0].config)


def test_derived_defaults_are_written_out() -> None:
    target = check("gpt2", "widen hidden 768→1024").target
    assert target.config["n_inner"] == 3072, "n_inner: null means 4 * n_embd, which would move"
    assert check("smollm", "widen hidden 576→768").target.config["head_dim"] == 64


def test_writers_of_the_stream() -> None:
    assert writers(model("gpt2")) == ("h.attn.c_proj", "h.mlp.c_proj")
    assert writers(model("bert")) == ("layer.attention.output.dense", "layer.output.dense")
    assert in_line_norms(model("gpt2")) == in_line_norms(model("smollm")) == ()
    assert in_line_norms(model("bert")) == ("layer.attention.output.LayerNorm", "layer.output.LayerNorm")


def test_typing_does_not_depend_on_depth() -> None:
    shallow = check("smollm", "widen hidden 576→768", num_hidden_layers=2).steps[0]
    deep = check("smollm", "widen hidden 576→768", num_hidden_layers=90).steps[0]
    assert shallow.rewrites == deep.rewrites


MISTAKES = [
    ("gpt2", "widen hiden 768→1024", "GP101", "p.grow:1:7"),
    ("gpt2", "widen hidden 384→768", "GP102", "p.grow:1:14"),
    ("gpt2", "widen hidden 768→512", "GP104", None),
    ("gpt2", "mask-in heads", "GP105", "p.grow:1:9"),
    ("gpt2", "widen hidden 768→800", "GP107", "p.grow:1:1"),
    ("gpt2", "widen hidden 768→1024; widen heads 12→24", "GP109", None),
    ("gpt2", "mask-in heads 12→24", "GP109", "p.grow:1:1"),
    ("gpt2", "stack depth x4000", "GP106", None),
    ("smollm", "widen kv_heads 3→6", "GP210", None),
    ("gpt2", "upcycle ffn to 8 experts", "GP253", "p.grow:1:1"),
    ("gpt2", "widen ffn x2 via nett2net", "GP111", None),
    ("gpt2", "widen depth x2", "GP112", "p.grow:1:1"),
    ("gpt2", "stack depth x2 via fpi", "GP113", None),
    ("gpt2", "widen vocab x2 via net2net", "GP114", None),
    ("gpt2", "widen ffn x2, colour blue", "GP115", None),
    ("gpt2", "widen ffn x2 via fpi, rows mean", "GP370", None),
    ("smollm", "widen positions x2 via fpi, rows copy", "GP370", "p.grow:1:29"),
    ("gpt2", "widen vocab x2 via fpi, rows twice", "GP116", None),
    ("gpt2", "widen labels 2→3 via fpi", "GP114", None),
    ("bert", "widen types 2→3 via fpi", "GP114", None),
    ("gpt2", "widen ffn x2, split odd", "GP116", None),
    ("gpt2", "widen ffn x2, init normal", "GP116", None),
    ("gpt2", "widen ffn x2, init normal(-1)", "GP116", None),
    ("gpt2", "widen ffn x2, init normal(1e9)", "GP116", None),
    ("gpt2", "widen ffn x2, init normal(nan)", "GP116", None),
    ("gpt2", "stack depth to 13", "GP121", "p.grow:1:1"),
    ("bert", "widen hidden 384→512 via fpi", "GP201", "p.grow:1:1"),
    ("gpt2", "widen hidden x2 via net2net", "GP201", "p.grow:1:1"),
    ("smollm", "widen heads 9→12; widen hidden 576→769", "GP109", None),
    ("bert", "widen hidden 384→512 via bert2bert, expect exact", "GP204", "p.grow:1:1"),
    ("bert", "deepen depth x2, expect exact", "GP204", "p.grow:1:1"),
    ("gpt2", "stack depth x2, expect exact", "GP204", "p.grow:1:1"),
    ("smollm", "widen heads 9→10", "GP210", None),
    ("smollm", "widen head_dim 64→128 via net2net", "GP114", None),
    ("smollm", "widen head_dim 64→127", "GP201", None),
    ("bert", "mask-in vocab x2", "GP114", None),
    ("gpt2", "grow hidden to 1024, depth to 24 via fpi", "GP114", None),
    ("smollm", "widen vocab x2, expect exact", "GP204", None),
    ("smollm", "widen hidden 576→600; widen head_dim 64→64", "GP203", None),
]


@pytest.mark.parametrize(("name", "steps", "code", "place"), MISTAKES, ids=[m[1] for m in MISTAKES])
def test_mistakes_are_placed_and_explained(name: str, steps: str, code: str, place: str | None) -> None:
    with pytest.raises(DiagnosticError) as error:
        check(name, steps)
    (found,) = error.value.diagnostics
    assert found.code == code
    assert found.span is not None
    if place is not None:
        assert str(found.span) == place
    assert found.help, "every mistake says what to do"


def test_all_mistakes_in_one_run() -> None:
    with pytest.raises(DiagnosticError) as error:
        check("gpt2", "widen hiden x2; widen ffn 3→4; stack depth to 13; widen heads 12→10")
    assert [d.code for d in error.value.diagnostics] == ["GP101", "GP102", "GP121", "GP104"]


def test_every_mistake_of_one_step() -> None:
    with pytest.raises(DiagnosticError) as error:
        check("gpt2", "grow hiden x2, ffn 3→4 via bert2bert, colour red, split odd")
    assert {d.code for d in error.value.diagnostics} == {"GP101", "GP102", "GP115", "GP116"}


WAYS_OUT = [
    ("smollm", "widen heads 9→10", {"12 heads": "widen heads 9→12"}),
    ("smollm", "widen kv_heads 3→6", {"9 kv_heads": "widen kv_heads 3→9"}),
    (
        "smollm",
        "mask-in heads 9→12",
        {
            "`widen hidden 576→768 via fpi`": "mask-in heads 9→12; widen hidden to 768",
            "`widen head_dim 64→64`": "mask-in heads 9→12; widen head_dim 64→64",
        },
    ),
    (
        "bert",
        "widen hidden 384→512",
        {"hidden to 768": "widen hidden to 768", "`via bert2bert`": "widen hidden 384→512 via bert2bert"},
    ),
    (
        "bert",
        "mask-in hidden 384→512, expect exact",
        {
            "`via bert2bert`": "widen hidden 384→512 via bert2bert",
            "leave `expect` out": "mask-in hidden to 512",
        },
    ),
    (
        "gpt2",
        "mask-in vocab 50257→50304",
        {"`widen vocab … via fpi`": "widen vocab 50257→50304 via fpi"},
    ),
]


WAYS_OUT += [
    (
        "gpt2",
        "widen hidden 768→800",
        {"832": "widen hidden 768→832", "896": "widen hidden 768→896"},
    ),
    (
        "smollm",
        "widen hidden 576→600; widen head_dim 64→64",
        {
            "594": "widen hidden 576→594; widen head_dim 64→64",
            "603": "widen hidden 576→603; widen head_dim 64→64",
        },
    ),
    ("smollm", "widen vocab x2, expect exact", {"leave `expect` out": "widen vocab x2"}),
]


@pytest.mark.parametrize(("name", "steps", "ways"), WAYS_OUT, ids=[w[1] for w in WAYS_OUT])
def test_ways_out_lead_somewhere(name: str, steps: str, ways: dict[str, str]) -> None:
    """What the help of a mistake names does check."""
    with pytest.raises(DiagnosticError) as error:
        check(name, steps)
    (found,) = error.value.diagnostics
    for words, plan in ways.items():
        assert words in "; ".join(found.help)
        check(name, plan)


def test_grouped_heads_grow_together() -> None:
    """9 over 3 to 12 over 4, and 15 over 5: whole groups are copied."""
    for heads, kv in ((12, 4), (15, 5), (12, 6)):
        grown = check("smollm", f"grow heads to {heads}, kv_heads to {kv}, hidden to {heads * 64} via fpi")
        assert str(grown.claim) == "exact"


def test_heads_alone_imply_hidden() -> None:
    *_, last = check("smollm", "widen heads 9→12").steps
    assert last.text == "widen hidden 576→768 via fpi" and last.implied == "hidden = heads*head_dim"


def test_head_size() -> None:
    llama = check("smollm", "widen head_dim 64→96", rope_theta=1e5).target
    assert (llama.config["head_dim"], llama.sizes["hidden"]) == (96, 576)
    assert llama.config["rope_theta"] == pytest.approx(1e5**1.5)
    nested = {"rope_theta": 100.0, "rope_type": "default"}
    moved = check("smollm", "widen head_dim 64→96", rope_parameters=nested).target.config["rope_parameters"]
    assert moved == {"rope_theta": pytest.approx(1000.0), "rope_type": "default"}
    *_, last = check("gpt2", "widen head_dim 64→96").steps
    assert last.text == "widen hidden 768→1152 via fpi"


def test_theta_is_said_once() -> None:
    """A second `rope_theta`, beside `rope_parameters`, would be read by some versions and not by others."""
    nested = {"rope_theta": 100.0, "rope_type": "default"}
    assert "rope_theta" not in check("smollm", "widen head_dim 64→96", rope_parameters=nested).target.config


def test_scaled_rotary_positions_cannot_keep_their_frequencies() -> None:
    scaled = {"rope_theta": 1e4, "rope_type": "linear", "factor": 2.0}
    with pytest.raises(DiagnosticError, match="GP201"):
        check("smollm", "widen head_dim 64→96", rope_parameters=scaled)


def test_domains_join() -> None:
    for steps in ("widen positions x2; widen vocab x2", "widen vocab x2; widen positions x2; widen ffn x2"):
        assert str(check("gpt2", steps).claim) == "exact (old positions, old vocab)"
    both = check("gpt2", "grow vocab to 60000, positions to 2048 via fpi")
    assert str(both.claim) == "exact (old positions, old vocab)"


def test_rotary_positions_are_not_read() -> None:
    assert str(check("smollm", "widen positions x2").claim) == "exact"


def test_an_approximate_proof_gives_its_bound() -> None:
    (step, _) = check("bert", "widen hidden 384→512 via bert2bert, map circular").steps
    assert step.proof.reasons[1] == (
        "embeddings.LayerNorm: units 0:128 twice, 128:384 once; "
        "output scale × 0.82 to 1.15, mean off by at most 0.35 σ"
    )


def test_mistakes_after_what_could_not_be_read() -> None:
    """Before it everything is judged; after it sizes are in doubt, words are not."""
    text = "widen vocab 5→6; mask-in heads; widen hiden x2; widen ffn 5→6, colour red"
    plan = parse_text(text, "p.grow", "dsl")
    with pytest.raises(DiagnosticError) as error:
        check_plan(plan, model("gpt2"), unread=text.index("mask-in") - 1)
    assert [d.code for d in error.value.diagnostics] == ["GP102", "GP101", "GP115"]


FALSE_ALARMS = [
    ("smollm", "widen heads 9→10; widen ffn x2 via fpi; widen hidden 576→640", ["GP210"]),
    ("smollm", "widen heads 9→10; widen head_dim 64→64", ["GP210"]),
    ("bert", "deepen depth 12→24 via identity; deepen depth 24→48 via identity", ["GP102"]),
    ("bert", "widen hidden 384→512; stack depth x2; widen ffn 1→2; mask-in heads", ["GP201", "GP102"]),
    ("gpt2", "widen hidden 768→1000 via fpi; widen fnn x2", ["GP101", "GP107"]),
]


@pytest.mark.parametrize(("name", "steps", "codes"), FALSE_ALARMS, ids=[c[1] for c in FALSE_ALARMS])
def test_one_mistake_does_not_make_others(name: str, steps: str, codes: list[str]) -> None:
    with pytest.raises(DiagnosticError) as error:
        check(name, steps)
    assert [d.code for d in error.value.diagnostics] == codes


@pytest.mark.parametrize("new", [72, 80, 96, 100])
def test_head_size_implies_hidden(new: int) -> None:
    *_, last = check("gpt2", f"widen head_dim 64→{new}").steps
    assert last.text == f"widen hidden 768→{12 * new} via fpi"


def test_a_rotary_theta_past_what_can_be_read() -> None:
    with pytest.raises(DiagnosticError, match="GP201") as error:
        check("smollm", "widen head_dim 64→4096", rope_theta=5e5)
    (found,) = error.value.diagnostics
    assert any("at most 1e+15" in text for _, text in found.notes)
    assert found.help == ("widen head_dim to 168",)
    assert check("smollm", "widen head_dim to 168", rope_theta=5e5).target.config["rope_theta"] < 1e15


def test_every_theta_of_a_config_moves() -> None:
    config = check("smollm", "widen head_dim 64→96", rope_scaling={"rope_type": "default"}, rope_theta=100.0)
    assert config.target.config["rope_theta"] == pytest.approx(1000.0)
    assert config.target.config["rope_scaling"]["rope_theta"] == pytest.approx(1000.0)


def test_only_methods_that_are_fitted_take_data() -> None:
    with pytest.raises(DiagnosticError) as error:
        check("gpt2", "grow hidden to 1536 via fpi on wiki for 100 steps")
    assert [d.code for d in error.value.diagnostics] == ["GP117", "GP117"]


def test_cost_of_known_models() -> None:
    assert check("gpt2", "widen ffn 3072→3072").cost_before.parameters == 124_439_808
    assert check("smollm", "widen ffn 1536→1536").cost_before.parameters == 134_515_008
    assert check("bert", "widen ffn 1536→1536").cost_before.parameters == 22_713_216


def test_ways_out_of_an_implied_step_are_lines_that_work() -> None:
    """The line of the plan grows heads: another method there would not reach `hidden`."""
    with pytest.raises(DiagnosticError) as error:
        check("bert", "widen head_dim 32→48")
    (d,) = error.value.diagnostics
    way = "widen hidden 384→576 via bert2bert"
    assert d.help[-1] == f"`{way}` (approximate, as published)"
    assert str(check("bert", f"widen head_dim 32→48; {way}").claim) == "approximate"


def test_nearest_sizes_are_no_smaller_than_the_source() -> None:
    with pytest.raises(DiagnosticError) as error:
        check("smollm", "widen head_dim 64→64; grow heads to 15, kv_heads to 5 via fpi")
    (d,) = error.value.diagnostics
    assert (d.code, d.help) == ("GP203", ("`widen hidden 576→585 via fpi`",))  # not 570, below 576
