"""The probe interpreter: a family's op graph over torch tensors, by default in float64.

It walks the same statements as the type checker. heads and head_dim are independent sizes, so
that a model between two steps (hidden != heads * head_dim) can be run. transformers' own
float32 islands (RMSNorm, softmax, rotary tables) are not repeated: everything is in `dtype`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
from torch import Tensor
from torch.nn import functional as F

from growplan.families.axes import STREAM
from growplan.families.model import Assign, Model, Module, Param
from growplan.families.rope import read_rope
from growplan.families.walk import run

ACTIVATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu_new": lambda x: F.gelu(x, approximate="tanh"),
    "silu": F.silu,
    "relu": F.relu,
    "tanh": torch.tanh,
}


P = ParamSpec("P")
R = TypeVar("R")
Tap = Callable[[Module, "int | None", Tensor, Tensor], Tensor]
"""`tap(module, layer, input, output)`: the output to go on with."""


def _in_mode(
    method: Callable[Concatenate[Interpreter, P], R],
) -> Callable[Concatenate[Interpreter, P], R]:
    """A method that keeps what a gradient needs only where the interpreter is asked for gradients."""

    @wraps(method)
    def run(self: Interpreter, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with torch.set_grad_enabled(self.tap is not None):
            return method(self, *args, **kwargs)

    return run


class Interpreter:
    """Runs a `Model` on token ids, or on pixels.

    `get(name)` gives a tensor on disk by its name; it is asked for each tensor when it is
    needed and the result is not kept, so a model larger than memory runs block by block.
    `tap` sees every module's input and output, and may change the output; with it gradients flow.

    Shapes: ids [batch, tokens] or pixels [batch, channels, size, size]; the stream x
    [batch, tokens, hidden]; queries and keys [batch, tokens, heads * head_dim]; what each expert
    holds [experts, batch, tokens, ffn].
    """

    def __init__(
        self,
        model: Model,
        get: Callable[[str], Tensor],
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        tap: Tap | None = None,
    ) -> None:
        self.model = model
        self.get = get
        self.dtype = dtype
        self.device = torch.device(device)
        self.tap = tap

    # the model ------------------------------------------------------------------------------

    @_in_mode
    def logits(self, inputs: Tensor) -> Tensor:
        """The head's `logits`; of a class without a language or label head, its first output."""
        outputs = self.outputs(inputs)
        return outputs.get("logits", next(iter(outputs.values())))

    @_in_mode
    def outputs(self, inputs: Tensor) -> dict[str, Tensor]:
        """Every output of the model's head by name (`logits`, `hidden`, `pooled`, `relation`)."""
        x = self.embed(inputs)
        for layer in range(self.model.depth):
            x = self.block(layer, x)
        return self.head(x, inputs)

    @_in_mode
    def embed(self, inputs: Tensor) -> Tensor:
        """The stream before the first block; positions count from 0, token types are 0."""
        if self.model.inputs == "image":
            return self._run(self.model.embed, self._image(inputs), None, None)["x"]
        ids = inputs.to(self.device)
        positions = torch.arange(ids.shape[-1], device=self.device).expand_as(ids)
        env = {"ids": ids, "positions": positions, "types": torch.zeros_like(ids)}
        return self._run(self.model.embed, env, None, ids)["x"]

    @_in_mode
    def block(self, layer: int, x: Tensor) -> Tensor:
        """The stream after one block; a bypassed one returns its input."""
        if layer in self.model.bypassed:
            return x
        return self._run(self.model.block, {"x": x}, layer, None)["x"]

    @_in_mode
    def head(self, x: Tensor, inputs: Tensor) -> dict[str, Tensor]:
        """The head's outputs from the last stream; token ids say where padding begins."""
        env = self._run(self.model.head_stmts, {"x": x}, None, inputs.to(self.device))
        return {name: env[name] for name in self.model.outputs}

    @_in_mode
    def module(self, module: Module, layer: int | None, x: Tensor) -> Tensor:
        """One module applied to its input; embeddings take indices."""
        return _Ops(self, layer, None).module(module, x)

    @_in_mode
    def tied(self, module: Module, x: Tensor) -> Tensor:
        """x times the transposed embedding: [..., hidden] -> [..., vocab]."""
        return F.linear(x, self._weight(module, None))

    def _image(self, pixels: Tensor) -> dict[str, Tensor]:
        """What `embed` starts from: pixels, and every position of the grid and of the tokens before it."""
        pixels = pixels.to(device=self.device, dtype=self.dtype)
        positions = torch.arange(self.model.sizes["positions"], device=self.device)
        return {"pixels": pixels, "positions": positions.expand(len(pixels), -1)}

    def _run(
        self, statements: Sequence[Assign], env: dict[str, Tensor], layer: int | None, ids: Tensor | None
    ) -> dict[str, Tensor]:
        return run(statements, env, self.model.modules, _Ops(self, layer, ids))

    # weights --------------------------------------------------------------------------------

    def _weight(self, module: Module, layer: int | None) -> Tensor:
        weight = next(p for p in module.params if p.leaf == "weight")
        return self._tensor(weight, layer)

    def _bias(self, module: Module, layer: int | None) -> Tensor | None:
        bias = next((p for p in module.params if p.leaf == "bias"), None)
        return None if bias is None else self._tensor(bias, layer)

    def _tensor(self, param: Param, layer: int | None) -> Tensor:
        name = self.model.tensor_name(param, layer if param.in_layer else None)
        return self.get(name).to(device=self.device, dtype=self.dtype)

    def _of_experts(self, module: Module, layer: int | None) -> Iterator[tuple[Tensor, ...]]:
        """The tensors of a module (weight, then bias) of one expert after the other."""
        for expert in zip(*map(self.model.of_experts, module.params), strict=True):
            yield tuple(self._tensor(param, layer) for param in expert)


