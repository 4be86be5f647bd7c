"""Tensor rings in whole models, written out in numpy: every family, every way to cut its weights.

M2[b2, o2, l2, i2] = sum of S_B[r1, b1, b2, r2] S_O[r2, o1, o2, r3] S_L[r3, l1, l2, r4] S_I[r4, i1, i2, r1]
M1[b1, o1, l1, i1]; what is no block by the matrices S[0, :, :, 0]
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from growplan.backend.evaluate import Evaluation, with_leaves
from growplan.backend.executor import reader_rows
from growplan.check import check_plan
from growplan.checkpoint.headers import read_headers
from growplan.checkpoint.reader import open_reader
from growplan.ir.lower import lower
from growplan.ir.text import parse_ir, print_ir
from growplan.ir.verify import verify
from growplan.language import parse_text
from growplan.pipeline import bind_source
from tests.backend.plans import Case, case
from tests.backend.test_learned import (
    BERT_EMBED,
    BERT_LAYER,
    GPT2,
    HEAD,
    MIXTRAL,
    QWEN3,
    TIED_HEAD,
    UNTIED_HEAD,
    VIT,
    Table,
    llama,
    tensors,
)
from tests.ir.mutants import mutants

Array = np.ndarray[Any, Any]
Axis = tuple[str, int, int]  # the name of its cores, how many times it holds them, slices of a unit
STREAM: Axis = ("stream", 1, 1)
ONE_GROUP = {"stream": STREAM, "q": STREAM, "k": STREAM, "v": STREAM}
HEADS: Axis = ("heads", 1, 8)
KV: Axis = ("kv_heads", 1, 8)
WHOLE = {"stream": STREAM, "q": HEADS, "k": HEADS, "v": HEADS, "o": HEADS}
GROUPED = {"stream": STREAM, "q": HEADS, "k": KV, "v": KV, "o": HEADS}
OWN_FFN = {"ffn": ("ffn", 1, 1)}


def wide(k: int) -> dict[str, Axis]:
    return {"ffn": ("stream", k, 1)}


@dataclass(frozen=True)
class Model:
    """A model and how it grows; what each axis is to the cores, and its packed weights in order."""

    family: str
    growth: str
    table: Table
    axes: dict[str, Axis]
    layer: str  # how names of a layer begin
    weights: tuple[str, ...]  # after that, those that are packed
    config: dict[str, Any] = field(default_factory=dict)
    in_out: bool = False  # stored inputs first


BERT = "bert.encoder.layer.{i}."
ATTENTION = tuple(f"attention.self.{name}.weight" for name in ("query", "key", "value"))
BERT_WEIGHTS = (
    *ATTENTION,
    "attention.output.dense.weight",
    "intermediate.dense.weight",
    "output.dense.weight",
)
VIT_WEIGHTS = tuple(name.replace("self", "attention") for name in BERT_WEIGHTS)
LLAMA = "model.layers.{i}."
SELF = tuple(f"self_attn.{name}_proj.weight" for name in "qkvo")
MLP = tuple(f"mlp.{name}_proj.weight" for name in ("gate", "up", "down"))
EXPERTS = tuple(f"block_sparse_moe.experts.{e}.{w}.weight" for w in ("w1", "w3", "w2") for e in range(4))
GPT2_WEIGHTS = ("attn.c_attn.weight", "attn.c_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
MASKED = {"architecture": "BertForMaskedLM"}
LM_HEAD: Table = {"lm_head.weight": {1: ("stream",)}}
GQA = "hidden 48→64, ffn 80→100, heads 6→8, kv_heads 3→4, depth 2→3"
MODELS = {
    "bert, one group": Model(
        "bert", "hidden 48→72, ffn 96→144, depth 2→5", {**BERT_EMBED, **BERT_LAYER, **TIED_HEAD},
        ONE_GROUP | wide(2), BERT, BERT_WEIGHTS, {**MASKED, "intermediate_size": 96},
    ),
    "bert, an ffn of its own, untied": Model(
        "bert", "hidden 48→72, ffn 80→100, depth 2→3", {**BERT_EMBED, **BERT_LAYER, **UNTIED_HEAD},
        ONE_GROUP | OWN_FFN | {f"{HEAD}.dense": STREAM}, BERT, BERT_WEIGHTS,
        {**MASKED, "tie_word_embeddings": False},
    ),
    "bert, whole heads": Model(
        "bert", "hidden 48→72, ffn 96→144, depth 2→3", {**BERT_EMBED, **BERT_LAYER, **TIED_HEAD},
        WHOLE | wide(2), BERT, BERT_WEIGHTS, {**MASKED, "intermediate_size": 96},
    ),
    "gpt2, one group": Model(
        "gpt2", "hidden 48→72, ffn 192→288, depth 2→5", GPT2,
        ONE_GROUP | wide(4), "transformer.h.{i}.", GPT2_WEIGHTS, in_out=True,
    ),
    "gpt2, whole heads": Model(
        "gpt2", "hidden 48→72, ffn 192→200", GPT2,
        WHOLE | OWN_FFN, "transformer.h.{i}.", GPT2_WEIGHTS, in_out=True,
    ),
    "gpt2, deeper alone": Model(
        "gpt2", "depth 2→3", GPT2, ONE_GROUP | wide(4), "transformer.h.{i}.", GPT2_WEIGHTS, in_out=True
    ),
    "vit, one group": Model(
        "vit", "hidden 48→72, ffn 96→144, depth 2→4", VIT,
        ONE_GROUP | wide(2), "vit.encoder.layer.{i}.", VIT_WEIGHTS, {"intermediate_size": 96},
    ),
    "llama, grouped": Model("llama", GQA, llama("o") | LM_HEAD, GROUPED | OWN_FFN, LLAMA, SELF + MLP),
    "llama, as many values": Model(
        "llama", "hidden 48→72, ffn 96→144", llama("v"), WHOLE | wide(2), LLAMA, SELF + MLP,
        {"num_key_value_heads": 6, "tie_word_embeddings": True, "intermediate_size": 96},
    ),
    "llama, single units": Model(
        "llama", GQA.replace("ffn 80→100", "ffn 96→128"), llama("o") | LM_HEAD,
        ONE_GROUP | {"o": STREAM, "k": ("kv_heads", 1, 1), "v": ("kv_heads", 1, 1)} | wide(2),
        LLAMA, SELF + MLP, {"intermediate_size": 96},
    ),
    "qwen2": Model(
        "qwen2", "hidden 48→72, ffn 80→100, kv_heads 3→3", llama("o", biases=True) | LM_HEAD,
        GROUPED | OWN_FFN, LLAMA, SELF + MLP,
    ),
    "qwen3": Model(
        "qwen3", "hidden 48→72, depth 2→4", QWEN3 | LM_HEAD, WHOLE | OWN_FFN, LLAMA, SELF + MLP,
        {"num_key_value_heads": 6},
    ),
    "mixtral": Model(
        "mixtral", "hidden 48→72, ffn 80→100, depth 2→3", MIXTRAL, GROUPED | OWN_FFN, LLAMA, SELF + EXPERTS
    ),
}  # fmt: skip
MIX = {"bert, whole heads": "heads", "gpt2, whole heads": "heads", "llama, single units": "units"}
WRITES = (
    "embeddings.weight",
    "wte.weight",
    "wpe.weight",
    "embed_tokens.weight",
    "cls_token",
    "projection.weight",
)


@cache
def grown(name: str, rank: int, options: str = "") -> Case:
    made = MODELS[name]
    mix = MIX.get(name, "auto")
    line = f"grow {made.growth} via mango on c.txt for 3 steps, rank {rank}, mix {mix}{options}"
    return case(made.family, line, dtype="float64", config=tuple(made.config.items()))


class Formula:
    """The sums over the tensors of a model and the values of its leaves."""

    def __init__(self, model: Model, made: Case) -> None:
        self.model, (self.step,) = model, made.typed.steps
        self.leaves = {name.removeprefix(f"{self.step.id}/"): x.numpy() for name, x in made.leaves.items()}
        self.used: set[str] = set()
        with open_reader(made.headers) as reader:
            read = reader_rows(reader)
            self.old = {n: read(n, 0, t.shape[0]).numpy() for n, t in made.headers.tensors.items()}
        self.depth = self.step.before.depth
        self.blocks: dict[str, tuple[tuple[Axis, Axis], int, int, int]] = {}  # of each part of a weight
        self.counts: dict[tuple[str, str], int] = {}
        self.new = self._new()

    def leaf(self, name: str) -> Array:
        self.used.add(name)
        return self.leaves[name]

    def matrix(self, side: str, axis: Axis) -> Array:
        """[new, old] slices of an axis, by the first bonds: I_k kron S^T kron I_inner."""
        first = self.leaf(f"S_{side}/{axis[0]}")[0, :, :, 0].T
        return np.kron(np.kron(np.eye(axis[1]), first), np.eye(axis[2]))

    def _cut(self, pattern: str, layer: int) -> list[tuple[tuple[Axis, Axis], list[Array], int]]:
        """(axes, blocks row by row, blocks across) of each part of a weight."""
        whole = self.old[pattern.format(i=layer)]
        ties = self.model.table[pattern]
        written, read = (1, 0) if self.model.in_out else (0, 1)
        matrix = whole.T if self.model.in_out else whole
        found = []
        for part, name in zip(np.split(matrix, len(ties[written])), ties[written], strict=True):
            out, into = self.model.axes[name], self.model.axes[ties[read][0]]
            lines = np.split(part, out[1])
            blocks = [block for line in lines for block in np.split(line, into[1], 1)]
            found.append(((out, into), blocks, into[1]))
        return found

    def _new(self) -> dict[tuple[str, str], Array]:
        """Group -> M2 [l2, b2, o2, i2]."""
        packed: dict[tuple[str, str], list[list[Array]]] = {}
        inner: dict[tuple[str, str], tuple[int, int]] = {}
        for weight in self.model.weights:
            for layer in range(self.depth):
                for (out, into), blocks, _ in self._cut(self.model.layer + weight, layer):
                    key = (out[0], into[0])
                    inner[key] = (out[2], into[2])
                    packed.setdefault(key, [[] for _ in range(self.depth)])[layer] += blocks
        return {key: self._ring(key, np.array(layers), *inner[key]) for key, layers in packed.items()}

    def _ring(self, key: tuple[str, str], old: Array, f: int, g: int) -> Array:
        s_b, s_l = self.leaf(f"S_B/{key[0]}-{key[1]}"), self.leaf("S_L")
        s_o, s_i = self.leaf(f"S_O/{key[0]}"), self.leaf(f"S_I/{key[1]}")
        split = old.reshape(*old.shape[:2], s_o.shape[1], f, s_i.shape[1], g)
        made = np.einsum("jkla,hbexky->jlahbexy", s_i, split)
        made = np.einsum("ghij,jlahbexy->gilabexy", s_l, made)
        made = np.einsum("abcd,gilabexy->cdgilexy", s_b, made)
        made = np.einsum("defg,cdgilexy->icfxly", s_o, made)
        return made.reshape(*made.shape[:2], s_o.shape[2] * f, s_i.shape[2] * g)

    def weights(self, layer: int) -> dict[str, Array]:
        """The packed weights of a new layer, put together again."""
        at: dict[tuple[str, str], int] = {}
        found = {}
        for weight in self.model.weights:
            pattern, rows = self.model.layer + weight, []
            for (out, into), blocks, across in self._cut(pattern, 0):
                key = (out[0], into[0])
                first = at.get(key, 0)
                at[key] = first + len(blocks)
                mine = self.new[key][layer][first : first + len(blocks)]
                rows += [np.concatenate(list(mine[i : i + across]), 1) for i in range(0, len(mine), across)]
            matrix = np.concatenate(rows)
            found[pattern.format(i=layer)] = matrix.T if self.model.in_out else matrix
        return found

    def plain(self, pattern: str, layer: int | None) -> Array:
        """What is no block."""
        if layer is None:
            x = self.old[pattern]
        else:
            weights = self.leaf("S_L")[0, :, layer, 0]
            x = sum(w * self.old[pattern.format(i=at)] for at, w in enumerate(weights))
        for dim, parts in self.model.table[pattern].items():
            if parts == ("",):
                continue
            side = "I" if dim == 1 and x.ndim == 2 and not pattern.endswith(WRITES) else "O"
            grown = [
                np.moveaxis(np.tensordot(self.matrix(side, self.model.axes[part]), piece, (1, dim)), 0, dim)
                for part, piece in zip(parts, np.split(x, len(parts), dim), strict=True)
            ]
            x = np.concatenate(grown, dim)
        return x


@pytest.mark.parametrize("rank", [1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_tensors_are_the_formula(name: str, rank: int) -> None:
    model, made = MODELS[name], grown(name, rank)
    assert verify(made.graph) == []
    formula, found = Formula(model, made), tensors(made)
    expected: dict[str, Array] = {}
    for pattern in model.table:
        if pattern.removeprefix(model.layer) in model.weights:
            continue
        for layer in range(made.typed.target.depth) if "{i}" in pattern else (None,):
            expected[pattern.format(i=layer)] = formula.plain(pattern, layer)
    for layer in range(made.typed.target.depth):
        expected |= formula.weights(layer)
    for tensor, wanted in expected.items():
        assert found[tensor].shape == wanted.shape, tensor
        np.testing.assert_allclose(
            found[tensor], wanted, rtol=0, atol=1e-12 * (1 + abs(wanted).max()), err_msg=tensor
        )
    for tensor in found.keys() - expected.keys():  # what no core acts on stays
        np.testing.assert_array_equal(found[tensor], formula.old[tensor])
    assert formula.used == set(formula.leaves), "a leaf that makes nothing"


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("family", ["gpt2", "bert", "llama", "vit"])
def test_written_and_measured(family: str, dtype: str, tmp_path: Path) -> None:
    """The step passes the assertions of `apply`, and what is written is what the graph makes."""
    made = case(family, "grow hidden 48→72, depth 2→3 via mango on c.txt, rank 2", dtype=dtype)
    (measured,) = made.assert_all()
    assert measured.passed
    made.write(tmp_path / "out")
    made.compare_written(tmp_path / "out")


def test_a_tensor_of_several_rings_is_joined(tmp_path: Path) -> None:
    """Queries beside grouped keys and values in one matrix: what a LLaMA with the same leaves has apart."""
    growth = GQA.replace("80→100", "80→80")
    apart = case("llama", f"grow {growth} via mango on c.txt, rank 2", dtype="float64")
    (tmp_path / "fused").mkdir()
    config = json.loads((apart.source / "config.json").read_text())
    config |= {"model_type": "fused_like", "architectures": ["FusedLike"]}
    (tmp_path / "fused" / "config.json").write_text(json.dumps(config))
    with open_reader(apart.headers) as reader:
        read = reader_rows(reader)
        old = {name: read(name, 0, t.shape[0]) for name, t in apart.headers.tensors.items()}
    save_file(fused(old), tmp_path / "fused" / "model.safetensors", {"format": "pt"})
    family = Path(__file__).parents[1] / "check" / "families" / "fused_like.yaml"
    plan = parse_text(f"grow {growth} via mango on c.txt, rank 2", "p.grow", "dsl")
    typed = check_plan(plan, bind_source(plan, tmp_path / "fused", family)[2])
    together = Case(tmp_path / "fused", read_headers(tmp_path / "fused"), typed, lower(typed))
    assert verify(together.graph) == [] and parse_ir(print_ir(together.graph)) == together.graph
    assert together.leaves.keys() == apart.leaves.keys()
    expected, found = fused(made_of(apart, apart.leaves)), made_of(together, apart.leaves)
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, rtol=0, atol=1e-11)
    faults = [each for each in mutants(together.graph) if "join" in each.what or "part" in each.what]
    assert len(faults) > 20 and [each.what for each in faults if not verify(each.graph)] == []


def made_of(made: Case, leaves: dict[str, Tensor]) -> dict[str, Tensor]:
    with open_reader(made.headers) as reader:
        evaluation = Evaluation(made.graph, with_leaves(reader_rows(reader), leaves))
        return {name: evaluation.whole(value) for name, value in made.graph.models[-1].items()}


def fused(apart: dict[str, Tensor]) -> dict[str, Tensor]:
    """Queries, keys and values as one tensor, the gate and what it gates as another."""
    made = dict(apart)
    for name in [name for name in apart if "q_proj" in name or "gate_proj" in name]:
        parts = ("q_proj", "k_proj", "v_proj") if "q_proj" in name else ("gate_proj", "up_proj")
        into = "qkv_proj" if "q_proj" in name else "gate_up_proj"
        rows = [made.pop(name.replace(parts[0], part)) for part in parts]
        made[name.replace(parts[0], into)] = torch.cat(rows)
    return made
