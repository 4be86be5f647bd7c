"""The cost model: parameters, forward FLOPs and bytes, from shapes alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from growplan.check.typed import Cost
from growplan.families.model import Call, Model, ModuleRef, Param
from growplan.families.walk import subexpressions

TORCH_BYTES = 200 << 20  # a process that has imported torch
DTYPE_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


def cost(model: Model) -> Cost:
    """The cost of one model.

    FLOPs per token count a multiply and an add for every weight of a matrix that a token
    passes (2 x parameters of linear modules, of patches and of a tied head); attention scores, which
    depend on the context length, and embedding look-ups are left out. Of a mixture, a token
    passes `active` of the experts.
    """
    width = DTYPE_BYTES.get(model.dtype, 4)
    parameters = active = largest = 0
    for param in model.params():
        copies = passed = model.copies(param)
        if param.in_expert:
            passed = copies // model.sizes["experts"] * model.sizes["active"]
        size = prod(model.shape(param))
        parameters += size * copies
        active += size * passed
        largest = max(largest, size * width)
    flops = sum(m.flops * (model.depth if m.param.in_layer else 1) for m in matrices(model))
    return Cost(parameters, flops, parameters * width, largest, active)


@dataclass(frozen=True)
class Matrix:
    """A matrix that tokens pass, layers and experts folded: FLOPs of one token in one layer.

    `head`: the embedding where the head in use reads it again.
    """

    param: Param
    flops: int
    head: bool = False


def matrices(model: Model) -> Iterator[Matrix]:
    """All that makes FLOPs."""
    for param in model.params():
        if model.modules[param.module].kind in ("linear", "patches") and param.leaf == "weight":
            times = model.sizes["active"] if param.in_expert else 1
            yield Matrix(param, 2 * prod(model.shape(param)) * times)
    for embedding in tied_embeddings(model):
        param = model.modules[embedding].params[0]
        yield Matrix(param, 2 * prod(model.shape(param)), head=True)


def tied_embeddings(model: Model) -> tuple[str, ...]:
    """Embeddings that the head in use reads again."""
    return tuple(
        expr.args[0].module
        for statement in model.head_stmts
        for expr in subexpressions(statement.value)
        if isinstance(expr, Call) and expr.fn == "tied" and isinstance(expr.args[0], ModuleRef)
    )


def peak_memory(before: Cost, after: Cost, dtype: str) -> int:
    """Bytes that `apply` needs at its peak on the CPU, source and result larger than that or not.

    The interpreter with torch, and the largest tensor before and after in float64 with what is
    made of them while its law is measured: about five times their float32 size (measured).
    """
    width = DTYPE_BYTES.get(dtype, 4)
    return TORCH_BYTES + 5 * 4 * (before.largest_tensor + after.largest_tensor) // width
