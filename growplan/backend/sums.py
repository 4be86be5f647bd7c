"""Sums in float64 in a fixed order: halving trees of elementwise additions.

`torch.sum` may group terms by thread count and device; an elementwise addition cannot.
"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK_ROWS = 256  # rows summed as one tree; chunks are then added in index order


def tree_sum(x: Tensor, dim: int = 0) -> Tensor:
    """The sum over `dim` in float64, by halves: x[:h] + x[h:], again and again."""
    x = x.to(torch.float64).movedim(dim, 0)
    if x.shape[0] == 0:
        return torch.zeros(x.shape[1:], dtype=torch.float64, device=x.device)
    while x.shape[0] > 1:
        half = x.shape[0] // 2
        folded = x[:half] + x[half : 2 * half]
        x = torch.cat([folded, x[2 * half :]]) if x.shape[0] % 2 else folded
    return x[0]
