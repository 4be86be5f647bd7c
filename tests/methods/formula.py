"""What FPI and AKI make of a checkpoint, by numpy, and the tiny models that the tests grow.

    FPI   U = W[g_out][:, g_in] / C(g_in)                                     (out x in)
    rows  U_l[new rows] = those of U_{l+1}, in every matrix and bias of a layer
    inner U_l[new heads or ffn units] = those of U_{l+1}: rows where they are written, columns where read

Nothing here uses growplan's maps, kernels or graphs: the index maps g come from the caller.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from growplan.algebra import Expansion
from tests.matrix.cases import VARIANTS, Variant
from tests.matrix.run import Grown, grow, write_source

DEPTH = 3
MAP = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Matrix:
    """Axes of a matrix: `outs` are the summands it writes; `transposed`: in x out on disk."""

    ins: str
    outs: tuple[str, ...]
    transposed: bool = False


LAYERS: dict[str, tuple[str, dict[str, Matrix]]] = {
    "gpt2": (
        "transformer.h.{}.",
        {
            "attn.c_attn": Matrix("hidden", ("q", "kv", "kv"), True),
            "attn.c_proj": Matrix("q", ("hidden",), True),
            "mlp.c_fc": Matrix("hidden", ("ffn",), True),
            "mlp.c_proj": Matrix("ffn", ("hidden",), True),
        },
    ),
    "bert": (
        "bert.encoder.layer.{}.",
        {
            "attention.self.query": Matrix("hidden", ("q",)),
            "attention.self.key": Matrix("hidden", ("kv",)),
            "attention.self.value": Matrix("hidden", ("kv",)),
            "attention.output.dense": Matrix("q", ("hidden",)),
            "intermediate.dense": Matrix("hidden", ("ffn",)),
            "output.dense": Matrix("ffn", ("hidden",)),
        },
    ),
    "vit": (
        "encoder.layer.{}.",
        {
            "attention.attention.query": Matrix("hidden", ("q",)),
            "attention.attention.key": Matrix("hidden", ("kv",)),
            "attention.attention.value": Matrix("hidden", ("kv",)),
            "attention.output.dense": Matrix("q", ("hidden",)),
            "intermediate.dense": Matrix("hidden", ("ffn",)),
            "output.dense": Matrix("ffn", ("hidden",)),
        },
    ),
    "llama": (
        "model.layers.{}.",
        {
            "self_attn.q_proj": Matrix("hidden", ("q",)),
            "self_attn.k_proj": Matrix("hidden", ("kv",)),
            "self_attn.v_proj": Matrix("hidden", ("kv",)),
            "self_attn.o_proj": Matrix("q", ("hidden",)),
            "mlp.gate_proj": Matrix("hidden", ("ffn",)),
            "mlp.up_proj": Matrix("hidden", ("ffn",)),
            "mlp.down_proj": Matrix("ffn", ("hidden",)),
        },
    ),
}
NORMS = {
    "gpt2": ("ln_1", "ln_2"),
    "bert": ("attention.output.LayerNorm", "output.LayerNorm"),
    "vit": ("layernorm_before", "layernorm_after"),
    "llama": ("input_layernorm", "post_attention_layernorm"),
}
LAST_NORM = {
    "gpt2": "transformer.ln_f",
    "bert": "cls.predictions.transform.LayerNorm",
    "vit": "layernorm.",
    "llama": "model.norm",
}
HEAD = {"gpt2": "lm_head", "bert": "cls.predictions.decoder", "vit": "pooler.dense", "llama": "lm_head"}


def units(e: Expansion) -> MAP:
    return np.array([row.unit for row in e.rows()])


def new(g: MAP) -> MAP:
    """Whether a unit repeats an earlier one."""
    seen: set[int] = set()
    return np.array([u in seen or seen.add(u) is not None for u in g.tolist()])


def fpi(w: MAP, g_out: MAP, g_in: MAP | None) -> MAP:
    u = w[g_out]
    return u if g_in is None else u[:, g_in] / np.bincount(g_in)[g_in]


def by_dim(heads: MAP, dim: int) -> MAP:
    return (heads[:, None] * dim + np.arange(dim)).reshape(-1)


def expected(
    source: Mapping[str, MAP], family: str, maps: Mapping[str, MAP], reading: str, tied: bool
) -> dict[str, MAP]:
    """Every tensor of the grown file; `reading` is `fpi` (no grafts), `rows` or `inner`."""
    prefix, matrices = LAYERS[family]
    hidden, out = maps["hidden"], {}
    for i in range(DEPTH):
        for name, m in matrices.items():
            g_out = np.concatenate(
                [maps[a] + sum(maps[b].max() + 1 for b in m.outs[:k]) for k, a in enumerate(m.outs)]
            )
            for leaf in ("weight", "bias"):
                key = prefix.format(i) + f"{name}.{leaf}"
                if key not in source:
                    continue
                g_in = maps[m.ins] if leaf == "weight" else None
                flip = m.transposed and leaf == "weight"
                own = source[key].T if flip else source[key]
                u = fpi(own, g_out, g_in)
                if i + 1 < DEPTH and reading != "fpi":
                    other = source[prefix.format(i + 1) + f"{name}.{leaf}"]
                    v = fpi(other.T if flip else other, g_out, g_in)
                    if reading == "rows" or m.outs != ("hidden",):
                        u[new(g_out)] = v[new(g_out)]
                    elif g_in is not None:
                        u[:, new(g_in)] = v[:, new(g_in)]
                out[key] = u.T if flip else u
        for name in NORMS[family]:
            for leaf in ("weight", "bias"):
                key = prefix.format(i) + f"{name}.{leaf}"
                if key in source:
                    out[key] = source[key][hidden]
    for key, w in source.items():
        if key in out:
            continue
        if key.startswith(LAST_NORM[family]):
            out[key] = w[hidden] / (np.bincount(hidden)[hidden] if tied else 1)
        elif key == "cls.predictions.transform.dense.weight":
            out[key] = fpi(w, hidden, hidden)
        elif key == HEAD[family] + ".weight":
            out[key] = fpi(w, np.arange(len(w)), hidden)
        elif key in ("cls.predictions.bias", "cls.predictions.decoder.bias", "pooler.dense.bias"):
            out[key] = w
        elif "patch_embeddings" in key:  # kernels: a row per unit
            out[key] = w[hidden]
        else:  # embeddings, and vectors of the stream
            out[key] = w[..., hidden]
    return out


def grown(name: str, steps: str, tmp_path: Path, **config: object) -> Grown:
    variant = next(v for v in VARIANTS if v.name == name)
    depth = {"gpt2": "n_layer"}.get(variant.family, "num_hidden_layers")
    deep = Variant(
        name, variant.family, variant.architecture, variant.norm, {**variant.config, depth: DEPTH, **config}
    )
    return grow(write_source(deep, tmp_path / "source"), steps, tmp_path / "target")


def maps_of(result: Grown) -> dict[str, MAP]:
    """The index maps g of a step that grew hidden, heads and ffn; kv heads that stay are their own."""
    (step,) = result.typed.steps
    sizes = result.typed.source.sizes
    heads = units(step.maps["heads"])
    kv = units(step.maps["kv_heads"]) if "kv_heads" in step.maps else heads
    if sizes.get("kv_heads", sizes["heads"]) < sizes["heads"]:
        kv = np.arange(sizes["kv_heads"])
    dim = sizes["head_dim"]
    return {
        "hidden": units(step.maps["hidden"]),
        "ffn": units(step.maps["ffn"]),
        "q": by_dim(heads, dim),
        "kv": by_dim(kv, dim),
    }
