"""The operations of the block language: how they are called.

What an operation does to types is `growplan.check.rules`, to tensors
`growplan.backend.interpreter`. Modules are called like operations, by their own names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from growplan.families.model import Input, ModuleKind


@dataclass(frozen=True)
class Signature:
    """`args` positional values; `on_module`: the kind of module the first one is.

    `flags` are booleans and `numbers` whole numbers, all given by name.
    """

    args: int
    flags: tuple[str, ...] = ()
    on_module: ModuleKind | None = None
    numbers: tuple[str, ...] = ()


OPS: Mapping[str, Signature] = {
    "gelu": Signature(1),  # x Phi(x), by erf
    "gelu_new": Signature(1),  # the tanh approximation
    "silu": Signature(1),
    "relu": Signature(1),
    "tanh": Signature(1),
    "attention": Signature(3, ("causal",)),  # q, k, v; query head j reads kv head floor(j KV / H)
    "rope": Signature(1),  # rotary positions, halves of a head rotated
    "route": Signature(2),  # scores, z of each expert: the best `active` scores weigh theirs by softmax
    "tied": Signature(2, on_module="embedding"),  # x times the transposed embedding
    "prepend": Signature(2, on_module="parameter"),  # a stored token before those of x
    "average": Signature(2),  # (a + b) / 2
    "offset": Signature(1, numbers=("by",)),  # indices + by, into an embedding of `by + positions`
    "token_positions": Signature(1),  # pad + 1, pad + 2, ... over ids that are not padding, else pad
    "first": Signature(1),  # the first token
    "second": Signature(1),
    "last": Signature(1),  # the last token that is not padding
}

# config value of an activation key -> operation (transformers.activations.ACT2CLS)
ACTIVATIONS: Mapping[str, str] = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    "gelu_new": "gelu_new",
    "gelu_pytorch_tanh": "gelu_new",
    "silu": "silu",
    "swish": "silu",
    "relu": "relu",
    "tanh": "tanh",
}

# values that `embed` starts from, by what the model reads
INPUTS: Mapping[Input, tuple[str, ...]] = {
    "text": ("ids", "positions", "types"),
    "image": ("pixels", "positions"),
}
