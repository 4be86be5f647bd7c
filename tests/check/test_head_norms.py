"""Norms over single heads (Qwen3): what is fed to them, and what they put out."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from growplan.algebra import Expansion
from growplan.check import check_plan
from growplan.check.roles import attention_roles
from growplan.check.rules import Refusal
from growplan.check.typed import TypedPlan
from growplan.check.types import type_model
from growplan.diagnostics import Source
from growplan.families import bind, load_family, parse_family
from growplan.language import parse_text
from growplan.methods.base import Candidate
from tests.families.configs import QWEN3, config, model
from tests.float64 import load_float64, no_float32_islands
from tests.matrix.run import grow
from tests.tiny import tiny_checkpoint

TEXT = Path(load_family("qwen3").path).read_text()
Q, K = (f"layers.self_attn.{part}" for part in ("q_norm", "k_norm"))


def typed(steps: str, **changes: object) -> TypedPlan:
    return check_plan(parse_text(steps, "p.grow", "dsl"), model("qwen3", **changes))


def rows(plan: TypedPlan, module: str) -> Expansion:
    step = plan.steps[0]
    return next(r.rows for r in step.rewrites if (r.module, r.leaf) == (module, "weight"))


def gain(plan: TypedPlan, module: str) -> float:
    """The one coefficient of a weight's rows."""
    (scale,) = rows(plan, module).scales
    return float(scale)


def test_roles_see_through_the_norm() -> None:
    roles = attention_roles(model("qwen3"))
    named = {name.rsplit(".", 1)[-1]: role for (name, _), role in roles.parts.items()}
    assert named == {"q_proj": "q", "k_proj": "k", "v_proj": "v"}
    assert roles.norms == {Q: "q", K: "k"}
    assert {name.rsplit(".", 1)[-1] for name, _ in roles.behind} == {"q_proj", "k_proj"}


def test_epsilon_is_shared_with_the_stream() -> None:
    """Stream norms need eps * 48/72, so queries and keys are fed at sqrt(48/72), gamma stays."""
    plan = typed("widen hidden 48→72 via fpi")
    assert plan.target.config["rms_norm_eps"] == pytest.approx(1e-5 * 48 / 72)
    for part in ("q", "k"):
        assert gain(plan, f"layers.self_attn.{part}_proj") == pytest.approx((48 / 72) ** 0.5)
    assert rows(plan, "layers.self_attn.v_proj").is_identity
    assert rows(plan, Q).is_identity
    assert rows(plan, K).is_identity


def test_head_dim() -> None:
    """Projections at sqrt(dh*/dh) so that eps stays; the gain of the scores in the scale of queries."""
    plan = typed("widen head_dim 8→12 via fpi")
    assert plan.target.config["rms_norm_eps"] == 1e-5
    for part in ("q", "k"):
        assert gain(plan, f"layers.self_attn.{part}_proj") == pytest.approx(1.5**0.5)
    assert gain(plan, Q) == 1
    assert gain(plan, K) == pytest.approx(1.5**-0.5)


def test_new_dims_before_a_norm_are_zero_and_told() -> None:
    """Free units there would change the energy that the norm sees."""
    plan = typed("widen head_dim 8→12 via fpi")
    k = rows(plan, "layers.self_attn.k_proj")
    assert k.kinds == {"copy", "zero"}
    assert [d.code for d in plan.lints] == ["GP902"]
    assert typed("widen hidden 48→72 via fpi").lints == ()
    plain = check_plan(parse_text("widen head_dim 8→12 via fpi", "p.grow", "dsl"), model("llama"))
    assert plain.lints == ()


def test_free_units_before_a_norm_have_a_counterexample() -> None:
    """What the rule keeps out: one unit of any value, and the norm of the others changes."""
    x = torch.tensor([1.0, -2.0, 3.0], dtype=torch.float64)
    wider = torch.cat((x, torch.tensor([5.0], dtype=torch.float64)))
    rms = lambda y: y / y.pow(2).mean().sqrt()  # noqa: E731
    ratio = rms(wider)[:3] / rms(x)
    assert torch.allclose(ratio, ratio[0].expand(3))  # a factor, but one that depends on x
    again = torch.cat((2 * x, torch.tensor([5.0], dtype=torch.float64)))
    assert not torch.allclose(rms(again)[:3] / rms(2 * x), ratio)


def test_one_norm_for_both_is_refused() -> None:
    text = TEXT.replace("k_norm(layers", "q_norm(layers")
    lines = [line for line in text.split("\n") if "k_norm:" not in line]
    shared = bind(parse_family(Source("mine.yaml", "\n".join(lines))), config(QWEN3))
    with pytest.raises(Refusal, match="a norm each"):
        type_model(shared, Candidate("x", {"ffn": Expansion.circular(80, 160)}))


def test_the_new_dims_get_no_gradient_and_the_values_do(tmp_path: Path) -> None:
    """What the lint says, in transformers: q and k are zero beside each other, v and o are not."""
    source = tiny_checkpoint("qwen3", tmp_path / "source", dtype="float64")
    grown = grow(source, "widen head_dim 8→12", tmp_path / "grown").target
    stock = load_float64(grown, "Qwen3ForCausalLM")
    with no_float32_islands():
        stock(torch.arange(20)[None]).logits.pow(2).sum().backward()
    attention = stock.model.layers[0].self_attn
    new, old = [4, 5, 10, 11], [0, 1, 2, 3, 6, 7, 8, 9]  # inside each rotary half
    for name in ("q_proj", "k_proj"):
        grad = getattr(attention, name).weight.grad.view(-1, 12, 48)
        assert float(grad[:, new].abs().max()) == 0
        assert float(grad[:, old].abs().max()) > 0
    assert float(attention.v_proj.weight.grad.view(-1, 12, 48)[:, 8:].abs().max()) > 0
