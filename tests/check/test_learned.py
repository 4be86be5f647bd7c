"""Learned steps, checked: what is tied to what, how large the operator is, what may be said of the step."""

from __future__ import annotations

from math import prod
from typing import Any

import pytest

from growplan.check.cost import cost
from growplan.check.operators import LigoLayout
from growplan.check.recipe_lints import rates
from growplan.check.typed import OperatorCost, TypedStep
from growplan.diagnostics import DiagnosticError
from growplan.views.check import step_data
from growplan.views.show.table import leaf_rows, parameters
from tests.check.models import check

SMALL_BERT: dict[str, Any] = {
    "architectures": ["BertForMaskedLM"],
    "hidden_size": 512,
    "num_attention_heads": 8,
    "num_hidden_layers": 6,
    "intermediate_size": 2048,
    "tie_word_embeddings": False,
}
PAIR = "grow hidden 512→768, heads 8→12, ffn 2048→3072, depth 6→12 via ligo on c.txt"
TOY: dict[str, Any] = {"n_embd": 64, "n_head": 4, "n_layer": 2, "vocab_size": 256, "n_positions": 64}


def only(family: str, line: str, **config: Any) -> TypedStep:
    (step,) = check(family, line, **config).steps
    return step


def layout(step: TypedStep) -> LigoLayout:
    assert step.operator is not None
    return LigoLayout(step.before, step.after, step.operator)


def measured(step: TypedStep) -> OperatorCost:
    assert step.fit_cost is not None
    return step.fit_cost


def refused(family: str, line: str, **config: Any) -> tuple[str, str]:
    with pytest.raises(DiagnosticError) as error:
        check(family, line, **config)
    (d,) = error.value.diagnostics
    assert d.help
    return d.code, d.message


# sizes ---------------------------------------------------------------------------------------------


def test_the_authors_count() -> None:
    """width = (D* - D) D (2 + 3 L*) + L* (F* - F) F, depth = L* 8 2 L: post-norm, an untied decoder."""
    step = only("bert", PAIR, **SMALL_BERT)
    found = measured(step)
    assert (dict(found.parts)["width"], dict(found.parts)["depth"]) == (30_146_560, 1_152)
    assert dict(found.parts)["width"] == (768 - 512) * 512 * (2 + 3 * 12) + 12 * (3072 - 2048) * 2048
    assert found.share == pytest.approx(0.226, abs=0.01)
    leaves = sum(a * b for a, b in (leaf.shape for leaf in step.leaves))
    assert leaves == found.parameters


@pytest.mark.parametrize(
    ("line", "layers"),
    [(PAIR, 12), (f"{PAIR}, order width-first", 6), (f"{PAIR}, tying shared", 1)],
)
def test_leaves_are_what_is_counted(line: str, layers: int) -> None:
    step = only("bert", line, **SMALL_BERT)
    stream, inner = 256 * 512, 3 * 256 * 512 + 1024 * 2048
    assert dict(measured(step).parts)["width"] == 2 * stream + layers * inner
    assert (
        sum(a * b for a, b in (leaf.shape for leaf in step.leaves))
        == dict(measured(step).parts)["width"] + 1152
    )


def test_a_tied_decoder_has_the_streams_operator() -> None:
    untied = dict(measured(only("bert", PAIR, **SMALL_BERT)).parts)["width"]
    tied = dict(measured(only("bert", PAIR, **{**SMALL_BERT, "tie_word_embeddings": True})).parts)["width"]
    assert untied - tied == 256 * 512


def test_small_models_share() -> None:
    """`auto`: each layer's own, unless those would hold more than half as many numbers as the target."""
    small = only("gpt2", "grow hidden 64→128, depth 2→4 via ligo on c.txt", **TOY)
    own = only("gpt2", "grow hidden 64→128, depth 2→4 via ligo on c.txt, tying layer", **TOY)
    assert small.operator is not None
    assert 2 * layout(own).inner_parameters > cost(own.after).parameters or small.operator.tying == "layer"
    grown = "grow hidden 64→512, heads 4→32, ffn 256→1024, depth 2→48 via ligo on c.txt, tying {}"
    inner = layout(only("gpt2", grown.format("layer"), **TOY)).inner_parameters
    auto = only("gpt2", grown.format("auto"), **TOY)
    assert auto.operator is not None
    assert auto.operator.tying == ("shared" if 2 * inner > cost(auto.after).parameters else "layer")


def test_auto_shares_past_half() -> None:
    line = "grow ffn 4096→8192 via ligo on c.txt"
    step = only("gpt2", line, **{**TOY, "n_inner": 4096})
    own = only("gpt2", f"{line}, tying layer", **{**TOY, "n_inner": 4096})
    assert measured(own).share > 0.5
    assert step.operator is not None
    assert step.operator.tying == "shared"
    assert dict(measured(step).parts)["width"] == dict(measured(own).parts)["width"] // 2


