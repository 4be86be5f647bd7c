"""Torch's side of safetensors dtypes: names, arithmetic types, raw bytes."""

from __future__ import annotations

import ctypes
from math import prod

import torch
from torch import Tensor

from growplan.diagnostics import fail

TORCH: dict[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
UNIT_ROUNDOFF: dict[torch.dtype, float] = {
    torch.float64: 2.0**-53,
    torch.float32: 2.0**-24,
    torch.float16: 2.0**-11,
    torch.bfloat16: 2.0**-8,
}


def torch_dtype(name: str) -> torch.dtype:
    """The torch dtype of a safetensors name. GP509 where torch has none that can be computed with."""
    try:
        return TORCH[name]
    except KeyError:
        fail(
            "GP509",
            f"tensors of dtype {name} cannot be computed with",
            notes=[("known", ", ".join(TORCH))],
            help="convert the checkpoint to float32, bfloat16 or float16",
        )


def arithmetic(name: str) -> torch.dtype:
    """The dtype that rewrites are computed in: float32 for half precision, else the stored one."""
    stored = torch_dtype(name)
    return torch.float32 if stored in (torch.float16, torch.bfloat16) else stored


def raw_bytes(tensor: Tensor) -> memoryview:
    """The bytes of a contiguous CPU tensor, shared, little-endian as safetensors wants them."""
    if tensor.device.type != "cpu" or not tensor.is_contiguous():
        raise ValueError("raw_bytes needs a contiguous tensor on the CPU")
    size = tensor.numel() * tensor.element_size()
    if size == 0:
        return memoryview(b"")
    view = memoryview((ctypes.c_ubyte * size).from_address(tensor.data_ptr()))
    return view.cast("B")


def empty_cpu(shape: tuple[int, ...], name: str, *, pinned: bool = False) -> Tensor:
    """An uninitialised CPU tensor to read bytes into."""
    return torch.empty(shape, dtype=torch_dtype(name), pin_memory=pinned)


def byte_size(shape: tuple[int, ...], name: str) -> int:
    """Bytes of a tensor on disk."""
    return prod(shape) * torch_dtype(name).itemsize
