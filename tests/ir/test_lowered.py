"""The IR of every method on every family: golden text, verified, and equal after a round trip."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from growplan.check import check_plan
from growplan.check.typed import TypedPlan
from growplan.ir.equivalence import equivalent
from growplan.ir.graph import TensorType
from growplan.ir.lower import lower
from growplan.ir.passes import run_passes
from growplan.ir.text import parse_ir, print_ir
from growplan.ir.verify import verify
from growplan.language import parse_text
from growplan.methods import method_names
from tests.check.models import check, model
from tests.conftest import Golden

SMALL: dict[str, dict[str, Any]] = {
    "gpt2": {"n_embd": 48, "n_head": 6, "n_layer": 2, "n_inner": 80, "vocab_size": 31, "n_positions": 24},
    "bert": {
        "architectures": ["BertForMaskedLM"],
        "hidden_size": 48,
        "num_attention_heads": 6,
        "num_hidden_layers": 2,
        "intermediate_size": 80,
        "vocab_size": 31,
        "max_position_embeddings": 24,
    },
    "smollm": {
        "hidden_size": 48,
        "num_attention_heads": 6,
        "num_hidden_layers": 2,
        "intermediate_size": 80,
        "vocab_size": 31,
        "max_position_embeddings": 24,
    },
}
TEXT = tuple(SMALL)
SMALL["vit"] = {
    "hidden_size": 48,
    "num_attention_heads": 6,
    "num_hidden_layers": 2,
    "intermediate_size": 80,
    "image_size": 20,
    "patch_size": 4,
    "num_labels": 5,
}
STACKED = "stack depth x2 via {}"
PLANS: dict[str, dict[str, str]] = {
    "fpi": {
        "gpt2": "widen hidden 48→72 via fpi",
        "bert": "widen hidden 48→96 via fpi; widen ffn 80→100 via fpi, split even; "
        "widen vocab 31→40 via fpi, rows mean; widen positions 24→56 via fpi, rows copy",
        "smollm": "widen hidden 48→72 via fpi; widen vocab 31→40 via fpi",
        "vit": "widen hidden 48→72 via fpi; mask-in heads",
    },
    "net2net": {
        "gpt2": "widen ffn 80→90 via net2net; deepen depth x2 via net2net",
        "bert": "widen ffn 80→90 via net2net",
        "smollm": "widen heads 6→9 via net2net; widen hidden to 72",
    },
    "bert2bert": {
        "gpt2": "widen hidden 48→72 via bert2bert",
        "bert": "widen hidden 48→72 via bert2bert; stack depth to 3 via bert2bert",
        "smollm": "widen hidden 48→72 via bert2bert, map circular",
    },
    "aki": {
        "gpt2": "grow hidden 48→72, heads 6→9, ffn 80→100 via aki",
        "bert": "grow hidden 48→64, heads 6→8, ffn 80→100 via aki, reading inner",
        "smollm": "widen heads 6→9 via aki, map circular; widen hidden 48→72 via aki, map circular",
    },
    "lemon": {
        "gpt2": "widen hidden 48→120 via lemon",
        "vit": "grow hidden 48→96, heads 6→12, ffn 80→160 via lemon; deepen depth to 3 via lemon, type 2",
        "bert": "widen hidden 48→96 via lemon, split comp",
        "smollm": "widen hidden 48→72 via lemon, split uneven; widen ffn 80→100 via lemon, init normal(0.02)",
    },
    "hypercloning": {
        "gpt2": "widen hidden 48→96 via hypercloning, snr_db 20",
        "bert": "widen hidden 48→144 via hypercloning, head untie",
        "smollm": "grow hidden 48→96, heads 6→12, kv_heads 3→6 via hypercloning, snr_db 15.5",
    },
    "staged": {
        "gpt2": "grow hidden 48→96, heads 6→12, ffn 80→160 via staged",
        "bert": "grow hidden 48→96, heads 6→12, ffn 80→160 via staged",
        "smollm": "grow hidden 48→96, heads 6→12, kv_heads 3→6, ffn 80→160 via staged",
    },
    "stackbert": dict.fromkeys(TEXT, "stack depth x2 via stackbert"),
    "interlace": dict.fromkeys(TEXT, "stack depth to 5 via interlace"),
    "identity": {
        "gpt2": "deepen depth to 3 via identity",
        "bert": "deepen depth to 5 via identity",
        "smollm": "deepen depth x2 via identity, place end, new fresh",
    },
    "llama-pro": dict.fromkeys(SMALL, "deepen depth to 3 via llama-pro"),
    "interpolate": {"gpt2": "deepen depth to 3 via interpolate"},
    "gstack": {"smollm": "stack depth via gstack, g 3"},
    "solar": {"gpt2": "stack depth to 4 via solar", "smollm": "stack depth via solar, m 1"},
    "midas": {"smollm": "stack depth to 3 via midas"},
    "mslt": {"bert": "stack depth to 3 via mslt", "gpt2": "stack depth to 3 via mslt, new fresh"},
    "gradmax": dict.fromkeys(("gpt2", "bert", "smollm"), "widen ffn 80→96 via gradmax, data ids.json"),
    "ligo": {
        "gpt2": "grow hidden 48→72, ffn 80→100, depth 2→3 via ligo on corpus.txt for 100 steps",
        "bert": "grow hidden 48→72, ffn 80→100 via ligo on corpus.txt, tying layer; "
        "grow depth 2→4 via ligo on corpus.txt",
        "smollm": "grow hidden 48→72, depth 2→3 via ligo on corpus.txt, order width-first, tying layer",
        "vit": "grow hidden 48→72, depth 2→3 via ligo on images.npz, tying shared",
    },
    "mango": {
        "gpt2": "widen ffn 80→96; grow hidden 48→72, ffn 96→144, depth 2→3 via mango on corpus.txt, rank 2",
        "bert": "grow hidden 48→72, ffn 80→100, depth 2→3 via mango on corpus.txt",
        "smollm": "grow hidden 48→64, heads 6→8, kv_heads 3→4, depth 2→3 via mango on corpus.txt",
        "vit": "grow hidden 48→72, ffn 80→120 via mango on images.npz; "
        "grow depth 2→4 via mango on images.npz, mix heads",
    },
    "lesa": {
        "gpt2": "stack depth x2; deepen depth to 6 via lesa",
        "bert": "stack depth x2; deepen depth to 5 via lesa, rest below, place 0",
        "smollm": "stack depth x2; deepen depth to 6 via lesa, place spread; widen ffn 80→100 via fpi",
    },
    "msg": {
        "gpt2": "mask-in ffn 80→96, over 100 steps",
        "bert": "mask-in heads 6→9; widen hidden 48→72 via bert2bert",
        "smollm": "mask-in heads 6→9; widen hidden 48→72 via fpi",
    },
}
SMALL["mixtral"] = {**SMALL["smollm"], "num_local_experts": 2}
PLANS["mango"]["mixtral"] = "grow hidden 48→72, ffn 80→100, depth 2→3 via mango on corpus.txt"
PLANS["lesa"]["mixtral"] = "stack depth x2; deepen depth to 5 via lesa"
PLANS["fpi"]["mixtral"] = "widen experts 2→4; widen hidden 48→72; widen heads 6→9; widen ffn 80→100"
SHARDS = "upcycle ffn to 4 experts, granularity 2, drop 0.25, noise 0.01"
PLANS["upcycle"] = {"smollm": f"{SHARDS}; widen ffn 40→60 via fpi"}
PLANS["resample"] = {"vit": "widen image 20→28 via resample; widen hidden x2 via fpi; widen heads"}
CASES = [(method, family, steps) for method, plans in PLANS.items() for family, steps in plans.items()]
GENERAL = {
    "gpt2": "grow hidden 48→72, ffn 80→100, depth 2→3 via ligo on corpus.txt, init lemon, tying layer",
    "bert": "grow hidden 48→96 via ligo on corpus.txt, init fpi, residual none",
    "smollm": "grow hidden 48→72, depth 2→4 via ligo on corpus.txt, init fpi",
    "vit": "grow ffn 80→100, depth 2→3 via ligo on images.npz, init aki",
}
CASES += [("ligo-general", family, steps) for family, steps in GENERAL.items()]
IDS = [f"{method}-{family}" for method, family, _ in CASES]


def typed(family: str, steps: str) -> TypedPlan:
    return check(family, steps, **SMALL[family])


def test_every_method_has_its_goldens() -> None:
    assert set(PLANS) == set(method_names())


@pytest.mark.parametrize(("method", "family", "steps"), CASES, ids=IDS)
def test_golden(method: str, family: str, steps: str, golden: Golden) -> None:
    graph = lower(typed(family, steps))
    assert verify(graph) == []
    text = print_ir(graph)
    golden(text)
    assert parse_ir(text) == graph


@pytest.mark.parametrize(("method", "family", "steps"), CASES, ids=IDS)
def test_passes_keep_the_meaning(method: str, family: str, steps: str) -> None:
    graph = lower(typed(family, steps))
    final = run_passes(graph)
    assert set(final.stores) == set(graph.stores)
    assert equivalent(graph, final)
    assert len(final.nodes) <= len(graph.nodes)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [("widen ffn x2", True), ("widen positions 24→32", False), ("deepen depth x2", False)],
)
def test_buffers_are_carried_where_they_still_fit(steps: str, kept: bool) -> None:
    """GPT-2's causal mask is positions x positions, one per layer."""
    buffer = "transformer.h.0.attn.bias"
    source = replace(model("gpt2", **SMALL["gpt2"]), extra_tensors=(buffer,))
    typed = check_plan(parse_text(steps, "p.grow", "dsl"), source)
    graph = lower(typed, {buffer: TensorType((1, 1, 24, 24), "U8")})
    assert (buffer in graph.stores) == kept
    assert verify(graph) == []