def test_what_the_fit_costs() -> None:
    """FLOPs = steps * 3 * (target's per token * batch * tokens + materialise); by hand for one ffn."""
    step = only(
        "gpt2", "grow ffn 256→320 via ligo on c.txt for 7 steps, batch 3, tokens 5, tying shared", **TOY
    )
    target = cost(step.after)
    made = 2 * (2 * 64 * 256 * (64 + 64 + 1))  # both layers: up, down, the bias
    assert measured(step).flops == 7 * 3 * (target.flops_per_token * 15 + made)
    source = cost(step.before).parameters
    assert measured(step).memory == 4 * (source + 2 * target.parameters + 4 * 64 * 256)
    assert measured(step).materialise == pytest.approx(3 * made / (measured(step).flops / 7))


def test_what_a_fit_by_blocks_costs() -> None:
    """Forward once more, weights made for each part; one layer in memory at a time."""
    line = "grow ffn 256→320 via ligo on c.txt, batch 4, tokens 5, tying shared, accumulate 2"
    whole, step = (
        only("gpt2", f"{line}{how}", **TOY) for how in (", checkpoint none", ", checkpoint blocks")
    )
    made = 2 * (2 * 64 * 256 * (64 + 64 + 1))
    assert measured(step).flops == 100 * 4 * (cost(step.after).flops_per_token * 20 + 2 * made)
    layer = sum(prod(step.after.shape(p)) for p in step.after.params() if p.in_layer)
    assert measured(whole).memory - measured(step).memory == 4 * 2 * layer  # of the two layers, one


# ties ----------------------------------------------------------------------------------------------


def rows(step: TypedStep) -> dict[str, list[str]]:
    """Module -> what its weight's sections are tied to, what it writes first."""
    found: dict[str, list[str]] = {}
    for param, sections in layout(step).tensors.items():
        if param.leaf == "weight" and sections:
            names = [(s.dim == param.row_dim, s.of.name) for s in sections]
            found[param.module] = [name for _, name in sorted(names, key=lambda n: not n[0])]
    return found


def test_table_of_ties_bert() -> None:
    found = rows(only("bert", PAIR, **SMALL_BERT))
    head = "cls.predictions.transform.dense"
    assert found == {
        **{f"embeddings.{name}_embeddings": ["stream"] for name in ("word", "position", "token_type")},
        "embeddings.LayerNorm": ["stream"],
        **{
            f"layer.attention.self.{name}": [role, "stream"]
            for role, name in (("q", "query"), ("k", "key"), ("v", "value"))
        },
        "layer.attention.output.dense": ["stream", "v"],
        "layer.attention.output.LayerNorm": ["stream"],
        "layer.intermediate.dense": ["ffn", "stream"],
        "layer.output.dense": ["stream", "ffn"],
        "layer.output.LayerNorm": ["stream"],
        head: [head, "stream"],
        "cls.predictions.transform.LayerNorm": [head],
        "cls.predictions.decoder": [head],
    }


def test_each_layer_its_own() -> None:
    names = {leaf.name for leaf in only("bert", PAIR, **SMALL_BERT).leaves}
    id = only("bert", PAIR, **SMALL_BERT).id
    for i in range(12):
        assert {f"{id}/{role}.{i}" for role in ("q", "k", "v", "ffn")} <= names
    assert f"{id}/stream" in names
    assert f"{id}/depth/layer.attention.self.query.bias" in names
    assert not any(name.startswith((f"{id}/depth/embeddings", f"{id}/depth/cls")) for name in names)


def test_grouped_heads() -> None:
    line = "grow hidden 576→768, heads 9→12, kv_heads 3→4 via ligo on c.txt"
    step = only("smollm", line)
    assert rows(step)["layers.self_attn.o_proj"] == ["stream", "o"]
    assert rows(step)["layers.mlp.gate_proj"] == rows(step)["layers.mlp.up_proj"]
    assert step.operator is not None
    assert step.operator.mix == "heads"
    shapes = {of.name: shape for of, shape in layout(step).widths.items()}
    assert shapes == {"stream": (192, 576), "q": (3, 9), "k": (1, 3), "v": (1, 3), "o": (3, 9)}
    mixed = only("smollm", f"{line}, mix units")
    assert {of.name: s for of, s in layout(mixed).widths.items()}["q"] == (192, 576)


def test_tied_llama_with_as_many_values_as_queries() -> None:
    config = {"num_key_value_heads": 9, "tie_word_embeddings": True}
    step = only("smollm", "grow hidden 576→768 via ligo on c.txt", **config)
    assert rows(step)["layers.self_attn.o_proj"] == ["stream", "v"]
    assert "kv_heads" in [axis for axis, _, _ in step.axes]


