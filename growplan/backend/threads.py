"""How the CPU is shared: one torch thread per task, several tasks.

The tensors of a kernel's working set fit in cache and are short; splitting each among threads
costs more in waiting than it gains, and on a busy machine very much more. Tensors are
independent, so whole tensors are dealt to workers instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread_each() -> Iterator[int]:
    """Torch computes on one thread inside; yields how many workers may run at once."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield max(1, before)
    finally:
        torch.set_num_threads(before)