class _Ops:
    """`walk.Ops` over tensors, of one layer (or outside the layers)."""

    def __init__(self, interpreter: Interpreter, layer: int | None, ids: Tensor | None) -> None:
        self.interpreter = interpreter
        self.model = interpreter.model
        self.layer = layer
        self.ids = ids

    def module(self, module: Module, x: Tensor) -> Tensor:
        out, tap = self._applied(module, x), self.interpreter.tap
        return out if tap is None else tap(module, self.layer, x, out)

    def _applied(self, module: Module, x: Tensor) -> Tensor:
        """linear W x + b, of patches too; embedding row x; norms over the last dim; bias x + b.

        A norm over head_dim works on each head of x by itself.
        """
        if module.in_expert:
            return self._of_each_expert(module, x)
        bias = self.interpreter._bias(module, self.layer)
        if module.kind == "bias":
            assert bias is not None
            return x + bias
        weight = self.interpreter._weight(module, self.layer)
        if module.is_norm and x.shape[-1] != weight.shape[0]:  # each head by itself
            by_head = x.reshape(*x.shape[:-1], -1, weight.shape[0])
            return self._norm(module, by_head, weight, bias).reshape(x.shape)
        match module.kind:
            case "linear":
                return F.linear(x, weight.T if module.stored == "in-out" else weight, bias)
            case "embedding" | "parameter":
                return F.embedding(x, weight.reshape(weight.shape[-2:]))
            case "patches":
                return F.conv2d(x, weight, bias, stride=weight.shape[2:]).flatten(2).transpose(1, 2)
            case "layernorm" | "rmsnorm":
                return self._norm(module, x, weight, bias)

    def _norm(self, module: Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """A norm over the last dimension of x; behind a growth mask of 0, over its first units alone."""
        units = self.model.read_units
        if units is not None and module.outs == STREAM:
            first = None if bias is None else bias[:units]
            old = self._plain_norm(module, x[..., :units], weight[:units], first)
            return F.pad(old, (0, x.shape[-1] - units))
        return self._plain_norm(module, x, weight, bias)

    def _plain_norm(self, module: Module, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        if module.kind == "layernorm":
            return F.layer_norm(x, weight.shape, weight, bias, self.model.eps(module))
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.model.eps(module)) * weight

    def op(self, name: str, args: Sequence[Tensor | Module], kwargs: Mapping[str, Any]) -> Tensor:
        if name == "tied":
            embedding, x = args
            assert isinstance(embedding, Module) and isinstance(x, Tensor)
            return self.interpreter.tied(embedding, x)
        if name == "prepend":
            token, x = args
            assert isinstance(token, Module) and isinstance(x, Tensor)
            stored = self.interpreter._weight(token, self.layer).flatten()
            return torch.cat((stored.expand(len(x), 1, -1), x), dim=1)
        values = [arg for arg in args if isinstance(arg, Tensor)]
        match name:
            case "attention":
                return self._attention(*values, causal=bool(kwargs["causal"]))
            case "rope":
                return self._rope(values[0])
            case "route":
                return self._route(*values)
            case "first" | "second":
                return values[0][:, 0 if name == "first" else 1]
            case "average":
                return (values[0] + values[1]) / 2
            case "offset":
                return values[0] + int(kwargs["by"])
            case "token_positions":
                return self._token_positions(values[0])
            case "last":
                return self._last(values[0])
        return ACTIVATIONS[name](values[0])

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return a * b

    def split(self, x: Tensor, module: Module, parts: int) -> Sequence[Tensor]:
        sizes = [part.size(self.model.sizes) for part in module.outs.split()]
        return torch.split(x, sizes, dim=-1)

    def _of_each_expert(self, module: Module, x: Tensor) -> Tensor:
        """[experts, batch, tokens, out], of one input for all, or of one for each."""
        each = x if x.ndim == 4 else [x] * self.model.sizes["experts"]
        weights = self.interpreter._of_experts(module, self.layer)
        return torch.stack([F.linear(y, *tensors) for y, tensors in zip(each, weights, strict=True)])

    # operations -----------------------------------------------------------------------------

    def _route(self, scores: Tensor, z: Tensor) -> Tensor:
        """softmax over the best `active` of the scores [batch, tokens, experts] weighs their z."""
        best, chosen = scores.topk(self.model.sizes["active"], dim=-1)
        weights = torch.zeros_like(scores).scatter(-1, chosen, torch.softmax(best, dim=-1))
        return torch.einsum("bte,ebth->bth", weights, z)

    def _by_head(self, x: Tensor) -> Tensor:
        """[batch, tokens, heads * head_dim] -> [batch, heads, tokens, head_dim]."""
        batch, tokens, _ = x.shape
        return x.view(batch, tokens, -1, self.model.sizes["head_dim"]).transpose(1, 2)

    def _attention(self, q: Tensor, k: Tensor, v: Tensor, *, causal: bool) -> Tensor:
        """softmax(q k / sqrt(head_dim)) v; query head j reads kv head floor(j KV / H).

        Causal attention sees the last `Model.windows[layer]` tokens, where the layer has a window.
        """
        q, k, v = self._by_head(q), self._by_head(k), self._by_head(v)
        batch, heads, tokens, head_dim = q.shape
        source = torch.arange(heads, device=q.device) * k.shape[1] // heads
        k, v = k[:, source], v[:, source]
        scores = q @ k.transpose(-1, -2) * head_dim**-0.5
        if causal:
            ahead = torch.ones(tokens, tokens, dtype=torch.bool, device=q.device).triu(1)
            window = None if self.layer is None else self.model.windows[self.layer]
            behind = ahead.new_zeros(()) if window is None else ~torch.ones_like(ahead).triu(1 - window)
            scores = scores.masked_fill(ahead | behind, -torch.inf)
        out = torch.softmax(scores, dim=-1) @ v
        return out.transpose(1, 2).reshape(batch, tokens, heads * head_dim)

    def _rope(self, x: Tensor) -> Tensor:
        """Each head (a, b) of halves -> (a cos - b sin, b cos + a sin) at angle token * frequency."""
        rope = read_rope(self.model.config)
        frequencies = rope.frequencies(self.model.sizes["head_dim"])
        speeds = torch.tensor(frequencies, device=x.device, dtype=torch.float64)
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * speeds
        cos, sin = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
        first, second = self._by_head(x).chunk(2, dim=-1)
        turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
        return turned.transpose(1, 2).reshape(x.shape)

    def _token_positions(self, ids: Tensor) -> Tensor:
        """RoBERTa's positions: tokens are counted from pad + 1 on, padding stays at pad."""
        pad = int(self.model.config["pad_token_id"])
        tokens = (ids != pad).long()
        return tokens.cumsum(-1) * tokens + pad

    def _last(self, x: Tensor) -> Tensor:
        """The last token that is not padding, as transformers' sequence classifiers take it."""
        pad = self.model.config.get("pad_token_id")
        if pad is None or self.ids is None:
            return x[:, -1]
        tokens = torch.arange(x.shape[1], device=x.device)
        index = (tokens * (self.ids != pad)).argmax(-1)
        return x[torch.arange(x.shape[0], device=x.device), index]