# words and errors ----------------------------------------------------------------------------------


def test_text_says_data_and_steps() -> None:
    line = 'grow hidden 64→128, depth 2→4 via ligo on "my corpus.txt" for 50 steps, lr 0.01'
    step = only("gpt2", line, **TOY)
    assert step.text == line
    assert step.data == "my corpus.txt"
    assert step.operator is not None
    assert (step.operator.recipe.steps, step.operator.recipe.lr) == (50, 0.01)
    assert ("heads", 4, 8) in step.axes  # hidden = heads * head_dim is closed in the step


def test_claims_nothing() -> None:
    step = only("gpt2", "grow hidden 64→128, depth 2→4 via ligo on c.txt", **TOY)
    assert (step.promised.strength, step.proof.claim.strength) == ("none", "none")
    assert "nothing is preserved" in step.proof.reasons[0]
    code, message = refused("gpt2", "grow hidden 64→128 via ligo on c.txt, expect exact", **TOY)
    assert (code, "cannot keep" in message) == ("GP204", True)


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("grow hidden 64→128, depth 2→4 via ligo", "GP118"),
        ("widen hidden 64→128 via ligo", "GP113"),
        ("stack depth x2 via ligo", "GP113"),
        ("grow vocab 256→300 via ligo on c.txt", "GP114"),
        ("grow hidden 64→128, depth 2→4 via fpi", "GP114"),
        ("grow hidden 64→128 via fpi on c.txt", "GP117"),
        ("grow hidden 64→128 via fpi for 5 steps", "GP117"),
        ("grow hidden 64→128 via ligo on c.txt, tying loose", "GP116"),
        ("grow hidden 64→128 via ligo on c.txt, init fpi2", "GP540"),
        ("grow hidden 64→80, heads 4→4 via ligo on c.txt", "GP109"),
    ],
)
def test_refusals(line: str, code: str) -> None:
    assert refused("gpt2", line, **TOY)[0] == code


def test_windows_and_lists_follow_the_layers() -> None:
    kinds = ["full_attention", "sliding_attention"]
    config = {
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "num_hidden_layers": 2,
        "use_sliding_window": True,
        "sliding_window": 4,
        "layer_types": kinds,
    }
    stacked = only("smollm", "grow depth 2→4 via ligo on c.txt", **config)
    assert stacked.after.config["layer_types"] == kinds * 2
    laced = only("smollm", "grow depth 2→4 via ligo on c.txt, depth-init interlace", **config)
    assert laced.after.config["layer_types"] == [kinds[0]] * 2 + [kinds[1]] * 2


def test_lints() -> None:
    light = check("gpt2", "grow hidden 64→128, depth 2→4 via ligo on c.txt", **TOY)
    assert not {"GP920", "GP921"} & {d.code for d in light.lints}
    line = "grow ffn 4096→16384 via ligo on c.txt, tying layer"
    heavier = check("gpt2", line, **{**TOY, "n_inner": 4096})
    assert "GP920" in [d.code for d in heavier.lints]
    published = check("gpt2", "grow hidden 64→128 via ligo on c.txt, recipe published", **TOY)
    assert "GP921" in [d.code for d in published.lints]
    (step,) = published.steps
    assert step.operator is not None
    assert rates(step.operator.recipe) == pytest.approx(2e-4 * 100 * 101 / 2 / 10_000)  # learned nothing


def test_json_has_the_operator() -> None:
    step = only("gpt2", "grow hidden 64→128, depth 2→4 via ligo on c.txt", **TOY)
    operator = step_data(step)["operator"]
    assert operator["cost"]["parts"]["depth"] == 12 * 2 * 4
    assert operator["leaves"][0] == {"name": f"{step.id}/stream", "shape": [64, 64], "init": "rand"}
    assert step_data(only("gpt2", "widen ffn x2 via fpi", **TOY))["operator"] is None


def test_the_table_lists_the_leaves() -> None:
    typed = check("gpt2", "grow hidden 64→128, depth 2→4 via ligo on c.txt, tying layer", **TOY)
    (step,) = typed.steps
    listed = list(leaf_rows(typed))
    assert listed[0] == (f"{step.id}/stream", "64 × 64", "rand", "4,096")
    assert (f"{step.id}/q.{{0:4}}", "64 × 64", "rand", "16,384") in listed
    numbers = sum(int(row[3].replace(",", "")) for row in listed)
    assert numbers == measured(step).parameters
    assert {row.name: row.steps for row in parameters(typed)}["transformer.wte.weight"] == (1,)
