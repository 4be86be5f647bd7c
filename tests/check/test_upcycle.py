"""Upcycling is proved from the op graphs, and refused where no mixture can express the dense model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from growplan.algebra import ONE, Root
from growplan.check import check_plan, rules
from growplan.check.mixtures import expand, ffn_roles, of_dense, router_of
from growplan.check.rules import Refusal
from growplan.check.typed import TypedPlan
from growplan.check.upcycle import same_function
from growplan.diagnostics import DiagnosticError
from growplan.families.model import Add, Call, Mul
from growplan.language import parse_text
from tests.check.dense import silu
from tests.check.models import check, model

TINY = {"hidden_size": 48, "num_attention_heads": 6, "intermediate_size": 80, "num_hidden_layers": 2}


def refusal(name: str, steps: str, **config: Any) -> tuple[str, str]:
    with pytest.raises(DiagnosticError) as caught:
        check(name, steps, **config)
    (found,) = caught.value.diagnostics
    assert found.help
    assert found.span is not None
    return found.code, found.message


def upcycled(options: str = "", **config: Any) -> TypedPlan:
    return check("smollm", f"upcycle ffn to 4 experts{options}", **{**TINY, **config})


# the proof ----------------------------------------------------------------------------------------


def test_the_block_is_the_dense_one_once_route_is_left_out() -> None:
    step = upcycled().steps[0]
    dense = step.after.family.dense
    old, new = expand(step.before.block), expand(step.after.block)
    assert new["x"] != old["x"]
    assert of_dense(new, dense)["x"] == old["x"]
    assert ffn_roles(step.after) == {
        "gate": "layers.experts.w1",
        "up": "layers.experts.w3",
        "down": "layers.experts.w2",
    }
    assert router_of(step.after) == "layers.block_sparse_moe.gate"


def test_another_block_is_refused() -> None:
    """Each of them computes something else: the ffn without its gate, twice, or of the wrong stream."""
    step = upcycled().steps[0]
    *first, last = step.after.block
    assert isinstance(last.value, Add) and isinstance(last.value.right, Call)
    gateless = Call("layers.experts.w2", (Call("layers.experts.w3", (last.value.left,)),))
    others = (
        replace(last, value=Add(last.value.left, Call("route", (last.value.right.args[0], gateless)))),
        replace(last, value=Add(last.value, last.value.right)),
        replace(last, value=last.value.right),
    )
    for other in others:
        with pytest.raises(Refusal):
            same_function(step.before, replace(step.after, block=(*first, other)))


@pytest.mark.parametrize(
    "changed",
    [
        {"rms_norm_eps": 1e-6},
        {"rope_parameters": {"rope_type": "default", "rope_theta": 1e6}},
        {"hidden_act": "relu"},
    ],
)
def test_another_config_is_refused(changed: Mapping[str, Any]) -> None:
    """The same sizes with another epsilon, other frequencies or another activation are another function."""
    before, after = model("smollm", **TINY), upcycled().steps[0].after
    other = model("mixtral", **{**after.config, **changed})
    same_function(before, model("mixtral", **after.config))
    with pytest.raises(Refusal):
        same_function(before, other)


def mixture(rng: np.random.Generator, shards: int, scales: Mapping[str, Root], k: int, n: int) -> float:
    """The largest difference between a routed ffn of `n` experts made of one, and the ffn itself."""
    gate, up, down = rng.normal(size=(12, 5)), rng.normal(size=(12, 5)), rng.normal(size=(5, 12))
    y, router = rng.normal(size=5), rng.normal(size=(n // shards, 5)).repeat(shards, axis=0)
    g, u, d = (float(scales.get(role, ONE)) for role in ("gate", "up", "down"))
    size, out = 12 // shards, np.zeros(5)
    scores = router @ y
    best = np.argsort(-scores, kind="stable")[:k]
    weights = np.exp(scores[best] - scores.max())
    for expert, p in zip(best, weights / weights.sum(), strict=True):
        at = slice(expert % shards * size, (expert % shards + 1) * size)
        out += p * (d * down[:, at] @ (silu(g * gate[at] @ y) * (u * up[at] @ y)))
    return float(np.abs(out - down @ (silu(gate @ y) * (up @ y))).max())


G = Root.rational(3)
HALF_WAY = Root(Fraction(3))


@pytest.mark.parametrize(
    ("shards", "k", "scales"),
    [
        (1, 2, {}),
        (1, 5, {}),
        (3, 3, {"down": G}),
        (3, 6, {"up": HALF_WAY, "down": HALF_WAY}),
        (3, 3, {"up": G}),
        (3, 3, {}),
        (3, 4, {"down": G}),
        (3, 3, {"gate": G}),
        (3, 3, {"down": HALF_WAY}),
        (1, 2, {"up": G}),
        (3, 3, dict.fromkeys(("gate", "up", "down"), Root.rational(Fraction(1442, 1000)))),
    ],
)
def test_equal_experts_by_dense_matrices(shards: int, k: int, scales: Mapping[str, Root]) -> None:
    """What the rule accepts is exact for any router, and what it refuses is not."""
    errors = [mixture(np.random.default_rng(seed), shards, scales, k, 6) for seed in range(8)]
    try:
        rules.equal_experts(shards, k, scales)
    except Refusal:
        assert max(errors) > 1e-3
    else:
        assert max(errors) < 1e-12


def test_noise_and_drop_are_not_equal_experts() -> None:
    for drawn in ({"noise": 0.01}, {"drop": 0.5}):
        with pytest.raises(Refusal):
            rules.equal_experts(1, 2, {}, **drawn)


@pytest.mark.parametrize(
    ("options", "claim"),
    [
        ("", "exact"),
        (", top-k 4", "exact"),
        (", router zeros", "exact"),
        (", router normal(0.3)", "exact"),
        (", granularity 2, scale down", "exact"),
        (", granularity 2, scale sqrt, top-k 4", "exact"),
        (", granularity 2", "none"),
        (", granularity 2, scale none", "none"),
        (", noise 0.02", "none"),
        (", drop 0.5", "none"),
        (", granularity 2, scale down, drop 0.5", "none"),
    ],
)
def test_claims(options: str, claim: str) -> None:
    typed = upcycled(options)
    assert (typed.steps[0].promised.strength, typed.claim.strength) == (claim, claim)


# sizes, config and cost ----------------------------------------------------------------------------


def test_the_model_after_is_a_mixtral() -> None:
    typed = upcycled(", granularity 2, top-k 2", rope_theta=5e4)
    after = typed.target
    assert (after.family.name, after.architecture, after.prefix) == (
        "mixtral",
        "MixtralForCausalLM",
        "model.",
    )
    sizes = {axis: after.sizes[axis] for axis in ("hidden", "ffn", "experts", "active", "depth")}
    assert sizes == {"hidden": 48, "ffn": 40, "experts": 4, "active": 2, "depth": 2}
    assert typed.steps[0].axes == (("ffn", 80, 40), ("experts", 1, 4), ("active", 1, 2))
    told = ("model_type", "num_local_experts", "num_experts_per_tok", "intermediate_size", "rope_theta")
    assert [after.config[key] for key in told] == ["mixtral", 4, 2, 40, 5e4]
    assert "rope_interleaved" not in after.config


def test_theta_is_written_where_it_was_implied() -> None:
    """LLaMA assumes 1e4 and Mixtral 1e6: an absent theta must not change its value."""
    assert upcycled().target.config["rope_parameters"] == {"rope_type": "default", "rope_theta": 1e4}
    scaled = {"rope_scaling": {"rope_type": "linear", "factor": 4.0}}
    assert upcycled(**scaled).target.config["rope_scaling"]["rope_theta"] == 1e4


@pytest.mark.parametrize(
    ("window", "said"), [({}, 4096), ({"sliding_window": 8}, 8), ({"sliding_window": None}, None)]
)
def test_mistral_keeps_its_window(window: dict[str, Any], said: int | None) -> None:
    """An absent window means 4096 tokens in Mistral and none in Mixtral."""
    mistral = {"model_type": "mistral", "architectures": ["MistralForCausalLM"]}
    after = upcycled(**mistral, **window).target
    assert (after.architecture, after.config["sliding_window"]) == ("MixtralForCausalLM", said)
    assert after.windows == (said, said)


def test_cost_counts_active_experts() -> None:
    dense, moe = upcycled().cost_before, upcycled().cost_after
    ffn, router = 3 * 48 * 80 * 2, 4 * 48 * 2
    assert dense.active == dense.parameters
    assert moe.parameters == dense.parameters + 3 * ffn + router
    assert moe.active == dense.parameters + ffn + router
    assert moe.flops_per_token == dense.flops_per_token + 2 * (ffn + router)


@pytest.mark.parametrize("order", ["upcycle ffn to 4 experts; {}", "{}; upcycle ffn to 4 experts"])
def test_other_steps_stand_before_or_after(order: str) -> None:
    rest = "widen hidden 48→72; widen ffn x2; deepen depth x2"
    typed = check("smollm", order.format(rest), **TINY)
    assert typed.claim.strength == "exact"
    assert {a: typed.target.sizes[a] for a in ("hidden", "heads", "ffn", "experts", "depth")} == {
        "hidden": 72,
        "heads": 9,
        "ffn": 160,
        "experts": 4,
        "depth": 4,
    }


# refusals ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bert", "gpt2", "vit"])
def test_families_without_a_mixture(name: str) -> None:
    code, message = refusal(name, "upcycle ffn to 8 experts")
    assert code == "GP253"
    assert name in message


@pytest.mark.parametrize(
    ("config", "key"),
    [({"attention_bias": True}, "attention_bias"), ({"mlp_bias": True, "attention_bias": True}, "mlp_bias")],
)
def test_a_config_key_that_mixtral_has_not(config: dict[str, Any], key: str) -> None:
    code, message = refusal("smollm", "upcycle ffn to 8 experts", **config)
    assert code == "GP254"
    assert f"`{key}`" in message


@pytest.mark.parametrize(
    ("steps", "code", "part"),
    [
        ("upcycle ffn to 1 experts", "GP257", "one expert"),
        ("upcycle ffn to 4 experts, top-k 5", "GP257", "5 of 4"),
        ("upcycle ffn to 7 experts, granularity 2", "GP257", "7 experts"),
        ("upcycle ffn to 6 experts, granularity 3", "GP257", "ffn 80"),
        ("upcycle ffn to 8 experts, granularity 2, top-k 3", "GP257", "best 3"),
        ("upcycle ffn to 8 experts, granularity 2, router zeros", "GP257", "zeros"),
        ("upcycle ffn to 4 experts, top-k 2.5", "GP116", "top-k"),
        ("upcycle ffn to 4 experts, drop 1.5", "GP116", "drop"),
        ("upcycle ffn to 4 experts, noise loud", "GP116", "noise"),
        ("upcycle ffn to 4 experts, router flat", "GP116", "router"),
        ("upcycle ffn to 4 experts, scale cube", "GP116", "scale"),
        ("upcycle ffn to 4 experts, drop 0.5, expect exact", "GP204", "exact"),
        ("upcycle ffn to 4 experts via fpi", "GP113", "upcycle"),
        ("widen ffn x2 via upcycle", "GP113", "widen"),
        ("upcycle ffn to 4 experts; upcycle ffn to 8 experts", "GP258", "4 experts"),
    ],
)
def test_what_does_not_go_together(steps: str, code: str, part: str) -> None:
    found, message = refusal("smollm", steps, **TINY)
    assert found == code
    assert part in message


@pytest.mark.parametrize(
    ("steps", "marked"),
    [
        ("upcycle ffn to 4 experts, top-k 0", "top-k 0"),
        ("upcycle ffn to 4 experts, drop 2", "drop 2"),
        ("upcycle ffn to 4 experts, router wat", "router wat"),
        ("upcycle ffn to 4 experts, granularity 0", "granularity 0"),
        ("upcycle ffn to 4 experts, top-k 5", "top-k 5"),
        ("upcycle ffn to 8 experts, granularity 3, top-k 3", "granularity 3"),
        ("upcycle ffn to 8 experts, granularity 2, top-k 3", "top-k 3"),
        ("upcycle ffn to 8 experts, granularity 2, router zeros", "router zeros"),
        ("upcycle ffn to 1 experts, top-k 1", "1"),
        ("stack depth via solar, m 7", "m 7"),
        ("stack depth to 4 via midas, block 3", "block 3"),
    ],
)
def test_what_a_method_finds_is_marked_where_it_is_written(steps: str, marked: str) -> None:
    with pytest.raises(DiagnosticError) as caught:
        check("smollm", steps, **TINY)
    (found,) = caught.value.diagnostics
    assert found.span is not None
    assert steps[found.span.start : found.span.end] == marked


def test_the_ways_out_work() -> None:
    """The sizes that help names are accepted."""
    for steps in (
        "upcycle ffn to 6 experts, granularity 2",
        "upcycle ffn to 8 experts, granularity 2, top-k 2",
    ):
        check("smollm", steps, **TINY)
    check("mixtral", "widen experts 4→8 via fpi", **TINY)
    refused = refusal("mixtral", "widen experts 4→6 via fpi", **TINY)
    assert refused[0] == "GP201"


LATER = ["widen hidden 48→72", "widen experts 4→8", "grow experts x2, ffn x2 via fpi"]


@pytest.mark.parametrize("later", LATER)
def test_a_broken_upcycle_makes_no_other_mistakes(later: str) -> None:
    plan = parse_text(f"upcycle ffn to 1 experts; {later}", "p.grow", "dsl")
    with pytest.raises(DiagnosticError) as caught:
        check_plan(plan, model("smollm", **TINY))
    assert [d.code for d in caught.value.diagnostics] == ["GP257"]


def test_parts_of_a_gated_ffn() -> None:
    """The factor under the activation is the gate, whichever side of the product it stands on."""
    after = upcycled().target
    *first, z, last = after.block
    assert isinstance(z.value, Call) and isinstance(z.value.args[0], Mul)
    product = z.value.args[0]
    turned = replace(z, value=Call(z.value.fn, (Mul(product.right, product.left),)))
    assert ffn_roles(replace(after, block=(*first, turned, last))) == ffn_roles(after)


@pytest.mark.parametrize(
    ("name", "steps", "warned"),
    [
        ("smollm", "upcycle ffn to 4 experts", False),
        ("smollm", "upcycle ffn to 4 experts, router zeros", True),
        ("mixtral", "widen experts 4→8", True),
        ("mixtral", "widen experts 4→4", False),
        ("mixtral", "widen ffn x2", False),
    ],
)
def test_experts_that_stay_equal(name: str, steps: str, warned: bool) -> None:
    found = [d for d in check(name, steps, **TINY).lints if d.code == "GP914"]
    assert len(found) == warned
    assert all(d.help and d.span for d in found)
