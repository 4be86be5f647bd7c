"""A tensor that `resample` made, held against torch's own interpolation."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from growplan.backend.dtypes import UNIT_ROUNDOFF
from growplan.ir.primitives import Resample

ROUNDINGS = 64  # 16 products each, of weights whose sizes add up to less than 2


def interpolated(op: Resample, old: Tensor, new: Tensor) -> bool:
    """Whether `new` is `old` with its grid interpolated by torch itself, and its first slices untouched."""
    size = old.shape[op.dim]
    before, after = (t.narrow(op.dim, 0, op.kept).contiguous() for t in (old, new))
    if before.dtype != after.dtype or not torch.equal(before, after):
        return False
    grid = old.narrow(op.dim, op.kept, size - op.kept).movedim(op.dim, -1).to(torch.float64)
    image = grid.reshape(1, -1, op.old, op.old)
    wanted = F.interpolate(image, size=(op.new, op.new), mode="bicubic", align_corners=False)
    wanted = wanted.reshape(*grid.shape[:-1], -1).movedim(-1, op.dim)
    found = new.narrow(op.dim, op.kept, new.shape[op.dim] - op.kept).to(torch.float64)
    tolerance = ROUNDINGS * UNIT_ROUNDOFF[new.dtype] * float(old.abs().max())
    return bool(((found - wanted).abs() <= tolerance).all())
