"""LiGO's tensors against its formulas, written out in numpy: every family, every row of the table of ties.

W_i* = B_out (sum over l of w_il W_l) B_in^T     b_i* = B_out (sum over l of v_il b_l)     B = [I ; C]
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from growplan.backend.evaluate import Evaluation, with_leaves
from growplan.backend.executor import reader_rows
from growplan.backend.learned import add_leaf, project
from growplan.backend.operands import Block, Held
from growplan.checkpoint.reader import open_reader
from growplan.ir.graph import TensorType
from growplan.ir.primitives import AddLeaf, Project, Transform
from growplan.ir.verify import verify
from tests.backend.dense import random
from tests.backend.plans import Case, case

Ties = dict[int, tuple[str, ...]]  # dimension -> the operator of each of its parts; "" is no operator
Table = dict[str, Ties]
STREAM, READ, MADE = ("stream",), {1: ("stream",)}, {0: ("stream",)}


def linear(out: str, read: str) -> Ties:
    return {0: (out,), 1: (read,)}


def norms(*names: str) -> Table:
    return {f"{name}.{leaf}": MADE for name in names for leaf in ("weight", "bias")}


def encoder(layer: str, attention: str, up: str = "intermediate.dense", down: str = "output.dense") -> Table:
    """The projections of BERT and ViT, weights and biases."""
    table: Table = {}
    for role, name in (("q", "query"), ("k", "key"), ("v", "value")):
        table |= {f"{layer}.{attention}.{name}.weight": linear(role, "stream")}
        table |= {f"{layer}.{attention}.{name}.bias": {0: (role,)}}
    table |= {f"{layer}.attention.output.dense.weight": linear("stream", "v")}
    table |= {f"{layer}.{up}.weight": linear("ffn", "stream"), f"{layer}.{up}.bias": {0: ("ffn",)}}
    table |= {f"{layer}.{down}.weight": linear("stream", "ffn"), f"{layer}.{down}.bias": MADE}
    return table | {f"{layer}.attention.output.dense.bias": MADE}


def llama(value_reader: str, *, biases: bool = False) -> Table:
    table: Table = {"model.embed_tokens.weight": READ, "model.norm.weight": MADE}
    for role in ("q", "k", "v"):
        table[f"model.layers.{{i}}.self_attn.{role}_proj.weight"] = linear(role, "stream")
        if biases:
            table[f"model.layers.{{i}}.self_attn.{role}_proj.bias"] = {0: (role,)}
    for name in ("gate", "up"):
        table[f"model.layers.{{i}}.mlp.{name}_proj.weight"] = linear("ffn", "stream")
    table["model.layers.{i}.mlp.down_proj.weight"] = linear("stream", "ffn")
    table["model.layers.{i}.self_attn.o_proj.weight"] = linear("stream", value_reader)
    for name in ("input_layernorm", "post_attention_layernorm"):
        table[f"model.layers.{{i}}.{name}.weight"] = MADE
    return table


BERT_LAYER = encoder("bert.encoder.layer.{i}", "attention.self") | norms(
    "bert.encoder.layer.{i}.attention.output.LayerNorm", "bert.encoder.layer.{i}.output.LayerNorm"
)
BERT_EMBED: Table = {
    **{f"bert.embeddings.{name}_embeddings.weight": READ for name in ("word", "position", "token_type")},
    **norms("bert.embeddings.LayerNorm"),
}
HEAD = "cls.predictions.transform"
UNTIED_HEAD: Table = {
    f"{HEAD}.dense.weight": linear(f"{HEAD}.dense", "stream"),
    **{
        f"{HEAD}.{name}": {0: (f"{HEAD}.dense",)}
        for name in ("dense.bias", "LayerNorm.weight", "LayerNorm.bias")
    },
    "cls.predictions.decoder.weight": {1: (f"{HEAD}.dense",)},
}
TIED_HEAD: Table = {f"{HEAD}.dense.weight": linear("stream", "stream"), **norms(f"{HEAD}.LayerNorm")}
TIED_HEAD |= {f"{HEAD}.dense.bias": MADE}
GPT2: Table = {
    "transformer.wte.weight": READ,
    "transformer.wpe.weight": READ,
    "transformer.h.{i}.attn.c_attn.weight": {0: STREAM, 1: ("q", "k", "v")},
    "transformer.h.{i}.attn.c_attn.bias": {0: ("q", "k", "v")},
    "transformer.h.{i}.attn.c_proj.weight": {0: ("v",), 1: STREAM},
    "transformer.h.{i}.attn.c_proj.bias": MADE,
    "transformer.h.{i}.mlp.c_fc.weight": {0: STREAM, 1: ("ffn",)},
    "transformer.h.{i}.mlp.c_fc.bias": {0: ("ffn",)},
    "transformer.h.{i}.mlp.c_proj.weight": {0: ("ffn",), 1: STREAM},
    "transformer.h.{i}.mlp.c_proj.bias": MADE,
    **norms("transformer.h.{i}.ln_1", "transformer.h.{i}.ln_2", "transformer.ln_f"),
}
VIT: Table = {
    "vit.embeddings.cls_token": {2: STREAM},
    "vit.embeddings.position_embeddings": {2: STREAM},
    "vit.embeddings.patch_embeddings.projection.weight": MADE,
    "vit.embeddings.patch_embeddings.projection.bias": MADE,
    "classifier.weight": READ,
    **encoder("vit.encoder.layer.{i}", "attention.attention"),
    **norms(
        "vit.encoder.layer.{i}.layernorm_before", "vit.encoder.layer.{i}.layernorm_after", "vit.layernorm"
    ),
}
QWEN3 = llama("v") | {f"model.layers.{{i}}.self_attn.{role}_norm.weight": {} for role in "qk"}
MIXTRAL = {name: ties for name, ties in llama("o").items() if ".mlp." not in name} | {
    f"model.layers.{{i}}.block_sparse_moe.experts.{e}.{name}.weight": ties
    for e in range(4)
    for name, ties in (
        ("w1", linear("ffn", "stream")),
        ("w2", linear("stream", "ffn")),
        ("w3", linear("ffn", "stream")),
    )
}
MIXTRAL |= {"model.layers.{i}.block_sparse_moe.gate.weight": READ, "lm_head.weight": READ}


def renamed(table: Table, old: str, new: str) -> Table:
    return {new + name.removeprefix(old) if name.startswith(old) else name: t for name, t in table.items()}


ROBERTA: Table = {
    **renamed({**BERT_EMBED, **BERT_LAYER}, "bert.", "roberta."),
    "lm_head.dense.weight": linear("stream", "stream"),
    "lm_head.dense.bias": MADE,
    **norms("lm_head.layer_norm"),
}
TEACHER: Table = renamed({n: t for n, t in VIT.items() if n != "classifier.weight"}, "vit.", "deit.") | {
    "deit.embeddings.distillation_token": {2: STREAM},
    "cls_classifier.weight": READ,
    "distillation_classifier.weight": READ,
}
WIDE = "hidden 48→72, ffn 80→100"
GROUPED = "hidden 48→64, ffn 80→100, heads 6→8, kv_heads 3→4, depth 2→3"
POOLER = "pooler.dense"
POOLED: Table = {
    "bert.pooler.dense.weight": linear(POOLER, "stream"),
    "bert.pooler.dense.bias": {0: (POOLER,)},
}
CASES: dict[str, tuple[str, str, dict[str, Any], Table]] = {
    "bert-untied": (
        "bert",
        f"{WIDE}, depth 2→5",
        {"architecture": "BertForMaskedLM", "tie_word_embeddings": False},
        {**BERT_EMBED, **BERT_LAYER, **UNTIED_HEAD},
    ),
    "bert-tied": (
        "bert",
        f"{WIDE}, depth 2→3",
        {"architecture": "BertForMaskedLM"},
        {**BERT_EMBED, **BERT_LAYER, **TIED_HEAD},
    ),
    "bert-pooler": (
        "bert",
        WIDE,
        {},
        {n.removeprefix("bert."): t for n, t in {**BERT_EMBED, **BERT_LAYER}.items()}
        | {"pooler.dense.weight": linear(POOLER, "stream"), "pooler.dense.bias": {0: (POOLER,)}},
    ),
    "gpt2": ("gpt2", "hidden 48→72, ffn 192→200, depth 2→5", {}, GPT2),
    "gpt2-depth": ("gpt2", "depth 2→5", {}, {name: {} for name in GPT2}),
    "gpt2-ffn": (
        "gpt2",
        "ffn 192→200",
        {},
        {n: {d: tuple(o if o == "ffn" else "" for o in p) for d, p in t.items()} for n, t in GPT2.items()},
    ),
    "vit": ("vit", f"{WIDE}, depth 2→4", {}, VIT),
    "llama-gqa": ("llama", GROUPED, {}, llama("o") | {"lm_head.weight": READ}),
    "llama-mha": ("llama", WIDE, {"num_key_value_heads": 6, "tie_word_embeddings": True}, llama("v")),
    "qwen2": ("qwen2", f"{WIDE}, kv_heads 3→3", {}, llama("o", biases=True) | {"lm_head.weight": READ}),
    "qwen3": ("qwen3", f"{WIDE}, depth 2→4", {"num_key_value_heads": 6}, QWEN3 | {"lm_head.weight": READ}),
    "mixtral": ("mixtral", f"{WIDE}, depth 2→3", {}, MIXTRAL),
    "mistral": ("mistral", GROUPED, {}, llama("o") | {"lm_head.weight": READ}),
    "roberta": ("roberta", f"{WIDE}, depth 2→3", {}, ROBERTA),
    "xlm-roberta": ("xlm-roberta", f"{WIDE}, depth 2→4", {}, ROBERTA),
    "deit-teacher": ("deit", f"{WIDE}, depth 2→4", {}, TEACHER),
    "bert-classify": (
        "bert",
        f"{WIDE}, depth 2→3",
        {"architecture": "BertForSequenceClassification"},
        {**BERT_EMBED, **BERT_LAYER, **POOLED, "classifier.weight": {1: (POOLER,)}},
    ),
    "bert-tag": (
        "bert",
        WIDE,
        {"architecture": "BertForTokenClassification"},
        {**BERT_EMBED, **BERT_LAYER, "classifier.weight": READ},
    ),
    "bert-answer": (
        "bert",
        WIDE,
        {"architecture": "BertForQuestionAnswering"},
        {**BERT_EMBED, **BERT_LAYER, "qa_outputs.weight": READ},
    ),
    "gpt2-classify": (
        "gpt2",
        "hidden 48→72, ffn 192→200, depth 2→5",
        {"architecture": "GPT2ForSequenceClassification", "pad_token_id": 0},
        GPT2 | {"score.weight": READ},
    ),
}  # fmt: skip


@cache
def grown(name: str, order: str, tying: str, options: str = "") -> Case:
    family, growth, config, _ = CASES[name]
    line = f"grow {growth} via ligo on c.txt for 3 steps, order {order}, tying {tying}{options}"
    return case(family, line, dtype="float64", config=tuple(config.items()))


class Formula:
    """LiGO's formulas over the tensors of a case and the values of its leaves."""

    def __init__(self, made: Case, table: Table) -> None:
        self.made, self.table = made, table
        (self.step,) = made.typed.steps
        assert self.step.operator is not None
        self.operator = self.step.operator
        self.leaves = {name.removeprefix(f"{self.step.id}/"): x.numpy() for name, x in made.leaves.items()}
        self.used: set[str] = set()
        with open_reader(made.headers) as reader:
            read = reader_rows(reader)
            self.old = {n: read(n, 0, t.shape[0]).numpy() for n, t in made.headers.tensors.items()}

    def leaf(self, name: str) -> np.ndarray[Any, Any] | None:
        self.used |= {name} & set(self.leaves)
        return self.leaves.get(name)

    def operator_of(self, name: str, size: int, layer: int | None) -> np.ndarray[Any, Any]:
        """B = [I ; C], or I where the axis does not grow; over heads, B kron I."""
        c = self.leaf(name)
        if c is None and layer is not None:
            c = self.leaf(f"{name}.{layer}")
        if c is None:
            return np.eye(size)
        b = np.concatenate([np.eye(c.shape[1]), c])
        return np.kron(b, np.eye(size // c.shape[1]))

    def widened(self, ties: Ties, old: np.ndarray[Any, Any], layer: int | None) -> np.ndarray[Any, Any]:
        for dim, parts in ties.items():
            pieces = np.split(old, len(parts), dim)
            grown = [
                np.moveaxis(np.tensordot(self.operator_of(part, p.shape[dim], layer), p, (1, dim)), 0, dim)
                for part, p in zip(parts, pieces, strict=True)
            ]
            old = np.concatenate(grown, dim)
        return old

    def tensor(self, pattern: str, ties: Ties, layer: int | None) -> np.ndarray[Any, Any]:
        depth = None if layer is None else self.depth(pattern)
        if depth is None:
            return self.widened(ties, self.old[pattern.format(i=layer)], layer)
        layers = [self.old[pattern.format(i=at)] for at in range(depth.shape[1])]
        if self.operator.order == "width-first":
            layers = [self.widened(ties, old, at) for at, old in enumerate(layers)]
        blend = sum(w * old for w, old in zip(depth[layer], layers, strict=True))
        return blend if self.operator.order == "width-first" else self.widened(ties, blend, layer)

    def depth(self, pattern: str) -> np.ndarray[Any, Any] | None:
        """The weights over the old layers of a tensor: the leaf whose name ends as its own does."""
        end = pattern.partition("{i}.")[2]
        end = end.replace("block_sparse_moe.", "").replace("experts.0.", "experts.")
        for e in range(1, 4):
            end = end.replace(f"experts.{e}.", "experts.")
        found = [name for name in self.leaves if name.startswith("depth/") and name.endswith(f".{end}")]
        return self.leaf(min(found, key=len)) if found else None


def tensors(made: Case) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor of the grown model, as the graph makes it."""
    with open_reader(made.headers) as reader:
        evaluation = Evaluation(made.graph, with_leaves(reader_rows(reader), made.leaves))
        return {name: evaluation.whole(value).numpy() for name, value in made.graph.models[-1].items()}


@pytest.mark.parametrize("tying", ["layer", "shared"])
@pytest.mark.parametrize("order", ["depth-first", "width-first"])
@pytest.mark.parametrize("name", CASES)
def test_tensors_are_the_formula(name: str, order: str, tying: str) -> None:
    made, table = grown(name, order, tying), CASES[name][3]
    assert verify(made.graph) == []
    formula, found = Formula(made, table), tensors(made)
    named: set[str] = set()
    for pattern, ties in table.items():
        for layer in range(made.typed.target.depth) if "{i}" in pattern else (None,):
            tensor = pattern.format(i=layer)
            expected = formula.tensor(pattern, ties, layer)
            assert found[tensor].shape == expected.shape, tensor
            np.testing.assert_allclose(
                found[tensor], expected, rtol=0, atol=1e-12 * (1 + abs(expected).max())
            )
            named.add(tensor)
    for tensor in found.keys() - named:  # what does not grow stays
        np.testing.assert_array_equal(found[tensor], formula.old[tensor])
    assert formula.used == set(formula.leaves), "a leaf that makes nothing"


@pytest.mark.parametrize("name", ["gpt2", "bert-untied", "llama-gqa", "qwen3", "vit"])
def test_orders_agree_where_operators_are_shared(name: str) -> None:
    first, second = (tensors(grown(name, order, "shared")) for order in ("depth-first", "width-first"))
    for tensor, made in first.items():
        np.testing.assert_allclose(made, second[tensor], rtol=0, atol=1e-12 * (1 + abs(made).max()))


def test_orders_differ_where_layers_have_their_own() -> None:
    first, second = (tensors(grown("gpt2", order, "layer")) for order in ("depth-first", "width-first"))
    name = "transformer.h.3.mlp.c_fc.weight"
    assert abs(first[name] - second[name]).max() > 1e-3


@pytest.mark.parametrize(("family", "growth"), [("gpt2", "hidden 48→48"), ("bert", "depth 2→2, ffn 80→80")])
def test_equal_sizes_are_the_identity(family: str, growth: str) -> None:
    made = case(family, f"grow {growth} via ligo on c.txt", dtype="float64")
    assert made.typed.steps[0].leaves == ()
    assert made.graph.models[1] == made.graph.models[0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "vit"])
def test_written_and_measured(family: str, dtype: str, tmp_path: Path) -> None:
    """The step passes the assertions of `apply`, and what is written is what the graph makes."""
    made = case(family, "grow hidden 48→72, depth 2→3 via ligo on c.txt", dtype=dtype)
    (measured,) = made.assert_all()
    assert measured.passed
    made.write(tmp_path / "out")
    made.compare_written(tmp_path / "out")


SHAPES = {
    "rows": (Project(0, 2, 3, 2), (10, 7), 4),
    "columns": (Project(1, 2, 3, 2), (130, 10), 4),
    "the last of three": (Project(2, 0, 6), (1, 5, 6), 3),
    "a vector": (Project(0, 0, 6), (6,), 3),
    "a convolution": (Project(0, 0, 3), (6, 3, 2, 2), 70),
    "rows made anew": (Transform(0, 2, 3, 2), (10, 7), 4),
    "more rows than a tile made anew": (Transform(0, 1, 3), (5, 7), 70),
    "columns made anew": (Transform(1, 2, 3, 2), (130, 10), 4),
    "a whole vector made anew": (Transform(0, 0, 6), (6,), 9),
}


@pytest.mark.parametrize("dtype", ["F32", "F64", "BF16"])
@pytest.mark.parametrize("name", SHAPES)
def test_rows_of_a_block_are_those_of_the_whole(name: str, dtype: str) -> None:
    """The same bits for any rows, in any order; and the product that is meant."""
    op, shape, extra = SHAPES[name]
    x, c = Held(random(shape, dtype, 0), dtype), Held(random((extra, op.count), "F64", 1), "F64")
    kept = op.count * op.inner if isinstance(op, Project) else 0
    size = shape[op.dim] - op.count * op.inner + kept + extra * op.inner
    grown = (*shape[: op.dim], size, *shape[op.dim + 1 :])
    type_, cpu = TensorType(grown, dtype), torch.device("cpu")

    def rows(which: range | torch.Tensor) -> torch.Tensor:
        return project(op, [x, c], Block(type_, which, cpu))

    whole = rows(range(grown[0]))
    for step in (1, 3, 64):
        blocks = [rows(range(at, min(at + step, grown[0]))) for at in range(0, grown[0], step)]
        assert torch.equal(torch.cat(blocks), whole)
    some = torch.randperm(grown[0], generator=torch.Generator().manual_seed(0))[:5]
    assert torch.equal(rows(some), whole[some])
    old = x.rows(range(shape[0])).double().numpy()
    section = np.moveaxis(old, op.dim, 0)[op.start : op.stop]
    new = np.kron(c.rows(range(extra)).numpy(), np.eye(op.inner)) @ section.reshape(len(section), -1)
    new = np.moveaxis(new.reshape(extra * op.inner, *section.shape[1:]), 0, op.dim)
    before, _, after = np.split(old, [op.start + kept, op.stop], op.dim)
    expected = np.concatenate([before, new, after], op.dim)
    np.testing.assert_allclose(whole.double().numpy(), expected, atol=1e-12 if dtype == "F64" else 1e-5)


@pytest.mark.parametrize("dtype", ["F32", "F64", "BF16"])
def test_a_leaf_is_added_as_it_is(dtype: str) -> None:
    x, leaf = Held(random((9, 4), dtype, 0), dtype), Held(random((9, 4), "F64", 1), "F64")
    made = add_leaf(AddLeaf(), [x, leaf], Block(TensorType((9, 4), dtype), range(9), torch.device("cpu")))
    exact = x.rows(range(9)).double() + leaf.rows(range(9))
    assert torch.equal(made, exact.to(made.dtype))
