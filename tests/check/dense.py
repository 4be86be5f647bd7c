"""Dense float64 oracles: expansions as matrices, operations as plain numpy."""

from __future__ import annotations

import numpy as np

from growplan.algebra import Expansion

Array = np.ndarray


def dense(e: Expansion, free: float = np.nan) -> Array:
    """E as a matrix; free and hole rows are filled with `free`."""
    out = np.zeros((e.size, e.old))
    for i, row in enumerate(e.rows()):
        if row.kind == "copy":
            out[i, row.unit] = float(row.c)
        elif row.kind == "mean":
            out[i] = float(row.c) / e.old
        elif row.kind in ("free", "hole"):
            out[i] = free
    return out


def expand(e: Expansion, x: Array, rng: np.random.Generator) -> Array:
    """E x over the last axis of x; free rows get random values."""
    out = x @ np.nan_to_num(dense(e)).T
    for start, end in e.positions("free"):
        out[..., start:end] = rng.normal(size=(*x.shape[:-1], end - start))
    return out


def layer_norm(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    mean = x.mean(-1, keepdims=True)
    var = ((x - mean) ** 2).mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + eps) * gamma + beta


def rms_norm(x: Array, gamma: Array, eps: float) -> Array:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + eps) * gamma


def gelu(x: Array) -> Array:
    from math import erf

    return 0.5 * x * (1 + np.vectorize(erf)(x / np.sqrt(2)))


def silu(x: Array) -> Array:
    return x / (1 + np.exp(-x))


ACTIVATIONS = {"gelu": gelu, "silu": silu, "tanh": np.tanh, "relu": lambda x: np.maximum(x, 0)}


def attention(q: Array, k: Array, v: Array, heads: int, kv_heads: int) -> Array:
    """q: (tokens, heads * d), k and v: (tokens, kv_heads * d); no mask."""
    tokens, d = q.shape[0], q.shape[1] // heads
    qs = q.reshape(tokens, heads, d)
    ks, vs = k.reshape(tokens, kv_heads, d), v.reshape(tokens, kv_heads, d)
    out = np.empty_like(qs)
    for j in range(heads):
        g = j * kv_heads // heads
        scores = qs[:, j] @ ks[:, g].T / np.sqrt(d)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        out[:, j] = p / p.sum(-1, keepdims=True) @ vs[:, g]
    return out.reshape(tokens, heads * d)
