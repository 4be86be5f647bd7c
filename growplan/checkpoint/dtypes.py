"""The element types of safetensors: names, widths, and the order its serializer uses."""

from __future__ import annotations

from collections.abc import Mapping

# (name, bits), in safetensors' own order; a file lists its tensors from the last to the first.
_ORDERED: tuple[tuple[str, int], ...] = (
    ("BOOL", 8),
    ("F4", 4),
    ("F6_E2M3", 6),
    ("F6_E3M2", 6),
    ("U8", 8),
    ("I8", 8),
    ("F8_E5M2", 8),
    ("F8_E4M3", 8),
    ("F8_E8M0", 8),
    ("F8_E4M3FNUZ", 8),
    ("F8_E5M2FNUZ", 8),
    ("I16", 16),
    ("U16", 16),
    ("F16", 16),
    ("BF16", 16),
    ("I32", 32),
    ("U32", 32),
    ("F32", 32),
    ("C64", 64),
    ("F64", 64),
    ("I64", 64),
    ("U64", 64),
)

BITS: Mapping[str, int] = dict(_ORDERED)
RANK: Mapping[str, int] = {name: i for i, (name, _) in enumerate(_ORDERED)}

# What growth can compute with; everything else is only ever copied.
FLOATS: frozenset[str] = frozenset({"F64", "F32", "F16", "BF16"})

# config.json's word for a float type -> safetensors' word for it.
CONFIG_DTYPES: Mapping[str, str] = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "double": "F64",
    "float": "F32",
    "half": "F16",
}


def numel(shape: tuple[int, ...]) -> int:
    """The number of elements."""
    out = 1
    for size in shape:
        out *= size
    return out


def nbytes(dtype: str, shape: tuple[int, ...]) -> int | None:
    """Bytes of a tensor; None where sub-byte elements do not fill whole bytes. KeyError: unknown dtype."""
    bits = BITS[dtype] * numel(shape)
    return bits // 8 if bits % 8 == 0 else None
