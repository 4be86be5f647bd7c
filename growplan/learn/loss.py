"""The loss of a task, from logits: the mean over what is asked."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

from growplan.learn.corpus import IGNORED


def summed(logits: Tensor, targets: Tensor) -> Tensor:
    """The cross entropy of [rows, tokens, classes] or [rows, classes], summed over the targets asked for.

    In float32 at least, as transformers takes it.
    """
    flat = logits.flatten(0, -2)
    if flat.dtype.itemsize < 4:
        flat = flat.float()
    return F.cross_entropy(flat, targets.flatten(), ignore_index=IGNORED, reduction="sum")
